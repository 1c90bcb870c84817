"""What is seen of every request: id, time, status, its route as a template; never an id of a user or a product."""

import logging
import os
import re
from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from serving.logs import REQUEST_ID
from serving.metrics import requests

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# What is left of a body beyond so many bytes is not waited for; its sender finds the connection closed.
_LEFT_OVER, _CHUNK = 64 << 20, 1 << 16
_access = logging.getLogger("serving.access")


class Observed:
    """Gives every request an id, its sender's if that is usable, counts it, logs it, and sends the id back.

    It is around Flask rather than among its hooks: nothing that is answered can go past it, and it costs less.

    Parameters
    ----------
    app
        The service.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request."""
        started = perf_counter()
        said = environ.get("HTTP_X_REQUEST_ID", "")
        environ[REQUEST_ID] = request_id = said if _ID.fullmatch(said) else os.urandom(8).hex()

        def answer(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            _observe(environ, int(status[:3]), perf_counter() - started)
            return start_response(status, [*headers, ("X-Request-ID", request_id)], error)

        answered = self._app(environ, answer)
        _read_rest(environ)
        return answered


def _read_rest(environ: "WSGIEnvironment") -> None:
    """Read what the answer did not need of the body; else the sender's next request would find no connection."""
    if not (environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ):
        return
    if not environ.get("wsgi.input_terminated"):
        return  # reading past a body's end would wait for ever
    read = environ["wsgi.input"].read
    for _ in range(0, _LEFT_OVER, _CHUNK):
        if not read(_CHUNK):
            return


def _observe(environ: "WSGIEnvironment", status: int, seconds: float) -> None:
    rule = environ["werkzeug.request"].url_rule
    route = rule.rule if rule else "none"
    requests(route, status).observe(seconds)
    if _access.isEnabledFor(logging.INFO):
        told = {
            "method": environ["REQUEST_METHOD"],
            "route": route,
            "status": status,
            "ms": round(1e3 * seconds, 2),
            "request_id": environ[REQUEST_ID],
        }
        _access.info("request", extra={"told": told})
