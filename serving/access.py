"""API keys and rate limits."""

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hmac import compare_digest
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, Request, g, request
from werkzeug.exceptions import HTTPException

from serving.markets import HEADER, market_of
from serving.metrics import metrics
from serving.problems import Problem
from serving.rates import SharedCounters, SharedRateLimiter
from serving.settings import Key, Scope, Settings

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

View = TypeVar("View", bound=Callable[..., object])
# Callers whose rate is stored; beyond that the one that was quiet longest is evicted.
MAX_CALLERS = 100_000
_SCOPE, _FORMS = "scope", "forms"
MAX_PARAMETERS = 100
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_ADDRESS = re.compile(r"(?:localhost|[\d.]+|\[[0-9a-f:.]+\])(?::\d+)?")


def needs(scope: Scope | None) -> Callable[[View], View]:
    """Set the scope that a view needs; the default is "public". None admits everybody, without a rate limit."""

    def decorate(view: View) -> View:
        setattr(view, _SCOPE, scope)
        return view

    return decorate


def accepts_forms(view: View) -> View:
    """Let a view be called by a form of the service's own pages, beside JSON."""
    setattr(view, _FORMS, True)
    return view


def scope_of(app: Flask, endpoint: str) -> Scope | None:
    """Return the scope that an endpoint needs."""
    scope: Scope | None = getattr(app.view_functions[endpoint], _SCOPE, "public")
    return scope


def source_of_request() -> str:
    """Return who sends the current request, as changes record it: ``api:shop`` for the key of that name."""
    return f"api:{name}" if (name := g.get("key_name")) else "api"


class Access:
    """Checks the sender, the API key and the rate of each request.

    Parameters
    ----------
    app
        Whose views have scopes.
    settings
        Have the keys and the rate. Without keys, everybody has every scope.
    counters
        Those that all processes share; None counts rates in this process alone.
    """

    def __init__(self, app: Flask, settings: Settings, counters: SharedCounters | None = None) -> None:
        self._views, self._urls = app.view_functions, app.url_map
        self._keys = settings.keys
        self._limiter = _limiter(counters, settings.rate, settings.burst)
        self._limiters = {
            name: _limiter(counters, key.rate, max(1, round(key.rate)))
            for name, key in settings.keys.items()
            if key.rate is not None
        }
        origins = (*settings.cors_origins, *(origin for key in settings.keys.values() for origin in key.origins))
        self.origins = frozenset(origins)
        self._private = frozenset(settings.private_fields)
        self._fixes = any(key.fixed for key in settings.keys.values())

    def check(self) -> None:
        """Raise a `Problem` unless the current request is admitted; to be called before each request."""
        current: Request = request._get_current_object()  # type: ignore[attr-defined]  # the proxy is slow
        if current.endpoint is None:
            return
        if current.query_string.count(b"&") > MAX_PARAMETERS:
            detail = f"the query has more than {MAX_PARAMETERS} parameters"
            raise Problem(422, "invalid-request", detail, [{"pointer": "", "detail": detail}])
        view = self._views[current.endpoint]
        self._check_sender(current, view)
        scope: Scope | None = getattr(view, _SCOPE, "public")
        if scope is None:
            return
        name = g.key_name = self._key_name(current, scope) if self._keys else ""
        self.limit(name)

    def limit(self, name: str = "") -> None:
        """Raise a `Problem` if a key, or else an address, sends too many requests."""
        wait = self._limiters.get(name, self._limiter).wait((name, request.remote_addr or ""))
        if wait > 0:
            headers = {"Retry-After": str(math.ceil(wait))}
            raise _refused("rate", 429, "too-many-requests", f"slow down: try again in {wait:.1f} s", headers)

    @property
    def has_keys(self) -> bool:
        """Whether there are API keys; without any everybody may do everything."""
        return bool(self._keys)

    def name_of(self, text: str) -> str | None:
        """Return the name of a key that is valid now on this page and market; None if there is none."""
        name = self._find(text)
        return name if name is not None and self.valid(name) is not None else None

    def valid(self, name: str) -> Key | None:
        """Return the key of a name if it is valid now on this page and market; None otherwise."""
        key = self._keys.get(name)
        if key is None or key.is_expired or not key.is_for(market_of(request)):
            return None
        if key.origins and _origin(request) not in key.origins:
            return None
        return key

    def admits(self, environ: "WSGIEnvironment") -> bool:
        """Return whether a request passes by its route, sender and key, so that its body is worth reading."""
        current = Request(environ)
        try:
            endpoint, _ = self._urls.bind_to_environ(environ).match()
            view = self._views[endpoint]
            self._check_sender(current, view)
            scope: Scope | None = getattr(view, _SCOPE, "public")
            if scope is not None and self._keys:
                self._key_name(current, scope)
        except (HTTPException, Problem):
            return False
        return True

    def require(self, scope: Scope) -> None:
        """Raise a `Problem` unless the key of the current request has a further scope."""
        if self._keys:
            self._key_name(request, scope)

    @property
    def fixed(self) -> Mapping[str, Any]:
        """The members of a request that the key of the current request fixes."""
        key = self._key() if self._fixes else None
        return {} if key is None else key.fixed

    @property
    def private_fields(self) -> frozenset[str]:
        """The attributes of products that the current request may neither see nor use."""
        if not self._private or not self._keys:
            return frozenset()
        key = self._key()
        return frozenset() if key is not None and {"server", "admin"} & {*key.scopes} else self._private

    def allows(self, scope: Scope) -> bool:
        """Return whether the key of the current request has a scope; without any keys everybody has."""
        return not self._keys or self.has(scope)

    def has(self, scope: Scope) -> bool:
        """Return whether the current request was sent with a valid key that has this scope."""
        key = self._key()
        return key is not None and not key.is_expired and scope in key.scopes and key.is_for(market_of(request))

    def _key(self) -> Key | None:
        name = self._find(_sent(request))
        return None if name is None else self._keys[name]

    def _check_sender(self, current: Request, view: Callable[..., object]) -> None:
        """Raise a `Problem` if a request that changes something may come from a page of another site.

        Such a page can send texts and forms to any server that the browser reaches, but JSON only where it is
        allowed to, and the browser names the page's origin.
        """
        if current.method not in CHANGES:
            return
        origin = current.headers.get("Origin")
        if origin is not None and origin not in self.origins and not self._is_own(origin, current.host):
            why = f"pages of {origin[:200]!r} may not call this service; cors_origins in its settings names those"
            raise _refused("origin", 403, "forbidden-origin", f"{why} that may")
        has_body = current.content_length or "Transfer-Encoding" in current.headers
        if (current.mimetype or has_body) and not current.is_json:
            if current.mimetype in FORMS and getattr(view, _FORMS, False):
                return
            found = repr(current.mimetype[:100]) if current.mimetype else "none"
            hint = "; an image is sent in base64, as the member image" if "multipart" in current.mimetype else ""
            detail = f"the Content-Type is {found}; expected application/json{hint}"
            raise _refused("content-type", 415, "unsupported-media-type", detail)

    def _is_own(self, origin: str, host: str) -> bool:
        """Return whether an origin is the service's own, as the request's Host header says.

        Where there are no keys, the host must be an address or localhost: the owner of a name can have it resolve
        to any address, this one too.
        """
        scheme, _, rest = origin.partition("://")
        port = ":443" if scheme == "https" else ":80"
        name = rest.lower().removesuffix(port)
        return name == host.lower().removesuffix(port) and bool(self._keys or _ADDRESS.fullmatch(name))

    def _key_name(self, current: Request, scope: Scope) -> str:
        """Return the name of the request's key; raises a `Problem` unless it is valid and has the scope."""
        name = self._find(_sent(current))
        if name is None:
            detail = "no valid key; expected Authorization: Bearer KEY"
            raise _refused("key", 401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})
        key = self._keys[name]
        if key.is_expired:
            detail = f"key {name!r} expired at {key.expires}; ask the shop for a new one"
            raise _refused("key", 401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})
        if key.origins and _origin(current) not in key.origins:
            raise _refused("origin", 403, "forbidden-origin", f"key {name!r} is for pages of other origins")
        if scope not in key.scopes:
            raise _refused("scope", 403, "forbidden", f"key {name!r} has no scope {scope!r}, which this needs")
        if not key.is_for(market := market_of(current)):
            found = f"{HEADER} is {market[:100]!r}" if market else f"the request has no {HEADER}"
            detail = f"key {name!r} is for the markets {', '.join(key.markets)}; {found}"
            raise _refused("market", 403, "forbidden-market", detail)
        return name

    def _find(self, text: str) -> str | None:
        """Return the name of a key; every key is compared, so that the time does not tell which it is."""
        digest, match = Key.hash(text), None
        for name, key in self._keys.items():
            if compare_digest(digest, key.sha256):
                match = name
        return match


def _sent(current: Request) -> str:
    """Return the key that a request was sent with; empty if with none."""
    kind, _, text = current.headers.get("Authorization", "").partition(" ")
    return text if kind.lower() == "bearer" else ""


def _origin(current: Request) -> str:
    """Return the origin of the sending page; browsers leave out Origin where a page asks its own site."""
    referer = current.headers.get("Referer", "")
    return current.headers.get("Origin") or "/".join(referer.split("/", 3)[:3])


def _refused(why: str, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    metrics().refused.labels(why).inc()
    return Problem(status, kind, detail, headers=headers or {})


def _limiter(counters: SharedCounters | None, rate: float, burst: int) -> "RateLimiter | SharedRateLimiter":
    own = RateLimiter(rate, burst)
    return own if counters is None else SharedRateLimiter(counters, rate, burst, own)


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
