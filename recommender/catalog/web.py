"""Photos by URL: downloaded politely, once, into a cache, so that an interrupted run goes on where it stopped."""

import time
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from threading import Lock
from uuid import uuid4

import httpx

from recommender.catalog.images import ImageSource
from recommender.errors import DataError

_SCHEMES = ("http://", "https://")
_AGENT = "hybrid-recommender (product photos)"
_TIMEOUT = httpx.Timeout(10.0, read=20.0)  # seconds; `read` between two pieces
_LONGEST = 60.0  # seconds for one photo in all
_LARGEST = 20 * 2**20  # bytes
_TRIES = 3
_BETWEEN = 0.05  # seconds between two requests to a host
_LONGEST_WAIT = 30.0  # seconds that a host may ask for by Retry-After
_GONE_FOR = 86_400.0  # seconds until what could not be had is asked for again
_TYPES = ("image/", "application/octet-stream", "binary/octet-stream")
_BUSY = {408, 425, 429, 500, 502, 503, 504}


def is_url(ref: str) -> bool:
    """Tell whether a reference is to be downloaded."""
    return ref.lower().startswith(_SCHEMES)


class UrlImages:
    """Photos on the web.

    A photo once fetched is not asked for again, so a new picture needs a new URL. What could not be had is asked
    for again after a day.

    Parameters
    ----------
    folder
        Where downloads are kept.
    between
        Seconds between the starts of two requests to one host.
    wait
        Seconds before the first repetition of a request that failed; doubles each time.
    """

    def __init__(self, folder: Path, between: float = _BETWEEN, wait: float = 1.0) -> None:
        self._folder = folder
        self._between = between
        self._wait = wait
        self._lock = Lock()
        self._next: dict[str, float] = defaultdict(float)
        self._client = httpx.Client(
            timeout=_TIMEOUT, follow_redirects=True, max_redirects=5, headers={"User-Agent": _AGENT}
        )

    def __reduce__(self) -> tuple[type["UrlImages"], tuple[Path, float, float]]:
        """Connect anew in another process."""
        return UrlImages, (self._folder, self._between, self._wait)

    def key(self, ref: str) -> str:
        """Return the URL."""
        return ref if is_url(ref) else ""

    def read(self, ref: str) -> bytes:
        """Return the photo from the cache, else from the web."""
        name = sha256(ref.encode()).hexdigest()
        kept = self._folder / name[:2] / name
        gone = kept.with_suffix(".gone")
        if kept.exists():
            return kept.read_bytes()
        if gone.exists() and time.time() - gone.stat().st_mtime < _GONE_FOR:
            raise DataError(f"photo {ref!r}: {gone.read_text(encoding='utf-8')}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            photo = self._fetch(ref)
        except DataError as error:
            _write(gone, str(error).encode())
            raise DataError(f"photo {ref!r}: {error}") from error
        _write(kept, photo)
        return photo

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _fetch(self, url: str) -> bytes:
        """Ask up to three times; only what may pass by itself is asked again."""
        for attempt in range(_TRIES):
            wait = self._wait * 2**attempt
            try:
                self._take_turn(url)
                with self._client.stream("GET", url) as answer:
                    if answer.status_code not in _BUSY:
                        return _body(answer)
                    problem = f"HTTP {answer.status_code}"
                    wait = max(wait, _retry_after(answer))
            except httpx.InvalidURL as error:
                raise DataError(f"is no URL: {error}") from error
            except (httpx.TooManyRedirects, httpx.UnsupportedProtocol) as error:
                raise DataError(str(error)) from error
            except httpx.TransportError as error:
                problem = str(error) or type(error).__name__
            if attempt + 1 < _TRIES:
                time.sleep(wait)
        raise DataError(f"{problem} after {_TRIES} attempts")

    def _take_turn(self, url: str) -> None:
        """Sleep until it is this request's turn at its host."""
        host = httpx.URL(url).host
        with self._lock:
            start = max(self._next[host], time.monotonic())
            self._next[host] = start + self._between
        time.sleep(max(0.0, start - time.monotonic()))


class MixedImages:
    """Photos of which some are on the web and the others in a folder or zip."""

    def __init__(self, files: ImageSource, web: ImageSource) -> None:
        self._files, self._web = files, web

    def key(self, ref: str) -> str:
        """Return what the reference's own source says."""
        return self._of(ref).key(ref)

    def read(self, ref: str) -> bytes:
        """Return the photo from the reference's own source."""
        return self._of(ref).read(ref)

    def close(self) -> None:
        """Close both."""
        self._files.close()
        self._web.close()

    def _of(self, ref: str) -> ImageSource:
        return self._web if is_url(ref) else self._files


def _body(answer: httpx.Response) -> bytes:
    """Read an answer that is a photo, within the limits."""
    if answer.status_code != 200:
        raise DataError(f"HTTP {answer.status_code}")
    kind = answer.headers.get("content-type", "image/")
    if not kind.lower().startswith(_TYPES):
        raise DataError(f"is {kind!r}; expected an image")
    deadline, body = time.monotonic() + _LONGEST, bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > _LARGEST:
            raise DataError(f"is larger than {_LARGEST:,} bytes")
        if time.monotonic() > deadline:
            raise DataError(f"took longer than {_LONGEST:.0f} seconds")
    return bytes(body)


def _retry_after(answer: httpx.Response) -> float:
    """Return the seconds that a host asks to wait; its other form, a date, counts as none."""
    try:
        return min(_LONGEST_WAIT, max(0.0, float(answer.headers.get("retry-after", "0"))))
    except ValueError:
        return 0.0


def _write(path: Path, data: bytes) -> None:
    """Write beside and rename: a killed run leaves no half photo."""
    beside = path.with_name(f"{uuid4().hex}.tmp")
    beside.write_bytes(data)
    beside.replace(path)
