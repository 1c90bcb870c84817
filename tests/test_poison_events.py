"""Whatever an event holds, it is stored and read back equal, or refused alone: in every store, at every door."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.catalog import read_events
from recommender.commands.events import import_events
from recommender.config import EventsConfig
from recommender.errors import RequestError
from recommender.events import EVENT_WEIGHTS, Event
from recommender.stores import Store, open_store
from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from tests.serving_fakes import load, publish
from tests.test_stores import in_time_zone, postgres, url

__all__ = ["postgres", "url"]  # fixtures

NOW = datetime.now(UTC)
PLAUSIBLE = {"min_value": datetime(1990, 1, 2), "max_value": (NOW - timedelta(days=1)).replace(tzinfo=None)}
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])


def drawn_text(seed: int, length: int, first: int) -> str:
    """Return characters from a block of Unicode that no database can compress."""
    generator = random.Random(seed)
    return "".join(chr(first + generator.randrange(500)) for _ in range(length))


ANY_CHARACTER = st.characters(exclude_categories=())  # control characters and halves of surrogate pairs, too
TEXTS = st.text(ANY_CHARACTER, max_size=8) | st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)))
TEXTS |= st.builds(
    drawn_text, st.integers(0, 99), st.integers(250, 520), st.sampled_from([0x100, 0x4E00, 0x20000])
)
NUMBERS = st.none() | st.floats(-1e4, 1e4) | st.floats()
MOMENTS = st.datetimes(**PLAUSIBLE, timezones=ZONES) | st.datetimes(timezones=ZONES)
FIELDS = {
    **dict.fromkeys(("item_id", "user_id", "event_id", "session_id", "recommendation_id"), TEXTS),
    **dict.fromkeys(("value", "quantity", "price"), NUMBERS),
    "event_name": st.sampled_from(list(EVENT_WEIGHTS)),
    "timestamp": MOMENTS,
}


def changed(good: dict[str, Any], fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw what differs from something good in up to three fields."""
    names = st.lists(st.sampled_from(list(fields)), max_size=3, unique=True)
    drawn = names.flatmap(lambda some: st.fixed_dictionaries({name: fields[name] for name in some}))
    return drawn.map(lambda values: good | values)


EVENT = {"item_id": "A", "event_name": "rate", "timestamp": NOW, "user_id": "u", "session_id": "s"}
EVENTS = changed(EVENT, FIELDS)
many = settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(in_time_zone(url, "Pacific/Kiritimati")) as opened:
        yield opened


def test_an_event_is_read_back_equal_or_refused(store: Store) -> None:
    expected: dict[tuple[str, str], Event] = {}
    pointers = set()

    @many
    @given(values=EVENTS)
    def check(values: dict[str, Any]) -> None:
        event = Event(**{"event_id": uuid4().hex, **values})
        key = event.event_id, event.item_id
        try:
            new = store.events.add([event])
        except RequestError as error:
            pointers.add(error.pointer.lstrip("/"))
        else:
            assert new == [key not in expected]
            expected.setdefault(key, event)

    check()
    assert pointers <= set(Event.__dataclass_fields__)
    assert pointers
    by_user: dict[str, set[Event]] = {}
    for event in expected.values():
        by_user.setdefault(event.user_id, set()).add(event)
    assert by_user
    assert set(store.events.scan()) == set(expected.values())
    for user_id, events in by_user.items():
        assert set(store.events.page(user_id, 1000)) == events
        assert not user_id or set(store.events.history(user_id, limit=1000)) == events
        store.events.erase(user_id)
    assert list(store.events.scan()) == []


@pytest.fixture
def client(url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    publish(tmp_path / "bundles", "g1")
    service = Settings(store=in_time_zone(url, "Europe/Berlin"), rate=1e6, burst=10**6, log_level="error")
    app = create_app(tmp_path / "bundles", service, load=load, watch_seconds=None)
    yield app.test_client()
    app.extensions[KEY].close()


GOOD = {"event_name": "view_item", "timestamp": NOW.isoformat(), "user_id": "u", "items": [{"item_id": "A"}]}
FINITE = NUMBERS.filter(lambda number: number is None or abs(number) < float("inf"))
LINES = st.lists(
    st.fixed_dictionaries({"item_id": TEXTS}, optional={"quantity": FINITE, "price": FINITE}), max_size=3
)
MESSAGES = changed(
    GOOD,
    {
        **{name: strategy for name, strategy in FIELDS.items() if name not in ("item_id", "quantity", "price")},
        "items": LINES,
        "value": FINITE,
        "timestamp": MOMENTS.map(datetime.isoformat),
    },
)


def sent(client: FlaskClient, path: str, body: Any) -> Any:
    return client.post(f"/v1/{path}", data=json.dumps(body), content_type="application/json")


def test_one_event_is_stored_or_refused_and_the_others_of_its_batch_are_stored(client: FlaskClient) -> None:
    store: Store = client.application.extensions[KEY].store

    @many
    @given(message=MESSAGES)
    def check(message: dict[str, Any]) -> None:
        token = uuid4().hex
        message = {"event_id": f"{token}-x", **message}
        alone = sent(client, "events", message)
        assert alone.status_code in (200, 422), alone.data
        good = [{**GOOD, "event_id": f"{token}-{n}"} for n in range(2)]
        receipts = sent(client, "events:batch", {"events": [good[0], message, good[1]]}).json["events"]
        assert [receipts[0]["status"], receipts[2]["status"]] == ["stored", "stored"]
        assert receipts[1]["status"] == ("known" if alone.status_code == 200 else "invalid")
        if alone.status_code == 200:
            assert datetime.fromisoformat(message["timestamp"]) <= NOW + timedelta(days=1)
            ids = {item["item_id"] for item in message["items"]}
            found = {each.item_id for each in store.events.scan() if each.event_id == message["event_id"]}
            assert ids <= found
            user = message.get("user_id")
            assert user is None or client.get("/v1/events", query_string={"user_id": user}).status_code == 200

    check()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"e-x"', r'"\ud800"'),
        ('"A"', r'"A\udfff"'),
        ("7.5", "1e999"),
        ("7.5", "9" * 400),
        ('"quantity"', r'"quantity\ud800"'),
        ('"2026-', '"0001-01-01T00:00:00+14:00", "x": "'),
    ],
    ids=str,
)
def test_what_json_can_write_and_no_store_can_retain_is_refused_alone(
    client: FlaskClient, old: str, new: str
) -> None:
    event = {**GOOD, "event_id": "e-x", "items": [{"item_id": "A", "quantity": 7.5}]}
    poison = json.dumps(event).replace(old, new)
    assert poison != json.dumps(event)
    alone = client.post("/v1/events", data=poison, content_type="application/json")
    assert alone.status_code == 422, alone.data
    batch = f'{{"events": [{poison}, {json.dumps({**GOOD, "event_id": "good"})}]}}'
    receipts = client.post("/v1/events:batch", data=batch, content_type="application/json")
    assert [each["status"] for each in receipts.json["events"]] == ["invalid", "stored"], receipts.json


@pytest.mark.parametrize(
    "body", [b'{"a": NaN}', rb'{"a": "\ud800", "b": NaN}', rb'["\ud800"' + b"[" * 9999, b'"\xff"']
)
def test_what_is_not_json_is_refused(client: FlaskClient, body: bytes) -> None:
    assert client.post("/v1/events", data=body, content_type="application/json").status_code == 400


def test_bodies_with_half_a_character_are_no_server_error(client: FlaskClient) -> None:
    half = "\ud800"
    for body in ({half: 1}, {"filter": half}, {"filter": {half: []}}, {"weights": {half: 1}}, {"fields": [half]}):
        assert sent(client, "recommendations", body).status_code == 422, body
    for filter in (
        {"field": half, "match": 1},
        {"field": "title", "match": half},
        {"ids": [half]},
        {"must": half},
    ):
        assert sent(client, "recommendations", {"filter": {"must": [filter]}}).status_code in (200, 422), filter
    attributes = client.put(
        "/v1/users/u", data=json.dumps({"attributes": {half: half}}), content_type="application/json"
    )
    assert attributes.status_code == 422


def test_session_events_of_any_moment_are_answered_or_refused(client: FlaskClient) -> None:
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "1970-01-01T00:00:00Z"):
        answer = sent(client, "recommendations", {"seeds": {"events": [{"item_id": "A", "timestamp": moment}]}})
        assert answer.status_code == 422
        assert answer.json["errors"][0]["pointer"] == "/seeds/events/0/timestamp"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_files_are_imported_but_for_what_cannot_be_stored(
    url: str, tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", zone)
    row = {
        "event_id": "good",
        "user_id": "u",
        "item_id": "A",
        "event_name": "purchase",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    poison: list[dict[str, Any]] = [
        {"timestamp": "0001-01-01T00:00:00+14:00"},
        {"timestamp": "9999-12-31T23:59:59Z"},
        {"item_id": drawn_text(0, 512, 0x20000)},
        {"user_id": "a\u0000b"},
        {"session_id": "x" * 513},
    ]
    rows = [
        row,
        *({**row, "event_id": f"bad{n}", **bad} for n, bad in enumerate(poison)),
        {**row, "event_id": "last"},
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert {"good", "last"} <= {event.event_id for event in read_events(path, EventsConfig(path=path))}
    import_events(path, url, as_json=True)
    counts = json.loads(capsys.readouterr().out)
    assert (counts["new"], counts["known"]) == (2, 0)
    with open_store(url) as store:
        assert [event.event_id for event in store.events.scan()] == ["good", "last"]
