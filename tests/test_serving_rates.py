"""Limits that all workers and replicas share in Redis, and what happens while it is away or hangs."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from time import monotonic, sleep
from uuid import uuid4

import pytest

from recommender.errors import ConfigError, StoreError
from serving import rates
from serving.access import RateLimiter
from serving.attributing import VisitorLimit
from serving.rates import SharedCounters, SharedRateLimiter, SharedVisitorLimit

REDIS = os.environ.get("RECOMMENDER_TEST_REDIS", "redis://127.0.0.1:6379/0")


@pytest.fixture(scope="module")
def url() -> str:
    redis = pytest.importorskip("redis", reason="redis is not installed: pip install '.[redis]'")
    try:
        redis.Redis.from_url(REDIS, socket_connect_timeout=1).ping()
    except redis.RedisError as error:
        pytest.skip(f"no Redis answers at {REDIS} (set RECOMMENDER_TEST_REDIS): {error}")
    return REDIS


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "TIMEOUT_SECONDS", 1.0)  # on a busy machine too, a Redis that answers counts


def caller() -> tuple[str, str]:
    return ("key", uuid4().hex)


def limiter(url: str | SharedCounters, rate: float, burst: int) -> SharedRateLimiter:
    counters = SharedCounters(url) if isinstance(url, str) else url
    return SharedRateLimiter(counters, rate, burst, RateLimiter(rate, burst))


def visitor_limit(url: str | SharedCounters, limit: int) -> SharedVisitorLimit:
    counters = SharedCounters(url) if isinstance(url, str) else url
    return SharedVisitorLimit(counters, limit, VisitorLimit(limit))


def test_a_burst_is_counted_over_all_processes(url: str) -> None:
    one, other, who = limiter(url, 0.01, 6), limiter(url, 0.01, 6), caller()
    admitted = [each.wait(who) == 0 for _ in range(5) for each in (one, other)]
    assert admitted == [True] * 6 + [False] * 4
    assert 0 < other.wait(who) <= 100
    assert one.wait(caller()) == 0


def test_a_caller_is_admitted_again_when_it_has_waited(url: str) -> None:
    one, who = limiter(url, 10, 1), caller()
    assert one.wait(who) == 0
    wait = one.wait(who)
    assert 0 < wait <= 0.1
    sleep(wait)
    assert one.wait(who) == 0


def test_a_quiet_caller_is_forgotten(url: str) -> None:
    from redis import Redis

    one, who = limiter(url, 20, 3), caller()
    one.wait(who)
    assert 0 < Redis.from_url(url).pttl("rate:" + "\0".join(who)) <= 50


def test_visitors_of_an_address_are_counted_over_all_processes(url: str) -> None:
    one, other, address = visitor_limit(url, 3), visitor_limit(url, 3), uuid4().hex
    assert one.admits(address, ["x", "y", "x"]) == [True, True, True]
    assert other.admits(address, ["y", "z", "late"]) == [True, True, False]
    assert one.admits(address, ["late", "z"]) == [False, True]
    assert one.admits(uuid4().hex, ["late"]) == [True]


def test_the_hour_of_an_address_begins_with_its_first_visitor(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from redis import Redis

    monkeypatch.setattr(rates, "WINDOW_SECONDS", 1)
    one, address = visitor_limit(url, 1), uuid4().hex
    assert one.admits(address, ["x"]) == [True]
    assert 0 < Redis.from_url(url).pttl(f"visitors:{address}") <= 1000
    while Redis.from_url(url).exists(f"visitors:{address}"):
        assert one.admits(address, ["x"]) == [True]  # which does not prolong it
        sleep(0.05)
    assert one.admits(address, ["y"]) == [True]


def test_redis_has_no_visitor_by_name(url: str) -> None:
    from redis import Redis

    address = uuid4().hex
    visitor_limit(url, 3).admits(address, ["u-819"])
    (known,) = Redis.from_url(url).smembers(f"visitors:{address}")
    assert b"819" not in known


@contextmanager
def hanging() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


@pytest.mark.usefixtures("url")
def test_a_redis_that_hangs_delays_one_request_and_then_each_counts_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "TIMEOUT_SECONDS", 0.2)
    with hanging() as address:
        counters, who = SharedCounters(address), caller()
        one, visitors = limiter(counters, 0.01, 5), visitor_limit(counters, 2)
        counters.check()
        started = monotonic()
        assert [one.wait(who) == 0 for _ in range(50)] == [True] * 5 + [False] * 45
        assert [*visitors.admits("a", "xyx"), *visitors.admits("a", "z")] == [True, True, True, False]
        assert monotonic() - started < 2  # 50 waits would be 10 s
        with pytest.raises(StoreError, match="counted by each worker"):
            counters.check()


def test_a_redis_that_comes_back_counts_for_all_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "RETRY_SECONDS", 0.05)
    counters, who = SharedCounters(url), caller()
    one = limiter(counters, 0.01, 4)
    script = one._script

    def away(**_: object) -> None:
        raise ConnectionRefusedError("away")

    one._script = away
    assert [one.wait(who) == 0 for _ in range(5)] == [True] * 4 + [False]
    with pytest.raises(StoreError, match="away"):
        counters.check()
    one._script = script
    sleep(0.1)
    assert [one.wait(who) == 0 for _ in range(5)] == [True] * 4 + [False]
    counters.check()


def test_what_is_no_redis_is_refused() -> None:
    pytest.importorskip("redis")
    with pytest.raises(ConfigError, match="redis://host:6379/0"):
        limiter("http://127.0.0.1", 1, 1)
