"""The conformance suite of stores: put to every module of recommender/stores/ that serves a URL scheme."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import ANY
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.commands.benchmarks.postgres import Postgres, missing
from recommender.errors import RevisionConflictError, StoreError
from recommender.events import EARLIEST, EVENT_WEIGHTS, PLAYED, Event
from recommender.stores import Store, open_store, store_modules
from recommender.stores.attribution import DRAWN, SUFFIX_LENGTH, Attribution, is_signed
from recommender.stores.base import (
    AttributeValues,
    AttributionCount,
    EventPosition,
    LoggedAnswer,
    LoggedItem,
    OverlayEntry,
)
from recommender.stores.sql.database import METADATA, Database

POSTGRES = os.environ.get("RECOMMENDER_TEST_POSTGRES", "postgresql://postgres:postgres@127.0.0.1:5432/postgres")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


BEFORE_MIGRATIONS = """
CREATE TABLE events (event_id TEXT NOT NULL, item_id TEXT NOT NULL, event_name TEXT NOT NULL,
    timestamp TIMESTAMP NOT NULL, user_id TEXT NOT NULL, session_id TEXT NOT NULL, recommendation_id TEXT NOT NULL,
    value DOUBLE PRECISION, quantity DOUBLE PRECISION, price DOUBLE PRECISION, PRIMARY KEY (event_id, item_id));
CREATE TABLE item_overlay (item_id TEXT NOT NULL PRIMARY KEY, attributes JSON NOT NULL);
CREATE TABLE overlay_revision (only INTEGER NOT NULL PRIMARY KEY, revision BIGINT NOT NULL);
INSERT INTO events VALUES ('e', 'A', 'view_item', '2026-11-23 12:00:00.000000', 'u1', '', '', NULL, NULL, NULL);
INSERT INTO item_overlay VALUES ('B', '{"price": 9}');
INSERT INTO overlay_revision VALUES (1, 4)
""".replace("only", '"only"')


def changes(store: Store, since: int = 0) -> dict[str, AttributeValues]:
    """Return the attributes of the entries of the overlay."""
    return {item_id: entry.attributes for item_id, entry in store.overlay.read(since).items() if entry is not None}


def waiting(store: Store, limit: int = 10_000) -> list[tuple[str, AttributeValues, int | None]]:
    """Return what is queued."""
    return [(entry.item_id, entry.attributes, entry.queued) for entry in store.overlay.queued(limit)]


def event(n: int, user: str = "u1", item: str = "A") -> Event:
    return Event(item, "view_item", NOON + timedelta(minutes=n), user, event_id=f"e{n}", session_id="s")


def insert_unchecked(store: Store, events: list[Event]) -> None:
    """Insert events as a version did that did not check them."""
    database: Database = store.events._database  # type: ignore[attr-defined]
    with database.transaction() as connection:
        connection.execute(METADATA.tables["events"].insert(), [asdict(each) for each in events])


def in_time_zone(url: str, name: str) -> str:
    """Return the URL of the same database, whose server tells the time in another zone if it has one."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return url
    options = f"{parsed.query['options']} -ctimezone={name}"
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """The server that answers already, or else one for these tests alone."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[postgres]'")
    url = psycopg_url(POSTGRES)
    if (refusal := refused(url)) is None:
        yield url
        return
    if lacks := missing():
        pytest.skip(f"no PostgreSQL answers at {url!r} (set RECOMMENDER_TEST_POSTGRES): {refusal}; and {lacks}")
    with TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        server.start()
        yield psycopg_url(server.url)
        server.stop()


def psycopg_url(url: str) -> sa.URL:
    return sa.make_url(url).set(drivername="postgresql+psycopg")


def refused(url: sa.URL) -> str | None:
    """Return why there is no server at a URL; None if there is one."""
    engine = sa.create_engine(url, connect_args={"connect_timeout": 2})
    try:
        engine.connect().close()
    except sa.exc.OperationalError as error:
        return str(error.orig)
    finally:
        engine.dispose()
    return None


@contextmanager
def fresh_schema(server: sa.URL) -> Iterator[str]:
    """Make a schema, and drop it afterwards; yields its URL."""
    admin, schema = sa.create_engine(server), f"test_{uuid4().hex}"
    with admin.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    yield server.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    with admin.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    admin.dispose()


@pytest.fixture(params=sorted(store_modules()))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgresql":
        with fresh_schema(request.getfixturevalue("postgres")) as schema:
            yield schema
    else:
        yield f"{request.param}:///{tmp_path}/store.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def test_an_event_round_trips(store: Store) -> None:
    full = Event("Ä/7", "rate", NOON, "ü 1", 4.5, "e-1", "s-1", "r-1", 2.0, 9.99)
    assert store.events.add([full]) == [True]
    assert store.events.history("ü 1") == [full]


def test_time_is_stored_in_utc_to_the_microsecond(store: Store) -> None:
    there = datetime(2026, 11, 23, 14, 0, 0, 123457, tzinfo=timezone(timedelta(hours=9)))
    store.events.add([replace(event(0), timestamp=there)])
    (stored,) = store.events.history("u1")
    assert stored.timestamp == there
    assert stored.timestamp.tzinfo is UTC


def test_history_is_the_latest_oldest_first(store: Store) -> None:
    store.events.add([event(n) for n in (3, 1, 4, 0, 2)] + [event(9, user="other")])
    assert [stored.event_id for stored in store.events.history("u1", limit=3)] == ["e2", "e3", "e4"]
    assert store.events.history("nobody") == []


def test_the_same_event_is_stored_once(store: Store) -> None:
    assert store.events.add([event(1), event(2), event(1)]) == [True, True, False]
    changed = replace(event(1), price=1.0)
    assert store.events.add([changed, event(3)]) == [False, True]
    assert store.events.history("u1") == [event(1), event(2), event(3)]


def test_attributes_of_a_user_are_replaced_and_erased_with_the_events(store: Store) -> None:
    full = {"age": 34, "name": "Ünal", "vip": True, "tags": ["a", "b"], "score": 0.5, "nothing": None}
    store.users.put("ü/1", {"age": 3, "old": 1})
    store.users.put("ü/1", full)
    store.users.put("u2", {"age": 4})
    store.events.add([event(1, "ü/1")])
    assert store.users.get("ü/1") == full
    assert store.users.get("nobody") is None
    assert sorted(store.users.scan(batch=1)) == [("u2", {"age": 4}), ("ü/1", full)]
    assert store.events.erase("ü/1").events == 1
    assert store.users.get("ü/1") is None
    assert [user for user, _ in store.users.scan()] == ["u2"]
    store.users.put("ü/1", {"age": 5})  # who comes back may say something again
    assert store.users.get("ü/1") == {"age": 5}


def test_one_event_may_hold_several_items(store: Store) -> None:
    basket = [event(1, item="A"), event(1, item="B")]
    assert store.events.add(basket) == [True, True]
    assert sorted(stored.item_id for stored in store.events.history("u1")) == ["A", "B"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(calls=st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=5))
def test_new_counts_events_that_were_not_stored_before(store: Store, calls: list[list[int]]) -> None:
    user = uuid4().hex
    seen: set[int] = set()
    events = [replace(event(n, user), event_id=f"{user}{n:02}") for n in range(13)]
    for numbers in calls:
        expected = []
        for n in numbers:
            expected.append(n not in seen)
            seen.add(n)
        assert store.events.add([events[n] for n in numbers]) == expected
    assert store.events.history(user) == [events[n] for n in sorted(seen)]


def test_scan_reads_everything_in_time_order(store: Store) -> None:
    events = [event(n, user=f"u{n % 3}") for n in range(250)]
    store.events.add(events[::-1])
    assert list(store.events.scan(batch=100)) == events
    assert list(islice(store.events.scan(batch=10), 3)) == events[:3]


def test_an_erasure_deletes_one_user_and_returns_the_count(store: Store) -> None:
    store.events.add([event(n, user=f"u{n % 2}") for n in range(10)])
    receipt = store.events.erase("u1")
    assert receipt.events == 5
    assert "u1" not in str(receipt)
    assert store.events.erase("u1").events == 0
    assert {stored.user_id for stored in store.events.scan()} == {"u0"}


def test_erased_events_are_not_imported_again_but_new_ones_are(store: Store) -> None:
    past = [event(1), event(2, user="u2"), event(3)]
    store.events.add(past)
    erased_at = store.events.erase("u1").erased_at
    assert store.events.add(past) == [False, False, False]
    late = [replace(event(4), timestamp=erased_at), event(5, user="u2")]
    assert store.events.add(late) == [False, True]
    assert store.events.history("u1") == []
    again = replace(event(6), timestamp=erased_at + timedelta(seconds=1))
    assert store.events.add([again]) == [True]
    assert store.events.history("u1") == [again]
    assert len(store.events.history("u2")) == 2


def test_a_clock_set_back_restores_nothing_erased(store: Store) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    early = replace(event(1), timestamp=ahead)
    store.events.add([early])
    assert store.events.erase("u1").erased_at == ahead
    assert store.events.erase("u1").erased_at == ahead
    assert store.events.add([early]) == [False]
    insert_unchecked(store, [replace(event(2), timestamp=ahead + timedelta(days=3000))])
    assert store.events.erase("u1") == (ANY, ahead, 1)


def test_an_erasure_wins_against_concurrent_writes(store: Store) -> None:
    def write(thread: int) -> None:
        for n in range(15):
            store.events.add([replace(event(n), event_id=f"{thread}-{n}")])

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, thread) for thread in range(3)]
        store.events.erase("u1")
        for done in writing:
            done.result()
    assert store.events.history("u1") == []


def test_a_session_goes_to_the_user_who_logs_in(store: Store) -> None:
    store.events.add([event(1, user=""), event(2, user="u2"), replace(event(3, user=""), session_id="other")])
    assert store.events.merge("s", "u1") == 1
    assert store.events.merge("s", "u1") == 0
    assert [stored.event_id for stored in store.events.history("u1")] == ["e1"]
    assert [stored.event_id for stored in store.events.history("u2")] == ["e2"]


def test_a_merge_brings_nothing_back_to_an_erased_user(store: Store) -> None:
    store.events.add([event(1, user=""), event(2, user="u2")])
    erased_at = store.events.erase("u1").erased_at
    late = replace(event(3, user=""), timestamp=erased_at + timedelta(seconds=1))
    store.events.add([late])
    assert store.events.merge("s", "u1") == 1
    assert store.events.history("u1") == [replace(late, user_id="u1")]
    assert {stored.event_id for stored in store.events.scan()} == {"e2", "e3"}  # the old one is deleted


def test_an_erasure_wins_against_concurrent_merges(store: Store) -> None:
    sessions = [f"s{n}" for n in range(30)]
    store.events.add([replace(event(n, user=""), session_id=name) for n, name in enumerate(sessions)])
    with ThreadPoolExecutor(4) as pool:
        merging = [pool.submit(store.events.merge, name, "u1") for name in sessions[:15]]
        store.events.erase("u1")
        for done in [*merging, *(pool.submit(store.events.merge, name, "u1") for name in sessions[15:])]:
            done.result()
    assert store.events.history("u1") == []


def test_a_session_is_erased_and_stays_so(store: Store) -> None:
    theirs = [event(1, user=""), event(2), event(3, user="u2")]
    other = replace(event(4), session_id="other")
    store.events.add([*theirs, other])
    assert store.events.merge("s", "u1") == 1
    receipt = store.events.erase_session("s")
    assert receipt.events == 3
    assert store.events.add(theirs) == [False] * 3
    assert list(store.events.scan()) == [other]
    later = replace(event(5), timestamp=receipt.erased_at + timedelta(seconds=1))
    assert store.events.add([later]) == [True]
    assert store.events.erase("s").events == 0  # a user of that name is somebody else
    assert store.events.add([replace(event(6, user="u9"), session_id="u1")]) == [True]


def test_an_event_of_somebody_erased_deletes_nobody_elses(store: Store) -> None:
    store.events.add([event(1, user="u2")])
    store.events.erase("u1")
    assert store.events.add([event(1, user="u1")]) == [False]  # the same event_id and product
    assert store.events.history("u2") == [event(1, user="u2")]


def test_the_events_of_a_session_are_read_alone_and_with_the_users(store: Store) -> None:
    of_user = [replace(event(n), session_id="before") for n in range(3)]
    anonymous, of_both, of_other = event(3, user=""), event(4), event(5, user="u2")
    store.events.add([*of_user, anonymous, of_both, of_other, replace(event(6, user=""), session_id="x")])
    assert store.events.history(session_id="s") == [anonymous, of_both, of_other]
    assert store.events.history("u1", session_id="s") == [*of_user, anonymous, of_both]
    assert store.events.history("u1", "s", 3) == [of_user[2], anonymous, of_both]
    assert store.events.history(session_id="s", limit=1) == [of_other]
    assert store.events.history() == []


def test_pages_of_a_users_events_lose_and_repeat_none_while_events_are_added(store: Store) -> None:
    known = [replace(event(n // 3), event_id=f"e{n:02}") for n in range(40)]  # three at a time
    store.events.add([*known, *(event(n, "u2", "B") for n in range(5))])
    pages: list[list[Event]] = []
    position = None
    while not pages or len(pages[0]) == 7:
        pages.insert(0, store.events.page("u1", 7, position))
        first = pages[0][0]
        position = EventPosition(first.timestamp, first.event_id, first.item_id)
        added = [replace(event(60 + len(pages)), event_id=f"new{len(pages)}")]
        added.append(replace(event(0), event_id=f"old{len(pages)}", timestamp=NOON - timedelta(days=len(pages))))
        store.events.add(added)
    listed = [stored for page in pages for stored in page]
    assert [each for each in listed if each.event_id[0] == "e"] == known
    assert listed == sorted(listed, key=lambda each: (each.timestamp, each.event_id))
    assert len(listed) == len(set(listed))


def test_old_events_expire(store: Store) -> None:
    store.events.add([event(n) for n in range(4)])
    assert store.events.expire(NOON + timedelta(minutes=2)) == 2
    assert [stored.event_id for stored in store.events.scan()] == ["e2", "e3"]


def test_trending_weighs_events_in_the_window(store: Store) -> None:
    bought = replace(event(5, item="B"), event_name="purchase")
    dropped = replace(event(6, item="C"), event_name="dismiss")
    seen = [event(n, item="A") for n in (0, 3, 4)] + [event(7, item="D")]
    store.events.add([*seen, bought, dropped])
    assert store.events.trending(NOON + timedelta(minutes=1)) == [("B", 5.0), ("A", 2.0), ("D", 1.0)]
    assert store.events.trending(NOON, limit=1) == [("B", 5.0)]
    assert store.events.trending(NOON + timedelta(minutes=8)) == []


def test_no_shopper_makes_a_product_trend_alone(store: Store) -> None:
    bot = [event(n, "bot", "A") for n in range(500)]
    bot += [replace(event(n, "", "B"), session_id="one", event_id=f"s{n}") for n in range(500)]
    shoppers = [event(1000 + n, f"u{n}", "C") for n in range(21)]
    store.events.add([*bot, *shoppers])
    assert store.events.trending(NOON) == [("C", 21.0), ("A", 20.0), ("B", 20.0)]


def test_no_shopper_decides_what_trends(store: Store) -> None:
    for n in range(100):
        carts = [
            replace(event(n, "bot", f"P{n:03}"), event_name="add_to_cart", event_id=f"{n}-{m}") for m in range(9)
        ]
        hated = [replace(event(n, "bot", "Z"), event_name="dismiss", event_id=f"z{n}")]
        store.events.add(carts + hated)
    store.events.add([event(1000 + n, f"u{n}", "Z") for n in range(21)])
    trending = dict(store.events.trending(NOON))
    dismissed = 21 - trending.pop("Z")
    assert sum(trending.values()) + dismissed == pytest.approx(200)
    assert 0 < dismissed < 3  # what others viewed is not undone


def test_events_that_do_not_count_are_stored_all_the_same(store: Store) -> None:
    shown = Attribution("g1", "home", "for_you").new_id(b"k")
    ahead = datetime.now(UTC) + timedelta(hours=20)
    events = [replace(event(n), recommendation_id=shown, event_name="purchase") for n in range(2)]
    events.append(replace(event(2, item="B"), recommendation_id=shown, timestamp=ahead))
    assert store.events.add([events[0], events[2]], counted=[False, True]) == [True, True]
    assert store.events.trending(EARLIEST) == store.events.counts(EARLIEST, ahead + timedelta(days=1)) == []
    assert store.events.history("u1") == [events[0], events[2]]
    assert store.events.add([events[0], events[1]], counted=[True, True]) == [False, True]
    assert [weight for _, weight in store.events.trending(EARLIEST)] == [5.0]


def test_answers_of_drawn_arms_are_not_counted(store: Store) -> None:
    drawn = Attribution("g1", "home", "for_you", DRAWN).new_id(b"k")
    store.events.add([replace(event(1), recommendation_id=drawn)])
    assert store.events.counts(NOON, NOON + timedelta(hours=1)) == []


def test_ids_are_signed_with_the_key_of_the_store(store: Store, url: str) -> None:
    with open_store(url) as other:
        key = other.events.signing_key()
    assert key == store.events.signing_key()
    assert len(key) >= 32
    made = Attribution("g1", "home", "for_you", "b").new_id(key)
    assert len(made) == len("g1~home~for_you~b") + SUFFIX_LENGTH
    assert is_signed(made, key)
    forged = [made[:-1] + ("A" if made[-1] != "A" else "B"), made.replace("home", "hone"), made + "=", made + "A"]
    forged += [
        "",
        "~",
        made[:-16],
        made.replace("~", "", 1),
        "g1~home~for_you~b~5f0c1f1e6d0b4f7c",
        "é" + made,
        "\ud800",
    ]
    assert not any(is_signed(each, key) for each in forged)
    assert not is_signed(made, b"another key")


def test_events_of_wrong_clocks_count_for_nothing(store: Store) -> None:
    wrong = [datetime(2099, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)]
    poison = [replace(event(n, item="B"), timestamp=moment) for n, moment in enumerate(wrong)]
    insert_unchecked(store, poison)
    store.events.add([event(5)])
    assert store.events.history("u1") == list(store.events.scan()) == [event(5)]
    assert store.events.page("u1", 10) == [poison[1], event(5), poison[0]]  # but they are the user's own
    assert store.events.trending(EARLIEST) == [("A", 1.0)]
    assert store.events.trending(wrong[1]) == [("A", 1.0), ("B", 1.0)]  # as asked, but nothing of the future


def test_a_store_with_moments_at_the_ends_of_time_can_be_read_and_erased(url: str) -> None:
    ends = [datetime(9999, 12, 31, 23, 59, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)]
    with open_store(in_time_zone(url, "Pacific/Kiritimati")) as store:  # where it is the year 10000 already
        insert_unchecked(store, [replace(event(n), timestamp=moment) for n, moment in enumerate(ends)])
        store.events.add([event(5)])
        assert store.events.history("u1") == store.events.history(session_id="s") == [event(5)]
        assert store.events.page("u1", 10) == list(store.events.scan()) == [event(5)]
        assert store.events.trending(NOON) == [("A", 1.0)]
        assert store.events.erase("u1").events == 3


def test_storefront_shoppers_do_not_count_for_trending(store: Store) -> None:
    store.events.add([event(0, f"{PLAYED}Ada", "A"), event(1, PLAYED.title() + "Ada", "B"), event(2, "", "C")])
    assert store.events.trending(NOON) == [("B", 1.0), ("C", 1.0)]


def test_counts_are_by_kind_of_answer_and_each_product_of_an_answer_once(store: Store) -> None:
    home, page = Attribution("g1", "home", "for_you", "b"), Attribution("g1", "", "similar")
    first, second, third = home.new_id(b"k"), home.new_id(b"k"), page.new_id(b"k")
    events = [("view_item_list", first, "A"), ("view_item_list", first, "A"), ("view_item_list", first, "B")]
    events += [("view_item_list", second, "A"), ("select_item", first, "A"), ("purchase", third, "A")]
    events += [("purchase", "somebody-elses-id-that-is-long", "A"), ("purchase", "", "A")]
    events = [
        replace(event(n, item=item), event_name=name, recommendation_id=rec)
        for n, (name, rec, item) in enumerate(events)
    ]
    store.events.add(events)
    assert store.events.counts(NOON, NOON + timedelta(hours=1)) == [
        AttributionCount(page, "purchase", 1),
        AttributionCount(home, "select_item", 1),
        AttributionCount(home, "view_item_list", 3),
    ]
    assert store.events.counts(NOON + timedelta(minutes=6), NOON + timedelta(hours=1)) == []


def test_exposures_are_by_day_and_each_product_of_an_answer_once(store: Store) -> None:
    key, day = store.events.signing_key(), datetime(2026, 3, 1, tzinfo=UTC)
    home, more = Attribution("g", "home", "popular"), Attribution("g", "more", "popular")
    answers = [
        home.new_id(key),
        home.new_id(key),
        more.new_id(key),
        Attribution("g", "home", "popular", DRAWN).new_id(key),
    ]
    shown = [(0, "A", 1), (0, "A", 2), (0, "B", 23), (1, "A", 25), (2, "A", 47), (3, "A", 1)]
    events = [
        replace(event(n, item=item), event_name="view_item_list", recommendation_id=answers[answer],
                timestamp=day + timedelta(hours=hours))
        for n, (answer, item, hours) in enumerate(shown)
    ]  # fmt: skip
    clicked = replace(events[0], event_id="click", event_name="select_item")
    uncounted = replace(events[0], event_id="no", item_id="C")
    store.events.add([*events, clicked, uncounted], [*[True] * 7, False])
    first, second = int(day.timestamp()), int(day.timestamp()) + 86_400
    assert sorted(store.events.exposures(day, day + timedelta(days=2))) == [
        (home, "A", first, 1),
        (home, "A", second, 1),
        (home, "B", first, 1),
        (more, "A", second, 1),
    ]
    assert len(store.events.exposures(day + timedelta(days=1), day + timedelta(days=2))) == 2


def test_logged_answers_are_read_with_the_counted_events_that_name_them(store: Store) -> None:
    key, noon = store.events.signing_key(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    answers = [
        LoggedAnswer(
            Attribution("g", "home", "popular").new_id(key),
            noon + timedelta(hours=n),
            f"user {n}",
            "",
            {"params": {"filter": "é < 1"}},
            (LoggedItem("A", 0.125, True), LoggedItem("B", 0.9, False)),
        )
        for n in range(3)
    ]
    for answer in answers:
        store.answers.add(answer)
    clicks = [
        replace(event(n, item=item), event_name=name, recommendation_id=answers[number].recommendation_id)
        for n, (number, item, name) in enumerate(
            [
                (0, "A", "select_item"),
                (0, "A", "purchase"),
                (1, "B", "select_item"),
                (2, "A", "select_item"),
                (0, "C", "purchase"),
            ]
        )
    ]
    store.events.add(clicks, [True, True, False, True, True])
    first, second = store.answers.read(noon, noon + timedelta(hours=2))
    assert first == replace(
        answers[0],
        items=(LoggedItem("A", 0.125, True, frozenset({"select_item", "purchase"})), LoggedItem("B", 0.9, False)),
    )
    assert second == answers[1]


def test_overlay_merges_and_counts(store: Store) -> None:
    assert store.overlay.revision() == 0
    assert changes(store) == {}
    assert store.overlay.put({"A": {"price": 9.5, "availability": "in_stock"}}) == 1
    assert store.overlay.put({"B": {"tags": ["x", "y"], "price": None}}) == 2
    assert store.overlay.put({"A": {"price": 8}}) == 3
    assert store.overlay.revision() == 3
    assert changes(store) == {
        "A": {"price": 8, "availability": "in_stock"},
        "B": {"tags": ["x", "y"], "price": None},
    }


def test_overlay_returns_changes_since_a_revision(store: Store) -> None:
    store.overlay.put({"A": {"price": 1}, "B": {"price": 2}})
    store.overlay.put({"B": {"price": 3}, "C": None})
    assert changes(store, 1) == {"B": {"price": 3}, "C": None}
    assert changes(store, 2) == {}
    store.overlay.put({"A": {"size": "M"}, "C": {"price": 4}}, replace=True)
    assert changes(store) == {"A": {"size": "M"}, "B": {"price": 3}, "C": {"price": 4}}


def test_the_queue_holds_products_until_they_are_embedded(store: Store) -> None:
    store.overlay.put({"new": {"title": "Oak"}, "A": {"price": 1}}, queue={"new"})
    store.overlay.put({"gone": None}, queue={"gone"})
    store.overlay.put({"new": {"price": 5}})
    queued = store.overlay.queued()
    assert waiting(store) == [("new", {"title": "Oak", "price": 5}, 1), ("gone", None, 2)]
    assert store.overlay.queued(limit=1) == queued[:1]
    store.overlay.put({"new": {"title": "Ash"}}, queue={"new"})  # while it is being embedded
    store.overlay.mark_embedded(queued)
    assert waiting(store) == [("new", {"title": "Ash", "price": 5}, 4)]
    assert changes(store)["gone"] is None


def test_what_was_embedded_after_a_revision_is_queued_again(store: Store) -> None:
    for item_id in ("A", "B", "C", "D"):
        store.overlay.put({item_id: {"title": item_id}}, queue={item_id})
    first, second, third, fourth = store.overlay.queued()
    store.overlay.mark_embedded([first, second])
    store.overlay.mark_embedded([third], published=False)
    assert store.overlay.queued() == [fourth]
    revision = store.overlay.put({"B": {"price": 3}})
    assert store.overlay.requeue(after=2) == 0
    assert store.overlay.requeue(after=1) == 1
    assert waiting(store) == [("B", {"title": "B", "price": 3}, 2), ("D", {"title": "D"}, 4)]
    assert store.overlay.revision() == revision
    store.overlay.mark_embedded(store.overlay.queued())
    store.overlay.put({"A": {"title": "again"}}, queue={"A"})
    assert store.overlay.requeue(after=0) == 2
    assert [each.item_id for each in store.overlay.queued()] == ["B", "D", "A"]


def test_each_attribute_has_the_time_of_its_change(store: Store) -> None:
    store.overlay.put({"A": {"price": 1, "title": "Oak"}}, at=100.0, source="api:shop")
    store.overlay.put({"A": {"price": 2}}, at=300.0, source="api")
    (entry,) = store.overlay.page()
    assert (entry.updated_at, entry.times, entry.source) == (300.0, {"title": 100.0}, "api")
    assert entry.since(100.0) == {"price": 2, "title": "Oak"}  # what is as old as the row is not older
    assert entry.since(200.0) == {"price": 2}
    assert entry.since(400.0) == {}
    assert entry.since(float("nan")) == entry.attributes  # the catalogue does not have it
    store.overlay.put({"A": {"title": "Ash"}}, replace=True, at=400.0)
    assert store.overlay.page()[0].times == {}
    store.overlay.put({"A": None}, at=500.0)
    (entry,) = store.overlay.page()
    assert (entry.since(450.0), entry.since(550.0), entry.is_older(550.0)) == (None, {}, True)


def test_the_overlay_is_listed_in_pages(store: Store) -> None:
    ids = [f"{number:03}" for number in range(25)]
    for item_id in reversed(ids):
        store.overlay.put({item_id: {"price": 1}})
    pages, after = [], ""
    while page := store.overlay.page(after, limit=10):
        pages.append([entry.item_id for entry in page])
        after = pages[-1][-1]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [item_id for page in pages for item_id in page] == ids


def test_what_is_absorbed_is_left_out_until_its_generation_is_rolled_back(store: Store) -> None:
    store.overlay.put({"A": {"price": 1}, "B": {"price": 2}, "C": {"title": "C"}}, queue=["C"], added=["C"])
    read, revision = store.overlay.read(), store.overlay.revision()
    store.overlay.put({"B": {"price": 3}})  # while the generation is published
    store.overlay.absorb([entry for entry in read.values() if entry], "g2")
    assert changes(store) == {"B": {"price": 3}}
    assert store.overlay.read(since=revision)["A"] is None
    assert store.overlay.queued() == []
    assert [entry.item_id for entry in store.overlay.page()] == ["B"]
    assert store.overlay.restore("g2") == store.overlay.restore("g3") == 0
    revision = store.overlay.revision()
    assert store.overlay.restore("g1") == 2
    assert changes(store, revision) == {"A": {"price": 1}, "C": {"title": "C"}}
    assert waiting(store) == [("C", {"title": "C"}, 1)]
    store.overlay.absorb([entry for entry in store.overlay.read().values() if entry], "g2")
    store.overlay.purge("g1")
    assert store.overlay.restore("g1") == 3
    store.overlay.absorb([entry for entry in store.overlay.read().values() if entry], "g2")
    store.overlay.purge("g2")
    assert store.overlay.restore("g1") == 0


def test_a_change_of_an_absorbed_product_counts_and_leaves_older_ones_older(store: Store) -> None:
    store.overlay.put({"A": {"price": 1}, "B": {"title": "Oak"}}, at=100.0, added=["B"])
    store.overlay.absorb(_entries(store), "g2")
    store.overlay.put({"A": {"availability": "in_stock"}, "B": {"price": 2}}, at=300.0)
    assert [entry.since(200.0) for entry in _entries(store)] == [{"availability": "in_stock"}, {"price": 2}]
    assert [entry.added for entry in _entries(store)] == [False, False]  # the catalogue has it
    store.overlay.absorb(_entries(store), "g3")
    store.overlay.put({"B": {"price": 3}}, added=["B"])  # dropped since, and put again
    assert changes(store) == {"B": {"price": 3}}
    store.overlay.put({"B": {"title": "Ash"}})
    assert [entry.added for entry in _entries(store)] == [True]


def _entries(store: Store) -> list[OverlayEntry]:
    return store.overlay.page(limit=1000)


def test_definitions_have_revisions_and_an_author(store: Store) -> None:
    definitions = store.definitions
    assert (definitions.revision(), definitions.read(), definitions.revisions("placement", "home")) == (0, [], [])
    first = definitions.put("placement", "home", {"rules": [{"note": "ü"}]}, author="api:ann", expected=0)
    other = definitions.put("collection", "home", {"item_ids": ["A"]}, author="api:bob", expected=0)
    second = definitions.put("placement", "home", {"rules": []}, author="api:bob", expected=first.revision)
    assert definitions.revision() == second.revision > other.revision > first.revision
    assert definitions.read() == [other, second]
    assert definitions.read(since=other.revision) == [second]
    removed = definitions.put("placement", "home", None, author="api:ann", restores=0)
    assert definitions.revisions("placement", "home") == [removed, second, first]
    assert definitions.revisions("placement", "home", limit=1, before=second.revision) == [first]
    assert (removed.value, removed.restores, first.value) == (None, 0, {"rules": [{"note": "ü"}]})
    assert first.author == "api:ann"
    assert time.time() - 60 < first.changed_at <= second.changed_at <= time.time()


def test_the_later_of_two_editors_is_refused(store: Store) -> None:
    first = store.definitions.put("placement", "home", {"n": 1}, author="a", expected=0)

    def edit(author: str) -> int | None:
        value, expected = {"by": author}, first.revision
        try:
            return store.definitions.put("placement", "home", value, author=author, expected=expected).revision
        except RevisionConflictError:
            return None

    with ThreadPoolExecutor(8) as pool:
        revisions = [*pool.map(edit, "bcdefghi")]
    (won,) = [revision for revision in revisions if revision is not None]
    assert [each.revision for each in store.definitions.revisions("placement", "home")] == [won, first.revision]
    with pytest.raises(RevisionConflictError, match=f"is at revision {won}; expected 0"):
        store.definitions.put("placement", "home", {}, author="a", expected=0)
    assert store.definitions.revision() == won  # what is refused leaves no trace


def test_an_old_store_is_migrated(url: str) -> None:
    database = Database(url)
    with database.transaction() as connection:
        for statement in BEFORE_MIGRATIONS.split(";"):
            connection.exec_driver_sql(statement)
    database.close()
    for _ in range(2):
        with open_store(url) as store:
            assert [stored.item_id for stored in store.events.history("u1")] == ["A"]
            assert store.events.trending(EARLIEST) == [("A", 1.0)]  # as before
            assert changes(store) == {"B": {"price": 9}}
            assert store.overlay.queued() == []
            assert abs(store.overlay.page()[0].updated_at - time.time()) < 600  # of the migration
    with open_store(url) as store:
        assert store.overlay.put({"C": None}) == 5
        assert changes(store, 4) == {"C": None}


def test_stored_data_survives_the_process(url: str) -> None:
    with open_store(url) as store:
        store.events.add([event(1)])
        store.overlay.put({"A": {"price": 1}})
    with open_store(url) as store:
        assert store.events.history("u1") == [event(1)]
        assert changes(store) == {"A": {"price": 1}}


def test_concurrent_threads_lose_no_event(store: Store) -> None:
    def write(thread: int) -> int:
        for n in range(20):
            store.events.add([event(n), event(n, user=f"t{thread}", item=f"t{thread}")])
        return max(store.overlay.put({"A": {f"{thread}": n}}) for n in range(20))

    with ThreadPoolExecutor(4) as pool:
        revisions = list(pool.map(write, range(4)))
    assert len(list(store.events.scan())) == 20 + 4 * 20
    assert max(revisions) == store.overlay.revision() == 80
    assert changes(store) == {"A": {"0": 19, "1": 19, "2": 19, "3": 19}}


def _open_and_write(url: str, process: int) -> None:
    with open_store(url) as store:
        for n in range(20):
            store.events.add([event(n), event(n, item=f"p{process}")])
            store.overlay.put({"A": {"price": n}})


def test_processes_may_open_a_new_store_at_once(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_open_and_write, args=(url, process)) for process in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with open_store(url) as store:
        assert len(list(store.events.scan())) == 20 + 3 * 20
        assert store.overlay.revision() == 60


def test_every_event_name_is_stored(store: Store) -> None:
    names = [replace(event(n), event_name=name) for n, name in enumerate(EVENT_WEIGHTS)]
    store.events.add(names)
    assert [stored.event_name for stored in store.events.history("u1")] == list(EVENT_WEIGHTS)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlight:///x.db", "did you mean 'sqlite'"),
        ("events.sqlite", "expected one of postgresql, sqlite"),
        ("sqlite:////no/such/folder/x.db", "unable to open database file"),
        ("postgresql://u:secret@127.0.0.1:1/x", "refuse"),
        ("postgresql+nodriver://x/y", "no usable store URL"),
    ],
)
def test_a_url_that_cannot_be_opened_says_so(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_a_full_disk_loses_no_acknowledged_event(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        store.events.add([event(1)])
        pages = store.events._database.engine  # type: ignore[attr-defined]
        with pages.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 20")
        with pytest.raises(StoreError, match="full"):
            store.events.add([event(n, item="x" * 500) for n in range(2, 500)])
        assert store.events.history("u1") == [event(1)]
