"""Who may ask what, and how often."""

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
from serving.settings import Key, Scope, Settings

View = TypeVar("View", bound=Callable[..., object])
# Callers whose rate is remembered; beyond that the one that was quiet longest is forgotten.
REMEMBERED = 100_000
_SCOPE = "scope"


def needs(scope: Scope | None) -> Callable[[View], View]:
    """Say which scope a view needs; unsaid it is public. None lets everybody in, unlimited."""

    def marked(view: View) -> View:
        setattr(view, _SCOPE, scope)
        return view

    return marked


def scope_of(app: Flask, endpoint: str) -> Scope | None:
    """Return the scope that an endpoint needs."""
    view: Scope | None = getattr(app.view_functions[endpoint], _SCOPE, "public")
    return view


class Access:
    """Lets requests in by their key, and each caller only so many of them.

    Parameters
    ----------
    settings
        Have the keys and the rate. Without keys, everybody may do everything.
    """

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.keys
        self._rates = Rates(settings.rate, settings.burst)

    def check(self, app: Flask, asked: Request) -> None:
        """Raise a `Problem` unless a request may go on."""
        if asked.endpoint is None or (scope := scope_of(app, asked.endpoint)) is None:
            return
        name = self._caller(asked, scope)
        wait = self._rates.wait((name, asked.remote_addr or ""))
        if wait > 0:
            metrics().refused.labels("rate").inc()
            retry = {"Retry-After": str(math.ceil(wait))}
            raise Problem(429, "too-many-requests", f"slow down: try again in {wait:.1f} s", headers=retry)

    def require(self, scope: Scope) -> None:
        """Raise a `Problem` unless the current request's key has one more scope."""
        self._caller(request, scope)

    def _caller(self, asked: Request, scope: Scope) -> str:
        """Return the name of the key that the request has; empty if none is needed."""
        if not self._keys:
            return ""
        kind, _, said = asked.headers.get("Authorization", "").partition(" ")
        found = self._find(said) if kind.lower() == "bearer" and said else None
        if found is None:
            metrics().refused.labels("key").inc()
            told = {"WWW-Authenticate": "Bearer"}
            raise Problem(401, "unauthorized", "no valid key; expected Authorization: Bearer KEY", headers=told)
        name, key = found
        if scope not in key.scopes:
            metrics().refused.labels("scope").inc()
            raise Problem(403, "forbidden", f"key {name!r} has no scope {scope!r}, which this needs")
        return name

    def _find(self, said: str) -> tuple[str, Key] | None:
        """Compare with every key, in the same time whichever it is."""
        hashed, found = Key.hash(said), None
        for name, key in self._keys.items():
            if compare_digest(hashed, key.sha256):
                found = name, key
        return found


class Rates:
    """A token bucket for each caller, in this process alone: N workers let through up to N times as many.

    Parameters
    ----------
    rate
        Tokens a second.
    burst
        Tokens that a quiet caller has.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def wait(self, caller: tuple[str, str]) -> float:
        """Take a token and return 0, or return how many seconds there will be none."""
        now = monotonic()
        with self._lock:
            tokens, since = self._buckets.pop(caller, (self._burst, now))
            tokens = min(self._burst, tokens + (now - since) * self._rate)
            enough = tokens >= 1
            self._buckets[caller] = (tokens - 1 if enough else tokens, now)
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        return 0.0 if enough else (1 - tokens) / self._rate
