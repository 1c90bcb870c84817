"""The Flask app on granian's asynchronous interface, RSGI.

On its WSGI interface a thread reads the body of a request and cannot stop: as many half-sent bodies as there are
threads would halt a worker. Here the event loop reads bodies, any number at once, and a thread gets a request when
it is whole.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

from serving.bodies import BodyReader, Missing

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

# Requests hold the interpreter lock except in Annoy and the database: with more threads they wait for each other
# longer (p99 for users 18 ms with three, 23 with four), with fewer a store that hangs holds up more.
THREADS = 3
_WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
# Requests by item id take less time than to change threads, and never wait for the store: the event loop itself
# answers them, but for those with a filter or weights.
_QUICK = re.compile(r"/v1/(?:items[/:]|similar|complementary|trending|new|thumbnails)|/healthz/live")
_COSTLY = re.compile(r"(?:^|&)(?:filter|weights)=")
_ENVIRONMENT: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class Scope(Protocol):
    """A request, as granian gives it."""

    method: str
    path: str
    query_string: str
    http_version: str
    authority: str | None
    scheme: str
    server: str
    client: str
    headers: Any


class Exchange(Protocol):
    """The body of a request, in chunks, and the way to its response."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the chunks."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send the response."""


class Application:
    """Answers the requests of one worker: reads their bodies on the event loop, then calls the app.

    Parameters
    ----------
    app
        The app; granian's WSGI interface would call it alike.
    bodies
        Reads bodies.
    admits
        Whether a request passes by its key and route: a refused one is answered before its body is read.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        bodies: BodyReader,
        admits: "Callable[[WSGIEnvironment], bool]" = lambda environ: True,
    ) -> None:
        self._app, self._bodies, self._admits = app, bodies, admits
        self._threads = ThreadPoolExecutor(THREADS, "request")

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer a request."""
        environ = environment(scope)
        length = _length(environ)
        whole = length == 0
        if length != 0 and scope.method in _WITH_BODY and self._admits(environ):
            environ["wsgi.input"] = body = await self._bodies.read(exchange, length)
            whole = not isinstance(body, Missing)
        if scope.method == "GET" and _QUICK.match(scope.path) and not _COSTLY.search(scope.query_string):
            self._answer(environ, exchange, whole)
        else:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, environ, exchange, whole)

    def _answer(self, environ: "WSGIEnvironment", exchange: Exchange, whole: bool) -> None:
        status, headers, body = called(self._app, environ)
        if not whole:  # the rest of the body would be taken for the next request
            headers.append(("connection", "close"))
        exchange.response_bytes(status, headers, body)


def environment(scope: Scope) -> "WSGIEnvironment":
    """Return the WSGI environment of a request; its body is empty."""
    host, _, port = scope.server.rpartition(":")
    environ = {
        **_ENVIRONMENT,
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(),
    }
    if scope.authority:  # HTTP/2 has it in the place of a header
        environ["HTTP_HOST"] = scope.authority
    for name, value in scope.headers.items():
        key = _key(name)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


@lru_cache(256)
def _key(header: str) -> str:
    """Return the name that a header has in a WSGI environment."""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


def called(app: "WSGIApplication", environ: "WSGIEnvironment") -> tuple[int, list[tuple[str, str]], bytes]:
    """Return the status, the headers and the body of a WSGI app's response."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
        started[:] = int(status[:3]), [(name.lower(), value) for name, value in headers]

    chunks = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        getattr(chunks, "close", lambda: None)()
    status, headers = started
    return status, headers, body


def _length(environ: "WSGIEnvironment") -> int | None:
    """Return the length of the body, 0 if there is none, and None if the sender does not say."""
    text = environ.get("CONTENT_LENGTH", "")
    if text.isdecimal():
        return int(text)
    return None if "HTTP_TRANSFER_ENCODING" in environ else 0
