"""Bodies of requests: read until a deadline and up to a limit, and inflated up to the same limit."""

import asyncio
import zlib
from collections.abc import AsyncIterable
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from serving.problems import Problem

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

# Bytes of all bodies of a worker that are being read; beyond that new ones are refused.
MAX_BUFFERED = 256 << 20
_GZIP = 16 + zlib.MAX_WBITS


class Missing(BytesIO):
    """The body of a request that was not read; reading it raises the reason."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self._reason = reason

    def read(self, size: int | None = -1, /) -> bytes:
        """Raise the reason."""
        raise self._reason


class BodyReader:
    """Reads bodies as they come, until a deadline and up to a limit.

    Parameters
    ----------
    limit
        Maximum size in bytes.
    seconds
        In which a body must have come.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._buffered = 0

    async def read(self, chunks: AsyncIterable[bytes], length: int | None) -> BinaryIO:
        """Return a body as a file; reading it raises a `Problem` if it is too large or has not come in time.

        Parameters
        ----------
        chunks
            Of the body.
        length
            That the sender told; None if it told none.
        """
        if length is not None and length > self._limit:
            return Missing(too_large(self._limit))
        if self._buffered + (length or 0) > MAX_BUFFERED:
            return Missing(
                Problem(503, "busy", "too many bodies are being received", headers={"Retry-After": "1"})
            )
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in chunks:
                    body += chunk
                    self._buffered += len(chunk)
                    if len(body) > self._limit:
                        return Missing(too_large(self._limit))
        except TimeoutError:
            detail = f"the body has not come within {self._seconds:g} s; send the request again"
            return Missing(Problem(408, "request-timeout", detail))
        finally:
            self._buffered -= len(body)
        if length is not None and len(body) < length:
            return Missing(BadRequest(f"the body ended after {len(body)} of {length} bytes"))
        return BytesIO(body)


def plain(body: bytes, environ: "WSGIEnvironment", limit: int) -> bytes:
    """Return a body without its compression.

    Raises
    ------
    HTTPException
        413 if it has more bytes than `limit`, which are not inflated; 415 for another compression than gzip; 400
        if it is damaged.
    """
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise UnsupportedMediaType(f"the body is encoded as {encoding[:60]!r}; expected gzip, or none")
    inflater = zlib.decompressobj(_GZIP)
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not gzip, as its Content-Encoding says: {error}") from None
    if len(inflated) > limit:
        raise too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise BadRequest("the body is not one whole gzip file, as its Content-Encoding says")
    return inflated


def too_large(limit: int) -> RequestEntityTooLarge:
    """Return the error of a body with more bytes than `limit`."""
    return RequestEntityTooLarge(f"the body has more than {limit} bytes; send less at once")
