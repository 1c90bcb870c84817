import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.catalog import Catalog, Interactions, read_events
from recommender.config import Config, EventsConfig
from recommender.errors import ConfigError, DataError
from recommender.events import Event, event_weight

CATALOG = Catalog.from_frame(pd.DataFrame({"id": ["0001", "b", "c"]}))
CSV = """\
day,who,what,stars
2026-01-02,u2,b,
2026-01-03T10:00:00+02:00,u1,0001,4
2026-01-01,u1,c,
"""
MAPPING = {"timestamp": "day", "user_id": "who", "item_id": "what", "value": "stars"}


def load(tmp_path, text, name="events.csv", strict=False, **mapping):
    (tmp_path / name).write_text(text, encoding="utf-8")
    config = Config.model_validate(
        {"catalog": {"path": "p.csv"}, "events": {"path": name, **mapping}, "data_dir": tmp_path}
    )
    return Interactions.load(config, CATALOG, strict)


def test_events_are_mapped_and_sorted(tmp_path):
    found = load(tmp_path, CSV, event_name="rate", **MAPPING)
    frame = found.frame
    assert frame["user_id"].tolist() == ["u1", "u1", "u2"]
    assert frame["item_id"].tolist() == ["c", "0001", "b"]
    assert frame["row"].tolist() == [2, 0, 1]
    assert frame["row"].dtype == np.int32
    assert frame["event_name"].tolist() == ["rate"] * 3
    assert frame["timestamp"].dtype == "datetime64[us]"
    assert frame["timestamp"].tolist() == [
        pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-03T08:00"), pd.Timestamp("2026-01-02"),
    ]  # fmt: skip
    np.testing.assert_array_equal(frame["value"], [np.nan, 4.0, np.nan])
    assert isinstance(frame.index, pd.RangeIndex)
    assert found.report.facts == {"events": 3, "users": 2}
    assert not found.report.problems


BAD = """\
user_id,item_id,event_name,timestamp,value
u,b,purchase,2026-01-01,
u,bb,purchase,2026-01-01,
,b,purchase,2026-01-01,
u,,purchase,2026-01-01,
u,b,purchase,yesterday,
u,b,purchse,2026-01-01,
u,b,rate,2026-01-01,five
"""


def test_invalid_events_are_reported_with_their_row(tmp_path):
    found = load(tmp_path, BAD)
    assert found.frame["event_name"].tolist() == ["purchase", "rate"]
    assert {str(problem).split("; expected")[0] for problem in found.report.problems} == {
        "events.csv row 3 (id \"bb\"): the catalogue has no such product (did you mean 'b'?); left out",
        'events.csv row 4: user_id is ""',
        'events.csv row 5: item_id is ""',
        'events.csv row 6: timestamp is "yesterday"',
        'events.csv row 7: event_name is "purchse"',
        'events.csv row 8: value is "five"',
    }
    assert found.report.errors == 6
    with pytest.raises(DataError, match="6 problems with --strict"):
        load(tmp_path, BAD, strict=True)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"user_id": "whom"}, "events.csv has no column 'whom' (the event's user_id); did you mean 'who'?"),
        ({"timestamp": "days"}, "did you mean 'day'?"),
        ({"event_name": "purchas"}, "events.csv has no column 'purchas'; did you mean 'purchase'?"),
        ({}, 'Where all events have one name, give that instead, such as event_name = "purchase"'),
    ],
)
def test_a_wrong_mapping_names_the_nearest_column(tmp_path, mapping, message):
    with pytest.raises(DataError) as error:
        load(tmp_path, CSV, **{**MAPPING, **mapping})
    assert message in str(error.value)


def test_a_config_without_events():
    with pytest.raises(ConfigError, match="no \\[events\\]"):
        Interactions.load(Config.from_files("p.csv"), CATALOG)


@pytest.mark.parametrize(
    "times",
    [
        ["1767225600", "1767229200"],
        ["1767225600000", "1767229200000"],
        [1767225600.0, 1767229200.0],
        ["2026-01-01", "2026-01-01T02:00:00+01:00"],
        ["2026-01-01 00:00:00", "2026-01-01T01:00:00.000Z"],
        [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC)],
    ],
)
def test_times(times):
    frame = pd.DataFrame({"user_id": "u", "item_id": "b", "event_name": "purchase", "timestamp": times})
    found = Interactions.from_frame(frame, CATALOG).frame["timestamp"]
    assert found.tolist() == [pd.Timestamp("2026-01-01T00:00"), pd.Timestamp("2026-01-01T01:00")]


def test_moments_that_cannot_be_are_left_out(tmp_path):
    tomorrow = datetime.now(UTC) + timedelta(hours=20)  # another time zone, or a clock that is fast
    times = ["2099-01-01", "1970-01-01T00:00:00Z", "1989-12-31", "1990-01-01", tomorrow.isoformat()]
    lines = "".join(f"u,b,purchase,{time}\n" for time in times)
    found = load(tmp_path, "user_id,item_id,event_name,timestamp\n" + lines)
    assert found.report.counts == {"implausible timestamp": 3}
    assert len(found) == 2
    assert "expected a moment from 1990 until now; left out" in str(found.report.problems[0])
    stored = [Event("b", "purchase", datetime.fromisoformat(f"{year}-01-01T00:00Z"), "u") for year in (2026, 2099)]
    assert Interactions.from_events(stored, CATALOG).frame["timestamp"].dt.year.tolist() == [2026]


EVENT = {"user_id": "u", "item_id": "b", "event_name": "purchase", "timestamp": "2026-01-01"}


def test_a_frame_of_events_of_any_names_and_whole_numbers():
    frame = pd.DataFrame([EVENT | {"item_id": "b", "customer": 7}]).drop(columns=["user_id", "event_name"])
    found = Interactions.from_frame(frame, CATALOG, user_id="customer", event_name="add_to_cart")
    assert found.frame["user_id"].tolist() == ["7"]
    assert found.frame["event_name"].tolist() == ["add_to_cart"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            pd.DataFrame([EVENT]).rename(columns={"user_id": "who"}),
            "events frame has no column 'user_id' (the event's user_id); rename a column, or pass its name, "
            'such as user_id="customer". Its columns are who, item_id, event_name, timestamp',
        ),
        (pd.DataFrame([EVENT])[:0], "the events frame has no rows; expected at least one"),
        (
            pd.DataFrame([EVENT | {"user_id": 3.5}]),
            "the events frame has floats in the column 'user_id', such as 3.5; expected strings or whole numbers. "
            "Read ids with dtype=str, such as pd.read_csv(path, dtype={'user_id': str})",
        ),
    ],
)
def test_a_frame_of_events_that_cannot_be_used_says_what_to_do(frame, message):
    with pytest.raises(DataError) as error:
        Interactions.from_frame(frame, CATALOG)
    assert str(error.value) == message


def test_a_frame_of_events_takes_the_keys_of_the_config():
    with pytest.raises(ConfigError, match=r"\[events\] unknown key 'userid'; did you mean 'user_id'"):
        Interactions.from_frame(pd.DataFrame([EVENT]), CATALOG, userid="who")


def test_custom_events_and_weights(tmp_path):
    csv = "user_id,item_id,event_name,timestamp\nu,b,tasted,2026-01-01\n"
    assert load(tmp_path, csv, weights={"tasted": 2.5}).event_weights().tolist() == [2.5]
    assert load(tmp_path, csv).report.counts == {"unknown event name": 1}


MESSAGE = {
    "event_id": "e-7d1",
    "event_name": "add_to_cart",
    "timestamp": "2026-11-23T06:41:07Z",
    "user_id": "u-819",
    "session_id": "s-5f2",
    "recommendation_id": "r-1",
    "items": [
        {"item_id": "b", "quantity": 2, "price": 64.9},
        {"item_id": "0001"},
        {"item_id": "b", "quantity": 9},
    ],
}


def test_json_lines_of_the_http_api(tmp_path):
    anonymous = {**MESSAGE, "event_id": "e-8", "items": [{"item_id": "c"}]}
    del anonymous["user_id"]
    lines = "\n".join(map(json.dumps, [MESSAGE, anonymous]))
    found = load(tmp_path, lines, "events.jsonl")
    assert found.frame["user_id"].tolist() == ["session:s-5f2", "u-819", "u-819"]
    assert found.frame["item_id"].tolist() == ["c", "b", "0001"]
    path = tmp_path / "events.jsonl"
    first, second, third = read_events(path, EventsConfig(path=path))
    assert first == Event(
        "b", "add_to_cart", datetime(2026, 11, 23, 6, 41, 7, tzinfo=UTC), "u-819",
        event_id="e-7d1", session_id="s-5f2", recommendation_id="r-1", quantity=11.0, price=64.9,
    )  # fmt: skip
    assert second == replace(first, item_id="0001", quantity=None, price=None)
    assert (third.user_id, third.session_id) == ("", "s-5f2")


def test_read_events_gives_the_same_ids_every_time(tmp_path):
    header, *rows = CSV.splitlines()
    path = tmp_path / "events.csv"
    config = EventsConfig(path=path, event_name="purchase", **MAPPING)
    path.write_text("\n".join([header, *rows, rows[0]]))
    once, again = list(read_events(path, config)), list(read_events(path, config))
    assert once == again
    assert len({event.event_id for event in once}) == 4  # bought twice on one day is two events
    assert once[0] == replace(once[3], event_id=once[0].event_id)
    path.write_text("\n".join([header, rows[2], rows[0]]))
    assert {event.event_id for event in read_events(path, config)} < {event.event_id for event in once}
    assert once[1].timestamp == datetime(2026, 1, 3, 8, tzinfo=UTC)
    assert once[1].value == 4.0
    assert once[0].value is None


def test_read_events_reports_invalid_events(tmp_path, caplog):
    path = tmp_path / "events.csv"
    path.write_text(BAD)
    with caplog.at_level("INFO", "recommender"):
        events = list(read_events(path, EventsConfig(path=path)))
    assert [event.item_id for event in events] == ["b", "bb", "b"]
    assert any('timestamp is "yesterday"' in message for message in caplog.messages)


moments = st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
events = st.builds(
    Event,
    item_id=st.sampled_from(["0001", "b", "c", "unknown"]),
    event_name=st.sampled_from(["purchase", "view_item", "rate", "dismiss"]),
    timestamp=moments,
    user_id=st.sampled_from(["u", "v", "w"]),
    value=st.none() | st.floats(1, 5),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(events, max_size=20))
def test_events_keep_their_values(given_events):
    found = Interactions.from_events(given_events, CATALOG)
    known = sorted((e for e in given_events if e.item_id in CATALOG.ids), key=lambda e: (e.user_id, e.timestamp))
    frame = found.frame
    assert frame["user_id"].tolist() == [event.user_id for event in known]
    assert frame["item_id"].tolist() == [event.item_id for event in known]
    assert [CATALOG.ids[row] for row in frame["row"]] == frame["item_id"].tolist()
    assert [t.replace(tzinfo=UTC) for t in frame["timestamp"]] == [event.timestamp for event in known]
    expected = [event_weight(event.event_name, event.value, dict(found.weights)) for event in known]
    assert found.event_weights().tolist() == expected
    assert found.report.counts.get("event of an unknown product", 0) == len(given_events) - len(known)


@settings(max_examples=30, deadline=None)
@given(st.lists(events, max_size=20), moments)
def test_before_and_since_split_the_events(given_events, moment):
    found = Interactions.from_events(given_events, CATALOG)
    zone = timezone(timedelta(hours=5))
    for date in (moment, moment.astimezone(zone), moment.replace(tzinfo=None)):
        before, since = found.before(date), found.since(date)
        assert len(before) + len(since) == len(found)
        assert (before.frame["timestamp"] < moment.replace(tzinfo=None)).all()
        assert (since.frame["timestamp"] >= moment.replace(tzinfo=None)).all()
        assert isinstance(since.frame.index, pd.RangeIndex)
    pd.testing.assert_frame_equal(since.joined(before).frame, found.frame)


@settings(max_examples=30, deadline=None)
@given(st.lists(events, max_size=20))
def test_histories_partition_the_frame(given_events):
    found = Interactions.from_events(given_events, CATALOG)
    pieces = dict(found.histories())
    assert list(pieces) == sorted(set(found.frame["user_id"]))
    assert all((piece["user_id"] == user).all() for user, piece in pieces.items())
    if pieces:
        pd.testing.assert_frame_equal(pd.concat(pieces.values()), found.frame)
    else:
        assert not len(found)


def test_sessions_need_no_user_column(tmp_path):
    csv = "session_id,item_id,event_name,timestamp\ns,b,purchase,2026-01-01\n,c,purchase,2026-01-01\n"
    found = load(tmp_path, csv)
    assert found.frame["user_id"].tolist() == ["session:s"]
    assert found.report.counts == {"event without a user": 1}


def test_unknown_products_are_listed_once_the_most_frequent_first():
    catalog = Catalog.from_frame(pd.DataFrame({"id": ["a"], "title": ["A"]}))
    items = ["x", "POST", "a", "POST", "y", "POST", "y"]
    frame = pd.DataFrame({"user_id": "u", "item_id": items, "event_name": "purchase", "timestamp": "2025-01-01"})
    report = Interactions.from_frame(frame, catalog).report
    assert [(problem.id, problem.row) for problem in report.problems] == [("POST", 2), ("y", 5), ("x", 1)]
    assert "3 events" in report.problems[0].message
    assert report.counts["event of an unknown product"] == 6
