"""Rates that all workers and replicas share in Redis, and what happens while it is away or hangs."""

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
from serving.rates import SharedRateLimiter

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


def limiter(url: str, rate: float, burst: int) -> SharedRateLimiter:
    return SharedRateLimiter(url, rate, burst, RateLimiter(rate, burst))


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
        one, who = limiter(address, 0.01, 5), caller()
        one.check()
        started = monotonic()
        assert [one.wait(who) == 0 for _ in range(50)] == [True] * 5 + [False] * 45
        assert monotonic() - started < 2  # 50 waits would be 10 s
        with pytest.raises(StoreError, match="counted by each worker"):
            one.check()


def test_a_redis_that_comes_back_counts_for_all_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "RETRY_SECONDS", 0.05)
    one, who = limiter(url, 0.01, 4), caller()
    script = one._script

    def away(**_: object) -> None:
        raise ConnectionRefusedError("away")

    one._script = away
    assert [one.wait(who) == 0 for _ in range(5)] == [True] * 4 + [False]
    with pytest.raises(StoreError, match="away"):
        one.check()
    one._script = script
    sleep(0.1)
    assert [one.wait(who) == 0 for _ in range(5)] == [True] * 4 + [False]
    one.check()


def test_what_is_no_redis_is_refused() -> None:
    pytest.importorskip("redis")
    with pytest.raises(ConfigError, match="redis://host:6379/0"):
        limiter("http://127.0.0.1", 1, 1)
