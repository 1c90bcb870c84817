"""API keys and rate limits."""

import math
from collections import OrderedDict
from collections.abc import Callable
from hmac import compare_digest
from threading import Lock
from time import monotonic
from typing import TypeVar

from flask import Flask, Request, request

from serving.metrics import metrics
from serving.problems import Problem
from serving.rates import SharedRateLimiter
from serving.settings import Key, Scope, Settings

View = TypeVar("View", bound=Callable[..., object])
# Callers whose rate is stored; beyond that the one that was quiet longest is evicted.
MAX_CALLERS = 100_000
_SCOPE = "scope"


def needs(scope: Scope | None) -> Callable[[View], View]:
    """Set the scope that a view needs; the default is "public". None admits everybody, without a rate limit."""

    def decorate(view: View) -> View:
        setattr(view, _SCOPE, scope)
        return view

    return decorate


def scope_of(app: Flask, endpoint: str) -> Scope | None:
    """Return the scope that an endpoint needs."""
    scope: Scope | None = getattr(app.view_functions[endpoint], _SCOPE, "public")
    return scope


class Access:
    """Checks the API key and the rate of each request.

    Parameters
    ----------
    app
        Whose views have scopes.
    settings
        Have the keys and the rate. Without keys, everybody has every scope.
    """

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._views = app.view_functions
        self._keys = settings.keys
        own, self._shared = RateLimiter(settings.rate, settings.burst), None
        if settings.redis is not None:
            self._shared = SharedRateLimiter(settings.redis, settings.rate, settings.burst, own)
        self._limiter = self._shared or own

    def check(self) -> None:
        """Raise a `Problem` unless the current request is admitted; to be called before each request."""
        current: Request = request._get_current_object()  # type: ignore[attr-defined]  # the proxy is slow
        if current.endpoint is None:
            return
        scope: Scope | None = getattr(self._views[current.endpoint], _SCOPE, "public")
        if scope is None:
            return
        name = self._key_name(current, scope) if self._keys else ""
        wait = self._limiter.wait((name, current.remote_addr or ""))
        if wait > 0:
            metrics().refused.labels("rate").inc()
            headers = {"Retry-After": str(math.ceil(wait))}
            raise Problem(429, "too-many-requests", f"slow down: try again in {wait:.1f} s", headers=headers)

    def check_rates(self) -> None:
        """Raise a `StoreError` while rates that should be shared are not."""
        if self._shared is not None:
            self._shared.check()

    def require(self, scope: Scope) -> None:
        """Raise a `Problem` unless the key of the current request has a further scope."""
        if self._keys:
            self._key_name(request, scope)

    def _key_name(self, current: Request, scope: Scope) -> str:
        """Return the name of the request's key; raises a `Problem` unless it is valid and has the scope."""
        kind, _, text = current.headers.get("Authorization", "").partition(" ")
        key = self._find(text) if kind.lower() == "bearer" and text else None
        if key is None:
            metrics().refused.labels("key").inc()
            headers = {"WWW-Authenticate": "Bearer"}
            raise Problem(401, "unauthorized", "no valid key; expected Authorization: Bearer KEY", headers=headers)
        if scope not in self._keys[key].scopes:
            metrics().refused.labels("scope").inc()
            raise Problem(403, "forbidden", f"key {key!r} has no scope {scope!r}, which this needs")
        return key

    def _find(self, text: str) -> str | None:
        """Return the name of a key; every key is compared, so that the time does not tell which it is."""
        digest, match = Key.hash(text), None
        for name, key in self._keys.items():
            if compare_digest(digest, key.sha256):
                match = name
        return match


class RateLimiter:
    """Limits the rate of each caller, by the generic cell rate algorithm (a token bucket stored as one number).

    It counts in this process alone, so N workers admit up to N times as many; see `SharedRateLimiter`.
    The library `limits` would add 45 µs to each request of 250, and start a thread every 10 ms.

    Parameters
    ----------
    rate
        Requests a second, on average.
    burst
        Requests that a quiet caller may send at once.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._interval, self._tolerance = 1 / rate, (burst - 1) / rate  # seconds
        # caller → when its bucket will be full again, least recent caller first
        self._full_at: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lock = Lock()

    def wait(self, caller: tuple[str, str]) -> float:
        """Admit a request and return 0, or return after how many seconds the next one will be admitted."""
        now = monotonic()
        with self._lock:
            full_at = max(self._full_at.pop(caller, now), now)
            wait = full_at - now - self._tolerance
            self._full_at[caller] = full_at if wait > 0 else full_at + self._interval
            if len(self._full_at) > MAX_CALLERS:
                self._full_at.popitem(last=False)
        return max(wait, 0.0)
