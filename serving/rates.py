"""Rate limits that all workers and replicas share, in Redis."""

from time import monotonic
from typing import Any, Protocol

from recommender.errors import ConfigError, StoreError

# A request waits no longer for Redis, and for so long afterwards none does.
TIMEOUT_SECONDS = 0.05
RETRY_SECONDS = 5.0

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


class _Limiter(Protocol):
    def wait(self, caller: tuple[str, str]) -> float: ...


class SharedRateLimiter:
    """Limits the rate of each caller over all processes that use the same Redis.

    While Redis is away, or does not answer in time, each process counts for itself.

    Parameters
    ----------
    url
        Of the Redis.
    rate, burst
        See `RateLimiter`.
    own
        Counts in this process.

    Raises
    ------
    ConfigError
        The URL cannot be used, or the package is not installed.
    """

    def __init__(self, url: str, rate: float, burst: int, own: _Limiter) -> None:
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
        self._script: Any = self._redis.register_script(_WAIT)
        self._interval, self._tolerance = 1 / rate, (burst - 1) / rate
        self._own = own
        self._away_until, self._problem = 0.0, ""

    def wait(self, caller: tuple[str, str]) -> float:
        """Admit a request and return 0, or return after how many seconds the next one will be admitted."""
        if self._problem:
            if monotonic() < self._away_until:
                return self._own.wait(caller)
            self._away_until = monotonic() + RETRY_SECONDS  # one request tries, the others do not wait
        try:
            answer = self._script(keys=["rate:" + "\0".join(caller)], args=[self._interval, self._tolerance])
        except (self._errors, OSError) as error:
            self._away_until, self._problem = monotonic() + RETRY_SECONDS, str(error)
            return self._own.wait(caller)
        self._problem = ""
        return float(answer)

    def check(self) -> None:
        """Raise a `StoreError` while each process counts for itself; a task of hot reload, which logs it."""
        if self._problem:
            raise StoreError(f"rates are counted by each worker: {self._problem}")
