"""What surrounds every request: the limit of its body, its id, its metrics and its line in the log.

Metrics and logs have the route as a template, never an id of a user or a product.
"""

import logging
import os
import re
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from apiflask import APIFlask
from flask import Request, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from serving.logs import REQUEST_ID
from serving.metrics import requests

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# The unread rest of a body is read up to this size; beyond it the sender finds the connection closed.
_MAX_REST, _CHUNK = 64 << 20, 1 << 16
_access_log = logging.getLogger("serving.access")


class LimitedRequest(Request):
    """A request whose chunked body is limited too: werkzeug alone would cut it at the limit."""

    def get_data(self, *args: Any, **options: Any) -> Any:
        """Return the body; raises `RequestEntityTooLarge` if it is longer than allowed."""
        data = super().get_data(*args, **options)
        cut = self.content_length is None and len(data) == self.max_content_length
        if cut and self.environ["wsgi.input"].read(1):
            raise RequestEntityTooLarge
        return data


class Api(APIFlask):
    """A Flask app without asynchronous views: nothing need be inspected before each call."""

    request_class = LimitedRequest

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself."""
        return func


class RequestLog:
    """WSGI middleware that gives each request an id, its sender's if valid, returns the id, measures and logs.

    It surrounds Flask rather than being a hook of it, so that no response escapes it; it is also faster.

    Parameters
    ----------
    app
        The service.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request."""
        start = perf_counter()
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not _ID.fullmatch(request_id):
            request_id = os.urandom(8).hex()
        environ[REQUEST_ID] = request_id

        def log_and_start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            seconds, rule = perf_counter() - start, environ["werkzeug.request"].url_rule
            route, code = rule.rule if rule else "none", int(status[:3])
            requests(route, code).observe(seconds)
            if _access_log.isEnabledFor(logging.INFO):
                fields = {"method": environ["REQUEST_METHOD"], "route": route, "status": code}
                fields |= {"ms": round(1e3 * seconds, 2), "request_id": request_id}
                _access_log.info("request", extra={"fields": fields})
            return start_response(status, [*headers, ("X-Request-ID", request_id)], error)

        body = self._app(environ, log_and_start)
        if environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ:
            _read_rest(environ)
        return body


def _read_rest(environ: "WSGIEnvironment") -> None:
    """Read what the view did not read of the body: otherwise the next request on the connection would fail."""
    if not environ.get("wsgi.input_terminated"):
        return  # reading past the end of the body would block for ever
    read = environ["wsgi.input"].read
    for _ in range(0, _MAX_REST, _CHUNK):
        if not read(_CHUNK):
            return


def allow_origins(app: APIFlask, origins: tuple[str, ...]) -> None:
    """Allow pages of these origins to call the API from a browser (CORS)."""

    def preflight() -> Response | None:
        allowed = request.method == "OPTIONS" and request.headers.get("Origin") in origins
        return Response(status=204) if allowed else None

    def add_headers(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, X-Request-ID"
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers.add("Vary", "Origin")
        return response

    app.before_request(preflight)
    app.after_request(add_headers)
