"""The attributes of users: read, checked, matched with the events, never silently lost."""

from pathlib import Path

import pandas as pd
import pytest

import recommender
from recommender.catalog import Catalog, Interactions, Users, guess_config, validate
from recommender.config import Config
from recommender.errors import ConfigError, DataError
from training.profile.values import contexts_of

CSV = """customer,age,segment,plan_code,joined
u1,34,trade,1042,2020-01-01
u2,old,private,2077,2021-05-01
u2,50,private,1042,2021-05-01
,20,trade,1042,2020-01-01
u3,,trade,2077,2020-01-02
u9,61,private,1042,2020-01-01
"""


def shop(tmp_path: Path, users: str = CSV, **entries: object) -> Config:
    (tmp_path / "users.csv").write_text(users)
    (tmp_path / "products.csv").write_text("id,title\nA,a\nB,b\n")
    lines = [
        f"{user},{item},purchase,2026-01-0{i + 1}"
        for i, (user, item) in enumerate(zip("1234", "ABAB", strict=True))
    ]
    (tmp_path / "events.csv").write_text(
        "\n".join(["user_id,item_id,event_name,timestamp", *(f"u{x}" for x in lines)])
    )
    paths = {"catalog": {"path": tmp_path / "products.csv"}, "events": {"path": tmp_path / "events.csv"}}
    kinds = {} if "old" not in users else {"age": "number"}  # of so few cells, one bad one is many
    table = {"path": tmp_path / "users.csv", "user_id": "customer", "kinds": kinds, **entries}
    return Config.from_mapping({**paths, "users": table})


def test_users_are_read_and_what_is_wrong_is_reported(tmp_path: Path) -> None:
    users = Users.load(shop(tmp_path))
    assert users.kinds == {"age": "number", "segment": "category", "plan_code": "category"}
    assert users.attributes_of(["u1", "u2", "u3", "nobody"]) == [
        {"age": 34.0, "segment": "trade", "plan_code": "1042"},
        {"segment": "private", "plan_code": "2077"},
        {"segment": "trade", "plan_code": "2077"},
        None,
    ]
    assert users.report.counts == {"user without an id": 1, "repeated user": 1, "bad age": 1}
    assert users.report.facts == {"users with attributes": 4}
    with pytest.raises(DataError, match="problems with --strict"):
        Users.load(shop(tmp_path), strict=True)


def test_what_does_not_match_the_events_is_reported(tmp_path: Path) -> None:
    report = validate(shop(tmp_path))
    assert report.counts["user without attributes"] == 1  # u4
    assert report.counts["attributes of a user without events"] == 1  # u9
    assert {column.name: column.use for column in report.columns if column.file == "users.csv"} == {
        "user_id": "user",
        "age": "learned",
        "segment": "learned",
        "plan_code": "learned",
        "joined": "not learned",
    }


def test_context_of_events_is_read_and_survives_joins(tmp_path: Path) -> None:
    config = shop(tmp_path)
    events = pd.DataFrame(
        {"user_id": ["u1", "u2"], "item_id": ["A", "B"], "timestamp": ["2026-01-01T20:30:00"] * 2}
    )
    events = events.assign(event_name="view_item", device=["phone", ""])
    catalog = Catalog.load(config)
    read = Interactions.from_frame(events, catalog, context=["device", "hour"])
    assert contexts_of(read).to_dict("list") == {"device": ["phone", ""], "hour": [20.5, 20.5]}
    joined = read.joined(Interactions.load(config, catalog))
    assert sorted(contexts_of(joined)["device"]) == ["", "", "", "", "", "phone"]
    with pytest.raises(DataError, match=r"has no column 'divice' .*did you mean 'device'"):
        Interactions.from_frame(events, catalog, context=["divice"])


def test_users_of_whom_none_has_an_event_are_refused(tmp_path: Path) -> None:
    config = shop(tmp_path, "customer,age\nX-1,30\nX-2,40\n")
    with pytest.raises(DataError, match=r"none of its 2 users, such as 'X-1', 'X-2', has an event; .*'u1'"):
        validate(config)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"user_id": "user"}, "has no column 'user'"),
        ({"learn": ["sgment"]}, "did you mean 'segment'"),
        ({"learn": ["joined"]}, "'joined' is a date; expected categories or numbers"),
        ({"kinds": {"sgment": "category"}}, "did you mean 'segment'"),
        ({"larn": []}, "unknown key 'larn'; did you mean 'learn'"),
    ],
    ids=str,
)
def test_a_wrong_entry_names_the_right_one(tmp_path: Path, entries: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        Users.load(shop(tmp_path, **entries))


def test_learn_and_kinds_choose_columns(tmp_path: Path) -> None:
    assert Users.load(shop(tmp_path, learn=["age"])).kinds == {"age": "number"}
    assert Users.load(shop(tmp_path, kinds={"joined": "category"})).kinds["joined"] == "category"


def test_a_file_without_any_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no user with an id"):
        Users.load(shop(tmp_path, "customer,age\n,30\n"))


def test_frames_are_read_as_files_are() -> None:
    frame = pd.DataFrame({"user_id": [1, 2, 3], "age": [30.0, None, 40], "tags": [["a", "b"], [], []]})
    users = Users.from_frame(frame)
    assert users.attributes_of(["1", "2", "3"]) == [{"age": 30.0, "tags": ["a", "b"]}, None, {"age": 40.0}]


def test_stored_attributes_take_precedence() -> None:
    kinds = {"segment": "category"}
    users = Users.from_frame(
        pd.DataFrame({"user_id": ["u1", "u2"], "age": [30, 40], "segment": ["a", "b"]}), kinds=kinds
    )
    stored = Users.from_attributes([("u2", {"age": 41, "vip": True}), ("u3", {"segment": "a"})], "store")
    joined = users.joined(stored)
    assert joined.attributes_of(["u1", "u2", "u3"]) == [
        {"age": 30.0, "segment": "a"},
        {"age": 41.0, "segment": "b"},
        {"segment": "a"},
    ]
    assert users.joined(Users.from_attributes([], "store")) is users


def test_users_without_events_are_an_error(tmp_path: Path) -> None:
    products = pd.DataFrame({"id": ["A", "B"], "title": ["a", "b"]})
    users = pd.DataFrame({"user_id": ["u1"], "age": [3]})
    with pytest.raises(ConfigError, match=r"\[users\] without events"):
        recommender.fit(products, users=users, out=tmp_path, encoder="tfidf", cache=tmp_path / "cache")


def test_events_carry_the_users_through_splits(tmp_path: Path) -> None:
    config = shop(tmp_path)
    catalog = Catalog.load(config)
    events = Interactions.load(config, catalog).with_users(Users.load(config))
    assert events.before(pd.Timestamp("2026-01-03").to_pydatetime()).users is events.users
    assert events.joined(Interactions.load(config, catalog)).users is events.users


def test_init_finds_the_column_of_users(tmp_path: Path) -> None:
    shop(tmp_path)
    names = ("products.csv", "events.csv", "users.csv")
    products, events, users = (tmp_path / name for name in names)
    users.write_text("age,customer_id\n30,u1\n30,u2\n")
    text = guess_config(products, events, start=tmp_path, users=users).to_toml()
    (tmp_path / "shop.toml").write_text(text)
    config = Config.load(tmp_path / "shop.toml")
    assert config.users is not None
    assert (config.users.path, config.users.user_id) == (Path("users.csv"), "customer_id")
