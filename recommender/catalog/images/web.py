"""Images by URL, downloaded once into a cache, with a limited rate per host."""

import time
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from threading import Lock
from uuid import uuid4

import httpx

from recommender.catalog.images.files import ImageSource
from recommender.encoders.support.retries import RETRYABLE_STATUSES, Unavailable, retrying
from recommender.errors import DataError

_SCHEMES = ("http://", "https://")
_AGENT = "hybrid-recommender (product photos)"
_TIMEOUT = httpx.Timeout(10.0, read=20.0)  # seconds; `read` between two pieces
_MAX_SECONDS = 60.0  # for one image in all
_MAX_BYTES = 20 * 2**20
_ATTEMPTS = 3
_MAX_WAIT = 30.0  # seconds before the next attempt, also where Retry-After asks for more
_INTERVAL = 0.05  # seconds between two requests to a host
_RETRY_FAILED = 86_400.0  # seconds until a failed download is tried again
_TYPES = ("image/", "application/octet-stream", "binary/octet-stream")


def is_url(ref: str) -> bool:
    """Tell whether a reference is to be downloaded."""
    return ref.lower().startswith(_SCHEMES)


class UrlImages:
    """Images on the web.

    A downloaded image is never requested again, so a new image needs a new URL. A failed download is tried again
    after a day.

    Parameters
    ----------
    folder
        The cache of downloads.
    interval
        Seconds between the starts of two requests to one host.
    backoff
        Longest wait before the second attempt, in seconds; doubles each time.
    """

    def __init__(self, folder: Path, interval: float = _INTERVAL, backoff: float = 1.0) -> None:
        self._folder = folder
        self._interval = interval
        self._backoff = backoff
        self._retrying = retrying(_ATTEMPTS, backoff, _MAX_WAIT)
        self._lock = Lock()
        self._next: dict[str, float] = defaultdict(float)
        self._client = httpx.Client(
            timeout=_TIMEOUT, follow_redirects=True, max_redirects=5, headers={"User-Agent": _AGENT}
        )

    def __reduce__(self) -> tuple[type["UrlImages"], tuple[Path, float, float]]:
        """Pickle without the connections."""
        return UrlImages, (self._folder, self._interval, self._backoff)

    def key(self, ref: str) -> str:
        """Return the URL."""
        return ref if is_url(ref) else ""

    def read(self, ref: str) -> bytes:
        """Return the image from the cache, else from the web."""
        name = sha256(ref.encode()).hexdigest()
        cached = self._folder / name[:2] / name
        failed = cached.with_suffix(".gone")
        if cached.exists():
            return cached.read_bytes()
        if failed.exists() and time.time() - failed.stat().st_mtime < _RETRY_FAILED:
            raise DataError(f"photo {ref!r}: {failed.read_text(encoding='utf-8')}")
        cached.parent.mkdir(parents=True, exist_ok=True)
        try:
            image = self._fetch(ref)
        except DataError as error:
            _write(failed, str(error).encode())
            raise DataError(f"photo {ref!r}: {error}") from error
        _write(cached, image)
        return image

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _fetch(self, url: str) -> bytes:
        """Download an image; failures that may pass by themselves are retried."""
        try:
            return self._retrying(self._get, url)
        except (httpx.TransportError, Unavailable) as error:
            raise DataError(f"{str(error) or type(error).__name__} after {_ATTEMPTS} attempts") from error

    def _get(self, url: str) -> bytes:
        try:
            self._take_turn(url)
            with self._client.stream("GET", url) as response:
                if response.status_code in RETRYABLE_STATUSES:
                    raise Unavailable(f"HTTP {response.status_code}", response)
                return _body(response)
        except httpx.InvalidURL as error:
            raise DataError(f"is no URL: {error}") from error
        except (httpx.TooManyRedirects, httpx.UnsupportedProtocol) as error:
            raise DataError(str(error)) from error

    def _take_turn(self, url: str) -> None:
        """Sleep until the host may be requested again."""
        host = httpx.URL(url).host
        with self._lock:
            start = max(self._next[host], time.monotonic())
            self._next[host] = start + self._interval
        time.sleep(max(0.0, start - time.monotonic()))


class MixedImages:
    """Images of which some are on the web and the others in a folder or zip."""

    def __init__(self, files: ImageSource, web: ImageSource) -> None:
        self._files, self._web = files, web

    def key(self, ref: str) -> str:
        """Return the key of the reference's source."""
        return self._of(ref).key(ref)

    def read(self, ref: str) -> bytes:
        """Return the image from the reference's source."""
        return self._of(ref).read(ref)

    def close(self) -> None:
        """Close both."""
        self._files.close()
        self._web.close()

    def _of(self, ref: str) -> ImageSource:
        return self._web if is_url(ref) else self._files


def _body(response: httpx.Response) -> bytes:
    """Read an image within the limits on type, size and time."""
    if response.status_code != 200:
        raise DataError(f"HTTP {response.status_code}")
    kind = response.headers.get("content-type", "image/")
    if not kind.lower().startswith(_TYPES):
        raise DataError(f"is {kind!r}; expected an image")
    deadline, body = time.monotonic() + _MAX_SECONDS, bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise DataError(f"is larger than {_MAX_BYTES:,} bytes")
        if time.monotonic() > deadline:
            raise DataError(f"took longer than {_MAX_SECONDS:.0f} seconds")
    return bytes(body)


def _write(path: Path, data: bytes) -> None:
    """Write to a temporary file and rename: a killed run leaves no partial image."""
    temporary = path.with_name(f"{uuid4().hex}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
