"""Images by URL: downloaded once, at a limited rate per host; a host that does not answer is given up."""

import re
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.request import getproxies
from uuid import uuid4

import httpx

from recommender.encoders.images import is_image, why_undecodable
from recommender.encoders.support.addresses import addresses_of, is_public
from recommender.encoders.support.retries import RETRYABLE_STATUSES, Unavailable, retrying
from recommender.errors import PhotoError

_SCHEMES = ("http://", "https://", "//")
# What is between "//" and the path of a URL, and what is a host without a scheme rather than a folder.
_HOST = re.compile(r"//(?:[^/]*[.:][^/]*|localhost)/")
_BARE_HOST = re.compile(r"(?:[\w-]+\.)+(?:com|net|org|shop|store|cloud|[a-z]{2})(?::\d+)?/", re.IGNORECASE)
_AGENT = "hybrid-recommender (product photos)"
_TIMEOUT = httpx.Timeout(5.0, read=8.0)  # seconds; `read` between two pieces
_MAX_SECONDS = 30.0  # for one image in all
_MAX_BYTES = 20 * 2**20
_ATTEMPTS = 3
_MAX_FAILURES = 3  # images in a row that a host fails to send before it is given up
_MAX_WAIT = 30.0  # seconds before the next attempt, also where Retry-After asks for more
_INTERVAL = 0.05  # seconds between two requests to a host
_RETRY_FAILED = 86_400.0  # seconds until an image that is not there is requested again
_TYPES = ("image/", "application/octet-stream", "binary/octet-stream")


def is_url(ref: str) -> bool:
    """Tell whether a reference is a URL, with a scheme or "//" and a host."""
    return ref[:8].lower().startswith(_SCHEMES) and bool(url_of(ref))


def url_of(ref: str) -> str:
    """Return a reference as a URL, "" if it is a path.

    >>> url_of("//cdn.example/a.jpg"), url_of("cdn.example.com/a.jpg"), url_of("photos/a.jpg")
    ('https://cdn.example/a.jpg', 'https://cdn.example.com/a.jpg', '')
    """
    if ref[:8].lower().startswith(("http://", "https://")):
        return ref.replace("&amp;", "&")
    if _HOST.match(ref):
        return f"https:{ref}"
    return f"https://{ref}" if _BARE_HOST.match(ref) else ""


@dataclass
class _Host:
    """What a run knows about a host.

    Attributes
    ----------
    next
        When it may be requested again.
    failures
        Images in a row that it did not send although it should have them.
    given_up
        Why it is not asked any more.
    """

    next: float = 0.0
    failures: int = 0
    given_up: str = ""


class _NoImage(Exception):
    """The host answers, but has no such image."""


class _TooSlow(Exception):
    """The host sends the image, but no end of it."""


class _NotNow(Exception):
    """The image cannot be downloaded in this run."""


class UrlImages:
    """Images on the web.

    A downloaded image is never requested again, so a new image needs a new URL. One that its host does not have
    is requested again after a day; one whose host does not answer, in the next run. A host that fails to send
    three images in a row is given up for the run.

    Parameters
    ----------
    folder
        The cache of downloads.
    interval
        Seconds between the starts of two requests to one host.
    backoff
        Longest wait before the second attempt, in seconds; doubles each time.
    private
        Whether hosts at private addresses may be asked: whoever writes a catalogue could otherwise make this
        machine send requests into its own network.
    """

    def __init__(
        self, folder: Path, interval: float = _INTERVAL, backoff: float = 1.0, private: bool = False
    ) -> None:
        self._folder, self._interval, self._backoff, self._private = folder, interval, backoff, private
        self._retrying = retrying(_ATTEMPTS, backoff, _MAX_WAIT)
        self._lock = Lock()
        self._hosts: dict[str, _Host] = defaultdict(_Host)
        self._failed: dict[str, str] = {}
        self._public: dict[str, bool] = {}
        self._proxied = bool(getproxies())  # a proxy connects to hosts itself

    def __reduce__(self) -> tuple[type["UrlImages"], tuple[Path, float, float, bool]]:
        """Pickle without the connections."""
        return UrlImages, (self._folder, self._interval, self._backoff, self._private)

    def key(self, ref: str) -> str:
        """Return the URL."""
        return url_of(ref)

    def read(self, ref: str) -> bytes:
        """Return the image from the cache, else from the web."""
        url = url_of(ref)
        name = sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
        cached = self._folder / name[:2] / name
        if cached.exists():
            return cached.read_bytes()
        failed = cached.with_suffix(".gone")
        if reason := self._failed.get(url) or _recent_failure(failed):
            raise PhotoError(ref, reason)
        cached.parent.mkdir(parents=True, exist_ok=True)
        try:
            image = self._download(url)
        except _NoImage as error:
            _write(failed, str(error).encode())
            raise PhotoError(ref, str(error)) from error
        except _NotNow as error:
            self._failed[url] = str(error)
            raise PhotoError(ref, str(error)) from error
        _write(cached, image)
        return image

    def close(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            self._client.close()

    @cached_property
    def _client(self) -> httpx.Client:
        hooks = {} if self._private else {"request": [self._check_host]}
        return httpx.Client(
            timeout=_TIMEOUT,
            follow_redirects=True,
            max_redirects=5,
            headers={"User-Agent": _AGENT},
            event_hooks=hooks,
        )

    def _download(self, url: str) -> bytes:
        """Download an image; failures that may pass by themselves are retried, and counted against the host."""
        try:
            name = httpx.URL(url).netloc.decode("ascii")
        except httpx.InvalidURL as error:
            raise _NoImage(f"has no valid URL: {error}") from error
        with self._lock:
            host, client = self._hosts[name], self._client
        try:
            image = self._retrying(self._get, client, url, host)
        except _NoImage:
            host.failures = 0
            raise
        except _TooSlow as error:
            raise self._failure(host, f"is on {name}, which {error}") from error
        except Unavailable as error:
            raise self._failure(host, f"is on {name}, which answers {error} after {_ATTEMPTS} attempts") from error
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            failure = f"is on {name}, which does not answer after {_ATTEMPTS} attempts ({why})"
            raise self._failure(host, failure) from error
        host.failures = 0
        return image

    def _failure(self, host: _Host, reason: str) -> _NotNow:
        """Count a failure of a host; give it up after a few in a row."""
        with self._lock:
            host.failures += 1
            if host.failures >= _MAX_FAILURES:
                host.given_up = host.given_up or reason
        return _NotNow(host.given_up or reason)

    def _get(self, client: httpx.Client, url: str, host: _Host) -> bytes:
        self._take_turn(host)
        if host.given_up:
            raise _NotNow(host.given_up)
        watch = {} if self._private or self._proxied else {"trace": _check_peer}
        try:
            with client.stream("GET", url, extensions=watch) as response:
                if response.status_code in RETRYABLE_STATUSES:
                    raise self._unavailable(host, response)
                return _image(response)
        except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.UnsupportedProtocol, httpx.DecodingError) as error:
            raise _NoImage(f"cannot be downloaded: {error}") from error

    def _unavailable(self, host: _Host, response: httpx.Response) -> Unavailable:
        """Return the failure of a response; all wait if the host asks for that."""
        error = Unavailable(f"HTTP {response.status_code}", response)
        if error.retry_after:
            with self._lock:
                host.next = max(host.next, time.monotonic() + min(error.retry_after, _MAX_WAIT))
        return error

    def _take_turn(self, host: _Host) -> None:
        """Sleep until the host may be requested again."""
        with self._lock:
            start = max(host.next, time.monotonic())
            host.next = start + (0.0 if host.given_up else self._interval)
        time.sleep(0.0 if host.given_up else max(0.0, start - time.monotonic()))

    def _check_host(self, request: httpx.Request) -> None:
        """Refuse hosts at private addresses, also those that a host redirects to."""
        host = request.url.host
        if host not in self._public:
            try:
                self._public[host] = all(map(is_public, addresses_of(host)))
            except OSError as error:
                if self._proxied:
                    return
                raise httpx.ConnectError(str(error)) from error
        if not self._public[host]:
            raise _private(host)


def _check_peer(event: str, info: Mapping[str, Any]) -> None:
    """Refuse a private address before anything is sent: the name may have had another one when it was checked."""
    if event == "connection.connect_tcp.complete":
        connection = info["return_value"]
        address = connection.get_extra_info("server_addr")[0]
        if not is_public(address):
            connection.close()
            raise _private(address)


def _private(host: str) -> _NotNow:
    return _NotNow(f"is at the private address {host}; [catalog] private_images = true allows it")


def _image(response: httpx.Response) -> bytes:
    """Read an image within the limits on type, size and time."""
    if response.status_code != 200:
        raise _NoImage(f"answers HTTP {response.status_code}")
    deadline, body = time.monotonic() + _MAX_SECONDS, bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise _NoImage(f"is larger than {_MAX_BYTES:,} bytes")
        if time.monotonic() > deadline:
            raise _TooSlow(f"takes longer than {_MAX_SECONDS:.0f} seconds")
    image, kind = bytes(body), response.headers.get("content-type", "image/")
    if not image.strip() or image.lstrip().startswith(b"<"):  # a page that says "not found" with status 200
        raise _NoImage(why_undecodable(image))
    if not kind.lower().startswith(_TYPES) and not is_image(image):
        raise _NoImage(f"is {kind!r}; expected an image")
    return image


def _recent_failure(marker: Path) -> str:
    """Return why an image could not be downloaded within the last day, "" if it could or was not tried."""
    try:
        recent = time.time() - marker.stat().st_mtime < _RETRY_FAILED
        return marker.read_text("utf-8") if recent else ""
    except OSError:
        return ""


def _write(path: Path, data: bytes) -> None:
    """Write to a temporary file and rename: a killed run leaves no partial image."""
    temporary = path.with_name(f"{uuid4().hex}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
