"""Two services, each with a copy of its own of the bundles in one store, on one PostgreSQL and one Redis."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import fsspec
import httpx
import pytest
import sqlalchemy as sa

import recommender
from recommender.bundle import Staging, local_copy, open_bundle
from recommender.errors import ConfigError
from serving.server import serve
from tests.object_store import ENVIRONMENT, new_bucket, s3_server
from tests.test_serving_server import await_live, free_port
from tests.test_stores import fresh_schema, postgres  # noqa: F401

REDIS = os.environ.get("RECOMMENDER_TEST_REDIS", "redis://127.0.0.1:6379/0")
SECONDS = 30
BURST = 50


@pytest.fixture(scope="module")
def url(demo_bundles: Path) -> Iterator[str]:
    """The demo's bundles in a bucket, copied there as a shop would begin."""
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        bucket = new_bucket()
        fs, path = fsspec.url_to_fs(bucket)
        for file in demo_bundles.rglob("*"):
            if file.is_file() and not file.relative_to(demo_bundles).parts[0].startswith("."):
                fs.put_file(str(file), f"{path}/{file.relative_to(demo_bundles)}")
        yield bucket


@contextmanager
def running(url: str, **settings: object) -> Iterator[httpx.Client]:
    options = {"port": free_port(), "workers": 1, "proxies": 1, "poll_seconds": 0.2, **settings}
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(url,), kwargs=options)
    process.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{options['port']}", timeout=SECONDS) as client:
        try:
            await_live(client, process)
            yield client
        finally:
            process.terminate()
            process.join(SECONDS)
            assert not process.is_alive()


@pytest.fixture(scope="module")
def redis_url() -> str | None:
    redis = pytest.importorskip("redis")
    try:
        redis.Redis.from_url(REDIS, socket_connect_timeout=1).ping()
    except redis.RedisError:
        return None
    return REDIS


@pytest.fixture(scope="module")
def replicas(
    url: str,
    postgres: sa.URL,  # noqa: F811
    redis_url: str | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[httpx.Client]]:
    with fresh_schema(postgres) as store, ExitStack() as stack:
        shared = {"store": store, "redis": redis_url, "burst": BURST, "rate": 0.01}
        yield [
            stack.enter_context(running(url, cache=tmp_path_factory.mktemp("cache"), **shared)) for _ in range(2)
        ]


class Caller:
    """Asks a replica; each question comes from another address, so that no rate counts."""

    def __init__(self, client: httpx.Client, network: int) -> None:
        self._client, self._network, self._asked = client, network, 0

    def __call__(self, method: str, path: str, **options: Any) -> Any:
        self._asked += 1
        address = f"10.{self._network}.{self._asked // 256}.{self._asked % 256}"
        answer = self._client.request(method, path, headers={"X-Forwarded-For": address}, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()


@pytest.fixture
def both(replicas: list[httpx.Client], request: pytest.FixtureRequest) -> list[Caller]:
    return [Caller(client, hash(request.node.name) % 200 + n) for n, client in enumerate(replicas)]


def seen_by_all(what: Callable[[Caller], object], both: list[Caller], value: object) -> float:
    """Wait until every replica answers with a value; returns the seconds it took."""
    started = monotonic()
    while (seen := [what(each) for each in both]) != [value] * len(both):
        assert monotonic() - started < SECONDS, f"{seen}, expected {value}"
        sleep(0.02)
    return monotonic() - started


def in_service(ask: Caller) -> object:
    return ask("GET", "/v1/info")["bundle"]


def republish(url: str, cache: Path) -> str:
    """Publish the current generation's parts again, as another generation."""
    copy = local_copy(url, cache)
    bundle = open_bundle(copy)
    with Staging(copy) as staging:
        return staging.publish(bundle.manifest.to_dict(), bundle, [*bundle.manifest.parts])


def test_a_new_bundle_and_a_rollback_reach_both(url: str, both: list[Caller], tmp_path: Path) -> None:
    old = in_service(both[0])
    new = republish(url, tmp_path)
    swap = seen_by_all(in_service, both, new)
    assert both[1]("POST", "/v1/bundles:rollback")["generation"] == old
    back = seen_by_all(in_service, both, old)
    print(f"seen by both: a new bundle after {swap:.2f} s, a rollback after {back:.2f} s")
    listed = both[0]("GET", "/v1/bundles")["generations"]
    assert {each["generation"]: each["current"] for each in listed} == {old: True, new: False}


def test_a_price_changed_at_one_is_answered_by_both(both: list[Caller], demo_bundles: Path) -> None:
    item_id = recommender.load(demo_bundles).ids[3]
    both[0]("PATCH", f"/v1/items/{item_id}", json={"price": 12.34})
    seen_by_all(lambda ask: ask("GET", f"/v1/items/{item_id}")["price"], both, 12.34)


def test_events_and_sessions_of_one_count_at_both(both: list[Caller], demo_bundles: Path) -> None:
    item_id = recommender.load(demo_bundles).ids[0]
    event = {
        "event_id": "replica-1",
        "event_name": "purchase",
        "timestamp": "2026-11-23T06:40:00Z",
        "session_id": "s-1",
        "items": [{"item_id": item_id}],
    }
    assert both[0]("POST", "/v1/events", json=event)["status"] == "stored"
    assert both[1]("POST", "/v1/events", json=event)["status"] == "known"
    both[1]("POST", "/v1/users:merge", json={"session_id": "s-1", "user_id": "replica-user"})
    for ask in both:
        assert ask("GET", "/v1/users/replica-user/recommendations")["strategy"] == "for_you"


def test_a_rate_counts_at_both(replicas: list[httpx.Client], redis_url: str | None) -> None:
    if redis_url is None:
        pytest.skip(f"no Redis answers at {REDIS}")
    headers = {"X-Forwarded-For": f"10.250.{os.getpid() % 256}.{int(monotonic()) % 256}"}
    codes = [client.get("/v1/trending", headers=headers).status_code for _ in range(BURST) for client in replicas]
    assert codes.count(200) == BURST
    assert codes[BURST:] == [429] * BURST


@pytest.mark.slow
def test_a_replica_starts_and_answers_while_the_store_of_bundles_is_away(
    url: str,
    postgres: sa.URL,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local_copy(url, tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with fresh_schema(postgres) as store, running(url, cache=tmp_path, store=store) as client:
        deadline = monotonic() + SECONDS
        while "replica" not in client.get("/healthz/ready").text:
            assert monotonic() < deadline
            sleep(0.1)
        assert client.get("/v1/trending").status_code == 200


def test_a_service_of_a_url_needs_a_store(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--store"):
        serve(url, cache=tmp_path)
