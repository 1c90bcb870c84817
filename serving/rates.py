"""Limits that all workers and replicas share, in Redis: the rate of a caller, the visitors of an address."""

from collections.abc import Sequence
from hashlib import blake2b
from time import monotonic
from typing import Any, Protocol

from recommender.errors import ConfigError, StoreError

# A request waits no longer for Redis, and for so long afterwards none does.
TIMEOUT_SECONDS = 0.05
RETRY_SECONDS = 5.0
WINDOW_SECONDS = 3600  # in which the visitors of an address are counted

# As `RateLimiter.wait`, on the clock of Redis: those of the replicas differ.
_WAIT = """
local time = redis.call('TIME')
local now, interval, tolerance = time[1] + time[2] / 1e6, tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wait = full_at - now - tolerance
if wait <= 0 then
    full_at = full_at + interval
    redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', math.ceil((full_at - now) * 1000))
end
return tostring(math.max(wait, 0))
"""
# As `VisitorLimit.admits`.
_ADMITS = """
local answers, limit, window = {}, tonumber(ARGV[1]), tonumber(ARGV[2])
local count = redis.call('SCARD', KEYS[1])
local is_new = count == 0
for position = 3, #ARGV do
    local known = redis.call('SISMEMBER', KEYS[1], ARGV[position])
    if known == 0 and count < limit then
        known = redis.call('SADD', KEYS[1], ARGV[position])
        count = count + 1
    end
    answers[position - 2] = known
end
if is_new and count > 0 then redis.call('EXPIRE', KEYS[1], window) end
return answers
"""


class _Limiter(Protocol):
    def wait(self, caller: tuple[str, str]) -> float: ...


class _Visitors(Protocol):
    def admits(self, address: str, visitors: Sequence[str]) -> list[bool]: ...


class SharedCounters:
    """Counts in the Redis that all processes of a service use; while it is away, each has to count for itself.

    Parameters
    ----------
    url
        Of the Redis.

    Raises
    ------
    ConfigError
        The URL cannot be used, or the package is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            from redis import Redis, RedisError
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise ConfigError(
                f"{error}; redis needs the extra: pip install 'hybrid-recommender[redis]'"
            ) from error
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise ConfigError(f"redis: {error}; expected such as redis://host:6379/0") from error
        self._errors = RedisError
        self._away_until, self._problem = 0.0, ""

    def script(self, text: str) -> Any:
        """Return a script that `run` runs."""
        return self._redis.register_script(text)

    def run(self, script: Any, key: str, arguments: Sequence[Any]) -> Any:
        """Return what a script returns; None while Redis is away, or does not answer in time."""
        if self._problem:
            if monotonic() < self._away_until:
                return None
            self._away_until = monotonic() + RETRY_SECONDS  # one request tries, the others do not wait
        try:
            answer = script(keys=[key], args=arguments)
        except (self._errors, OSError) as error:
            self._away_until, self._problem = monotonic() + RETRY_SECONDS, str(error)
            return None
        self._problem = ""
        return answer

    def check(self) -> None:
        """Raise a `StoreError` while each process counts for itself; a task of hot reload, which logs it."""
        if self._problem:
            raise StoreError(f"rates are counted by each worker: {self._problem}")


class SharedRateLimiter:
    """Limits the rate of each caller over all processes.

    Parameters
    ----------
    counters
        In Redis.
    rate, burst
        See `RateLimiter`.
    own
        Counts in this process, while Redis is away.
    """

    def __init__(self, counters: SharedCounters, rate: float, burst: int, own: _Limiter) -> None:
        self._counters, self._script = counters, counters.script(_WAIT)
        self._arguments = (1 / rate, (burst - 1) / rate)
        self._own = own

    def wait(self, caller: tuple[str, str]) -> float:
        """Admit a request and return 0, or return after how many seconds the next one will be admitted."""
        answer = self._counters.run(self._script, "rate:" + "\0".join(caller), self._arguments)
        return self._own.wait(caller) if answer is None else float(answer)


class SharedVisitorLimit:
    """Bounds how many visitors of one address count in an hour, over all processes; Redis has their hashes.

    Parameters
    ----------
    counters
        In Redis.
    limit
        See `VisitorLimit`.
    own
        Counts in this process, while Redis is away.
    """

    def __init__(self, counters: SharedCounters, limit: int, own: _Visitors) -> None:
        self._counters, self._script = counters, counters.script(_ADMITS)
        self._limit, self._own = limit, own

    def admits(self, address: str, visitors: Sequence[str]) -> list[bool]:
        """Return of each visitor whether it is among the first of its address in this hour."""
        hashes = [blake2b(visitor.encode(), digest_size=8).digest() for visitor in visitors]
        answer = self._counters.run(self._script, f"visitors:{address}", [self._limit, WINDOW_SECONDS, *hashes])
        return self._own.admits(address, visitors) if answer is None else [known == 1 for known in answer]
