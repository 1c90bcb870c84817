"""A store that hangs, is down or is locked: requests are answered without it, in time, until it is back."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from hanging_postgres import proxy, server, url_of  # noqa: F401  # fixtures
from serving_fakes import EVENT, ids, load, publish

from recommender.commands.benchmarks.postgres import Postgres
from recommender.commands.benchmarks.proxy import Proxy
from recommender.errors import ConfigError, StoreUnavailableError
from recommender.events import Event as ShopEvent
from recommender.stores import deadline, open_store
from recommender.stores.deadlines import remaining
from serving import health, live_store
from serving.app import create_app
from serving.live_store import FAILURES, CircuitBreaker, Slots
from serving.recommending import recommend
from serving.schemas.requests import RecommendationParams, Seeds
from serving.service import KEY
from serving.settings import Key, Settings

MOMENT = datetime(2026, 11, 23, tzinfo=UTC)
PATIENCE = 20.0  # seconds for what takes a fraction of one where the machine is free


def until(condition: Callable[[], Any]) -> None:
    end = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < end, "it did not come to be"
        sleep(0.02)


def seconds_of(call: Callable[[], Any]) -> tuple[float, Any]:
    start = monotonic()
    result = call()
    return monotonic() - start, result


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], FlaskClient]]:
    apps = []
    publish(tmp_path / "bundles", "g1")

    def started(store: str, **given: Any) -> FlaskClient:
        apps.append(
            create_app(tmp_path / "bundles", Settings(store=store, **given), load=load, watch_seconds=0.05)
        )
        return apps[-1].test_client()

    yield started
    for app in apps:
        app.extensions[KEY].close()


@pytest.fixture
def frozen(start: Callable[[str], FlaskClient], proxy: Proxy) -> Iterator[FlaskClient]:  # noqa: F811
    client = start(url_of(proxy))
    until(lambda: client.post("/v1/events", json=EVENT).status_code == 200)
    proxy.freeze()
    yield client
    proxy.thaw()


def strategy_of(client: FlaskClient) -> str:
    """Return the strategy of recommendations for the user of `EVENT`: for_you where the history was read."""
    answer = client.get("/v1/users/u 1/recommendations")
    assert answer.status_code == 200
    strategy: str = answer.json["strategy"]
    return strategy


def store_status(client: FlaskClient) -> str:
    status: str = client.get("/healthz/ready").json["components"]["store"]["status"]
    return status


def test_users_of_a_frozen_store_are_answered_without_history(frozen: FlaskClient, proxy: Proxy) -> None:  # noqa: F811
    for _ in range(FAILURES):
        seconds, answer = seconds_of(lambda: frozen.get("/v1/users/u 1/recommendations"))
        assert seconds < 1.5  # 150 ms are allowed; without a deadline it hangs
        assert (answer.status_code, answer.json["strategy"]) == (200, "popular")
        assert "history" not in str(answer.json["warnings"])
        assert "event store does not answer" in answer.json["warnings"][0]
    assert store_status(frozen) != "ok"
    assert "127.0.0.1" not in frozen.get("/healthz/ready").text
    assert 'recommender_store_circuit_open{operation="events.history"} 1.0' in frozen.get("/metrics").text
    proxy.thaw()
    until(lambda: strategy_of(frozen) == "for_you")
    until(lambda: frozen.get("/healthz/ready").json["status"] == "ready")


def test_events_of_a_frozen_store_are_refused_and_stored_once_when_sent_again(
    frozen: FlaskClient,
    proxy: Proxy,  # noqa: F811
) -> None:
    event = {**EVENT, "event_id": "e-frozen"}
    seconds, refused = seconds_of(lambda: frozen.post("/v1/events", json=event))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert seconds < 6  # two are allowed
    proxy.thaw()
    until(lambda: frozen.post("/v1/events", json=event).status_code == 200)
    events = frozen.get("/v1/users/u 1/events").json["events"]
    assert [each["event_id"] for each in events].count("e-frozen") == 1


def test_a_frozen_store_delays_no_new_generation(frozen: FlaskClient, tmp_path: Path) -> None:
    publish(tmp_path / "bundles", "g2")
    until(lambda: frozen.get("/v1/items/A/similar").json["bundle"] == "g2")
    publish(tmp_path / "bundles", "g3")
    engine = frozen.application.extensions[KEY].live
    engine.refresh("bundle")  # as an activation does
    assert engine.recommender.generation == "g3"
    assert frozen.get("/healthz/live").status_code == 200


def test_one_request_waits_for_its_user_once_however_many_placements_it_has(
    start: Any,
    proxy: Proxy,  # noqa: F811
) -> None:
    app = start(url_of(proxy), history_timeout_ms=1000).application
    params = RecommendationParams(seeds=Seeds(user_id="u 1"))
    proxy.freeze()
    with app.test_request_context():
        seconds, answers = seconds_of(lambda: [recommend(app.extensions[KEY], params) for _ in range(FAILURES)])
    proxy.thaw()
    assert all(answer["warnings"] for answer in answers)
    assert seconds < 2.5  # of three for one after the other


def test_a_locked_table_is_waited_for_no_longer(start: Any, server: Postgres, proxy: Proxy) -> None:  # noqa: F811
    client = start(url_of(proxy), store_timeout_ms=300)
    until(lambda: client.post("/v1/events", json=EVENT).status_code == 200)
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE events")
        seconds, strategy = seconds_of(lambda: strategy_of(client))
        assert (strategy, seconds < 1.5) == ("popular", True)
        assert client.post("/v1/events", json=EVENT).status_code == 503
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: other.execute(waiting).fetchone() == (0,))  # the server gives up, too
        until(lambda: other.execute("SELECT 1"))
    until(lambda: strategy_of(client) == "for_you")


def test_a_store_that_is_down_at_the_start_is_opened_when_it_is_there(start: Any, server: Postgres) -> None:  # noqa: F811
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE late")
    with Proxy.to_unix_socket(server.socket) as closed:
        port = closed.port
    client = start(f"postgresql://shop@127.0.0.1:{port}/late")
    assert ids(client.get("/v1/items/A/similar")) == ["B", "C/1", "D", "E"]
    assert store_status(client) == "down"
    assert client.post("/v1/events", json=EVENT).status_code == 503
    with Proxy.to_unix_socket(server.socket, port):
        until(lambda: client.get("/healthz/ready").json["status"] == "ready")
        assert client.post("/v1/events", json=EVENT).json["status"] == "stored"  # the tables were made


def test_a_database_that_was_emptied_gets_its_tables_again(start: Any, server: Postgres) -> None:  # noqa: F811
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE emptied")
    url = f"{server.url.replace('/postgres?', '/emptied?')}"
    client = start(url)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    until(lambda: client.post("/v1/events", json=EVENT).status_code == 200)


def test_connecting_takes_no_longer_than_allowed(proxy: Proxy) -> None:  # noqa: F811
    proxy.freeze()

    def connect() -> None:
        with pytest.raises(StoreUnavailableError, match="within the time"), deadline(0.1):
            open_store(url_of(proxy))

    assert seconds_of(connect)[0] < 2.5  # of the three that a connection may take


def test_a_locked_sqlite_file_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    event = ShopEvent("A", "view_item", MOMENT, "u", event_id="e")
    with open_store(url) as store, open_store(url) as other:
        with other.events._database.transaction() as connection:  # type: ignore[attr-defined]
            connection.exec_driver_sql("BEGIN IMMEDIATE")

            def add() -> None:
                with pytest.raises(StoreUnavailableError, match="locked"), deadline(0.1):
                    store.events.add([event])

            assert seconds_of(add)[0] < 4  # of five without a deadline
        assert store.events.add([event]) == [True]


def test_an_outer_deadline_limits_inner_ones() -> None:
    assert remaining() is None
    with deadline(100), deadline(1000):
        left = remaining()
        assert left is not None
        assert left <= 100
    with deadline(0):
        assert remaining() == 0
    assert remaining() is None


def test_a_circuit_opens_after_failures_and_closes_after_one_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(live_store, "monotonic", lambda: clock[0])
    circuit, calls = CircuitBreaker("events.test"), []

    def fail() -> None:
        calls.append(1)
        raise StoreUnavailableError("down")

    for _ in range(FAILURES + 5):
        with pytest.raises(StoreUnavailableError):
            circuit.call(fail)
    assert len(calls) == FAILURES
    clock[0] += 1.01
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            circuit.call(fail)
    assert len(calls) == FAILURES + 1, "one call probes"
    clock[0] += 1.01

    def probe() -> str:
        with pytest.raises(StoreUnavailableError, match="tried again"):
            circuit.call(fail)  # while the probe runs
        return "works"

    assert circuit.call(probe) == "works"
    assert not circuit.is_open
    with pytest.raises(KeyError):
        circuit.call(lambda: {}["wrong data is no failure of the store"])
    assert not circuit.is_open


def test_requests_do_not_queue_before_a_store_that_stalls() -> None:
    slots, release, entered = Slots(2), Event(), []

    def hold() -> None:
        with slots.one():
            entered.append(1)
            release.wait(PATIENCE)

    holders = [Thread(target=hold) for _ in range(2)]
    for holder in holders:
        holder.start()
    until(lambda: len(entered) == 2)
    with pytest.raises(StoreUnavailableError, match="before this one"), slots.one():
        pass
    release.set()
    for holder in holders:
        holder.join(PATIENCE)
    waiting = Thread(target=hold)
    waiting.start()
    waiting.join(PATIENCE)
    assert len(entered) == 3


def test_a_full_disk_is_told_and_an_administrator_is_told_more(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: {"sha256": Key.hash(name), "scopes": [name]} for name in ("public", "admin")}
    client = start(f"sqlite:///{tmp_path}/store.db", keys=keys)
    assert client.get("/healthz/ready").json["status"] == "ready"
    monkeypatch.setattr(health, "MIN_FREE_BYTES", 1 << 62)
    until(lambda: client.get("/healthz/ready").json["status"] == "degraded")
    for key in ("", "Bearer public", "Bearer wrong"):
        answer = client.get("/healthz/ready", headers={"Authorization": key})
        assert answer.json["components"]["disk"]["status"] == "down"
        assert str(tmp_path) not in answer.text
    told = client.get("/healthz/ready", headers={"Authorization": "Bearer admin"})
    assert str(tmp_path) in str(told.json["components"]["disk"]["errors"])


def test_an_encoder_that_starts_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    publish(tmp_path / "bundles", "g1")

    def ready(starting_until: float) -> Any:
        app = create_app(
            tmp_path / "bundles",
            load=lambda *a, encoder=None, **o: load(*a, **o),  # type: ignore[arg-type, misc]
            encoder=tmp_path / "no-socket",
            starting_until=starting_until,
            watch_seconds=None,
        )
        answer = app.test_client().get("/healthz/ready")
        app.extensions[KEY].close()
        return answer.status_code, answer.json["status"], answer.json["components"]["encoder"]["status"]

    assert ready(monotonic() + 60) == (503, "starting", "starting")
    assert ready(0.0) == (200, "degraded", "down")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "shop.example"])
def test_other_machines_are_served_with_keys_only(host: str) -> None:
    with pytest.raises(ConfigError, match="no API keys"):
        Settings.load(host=host)
    assert Settings.load(host=host, insecure=True).host == host
    assert Settings.load(host=host, keys={"a": {"sha256": "0" * 64}}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_this_machine_is_served_without_keys(host: str) -> None:
    assert Settings.load(host=host).host == host
