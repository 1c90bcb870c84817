"""What surrounds every request: the limit of its body, its id, its metrics and its line in the log.

Metrics and logs have the route as a template, never an id of a user or a product.
"""

import logging
import os
import re
from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from io import BytesIO
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

from apiflask import APIFlask
from flask import Request, Response, request

from serving.bodies import plain, too_large
from serving.logs import REQUEST_ID
from serving.markets import HEADER
from serving.metrics import requests
from serving.problems import Problem

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Of a body; there is one between any two values.
MAX_COMMAS = 100_000
_access_log = logging.getLogger("serving.access")


class ApiRequest(Request):
    """A request whose body is read until a deadline and up to a limit, and holds JSON."""

    @cached_property
    def stream(self) -> BytesIO:
        """The body, without its compression; it is limited also if it came without a length."""
        limit = self.max_content_length or 0
        if (self.content_length or 0) > limit:
            raise too_large(limit)
        # servers other than ours would block beyond the end of the body
        size = limit + 1 if self.environ.get("wsgi.input_terminated") else self.content_length or 0
        body = self.environ["wsgi.input"].read(size)
        if len(body) > limit:
            raise too_large(limit)
        return BytesIO(plain(body, self.environ, limit))

    def get_json(self, *args: Any, **options: Any) -> Any:
        """Return the decoded body; raises a `Problem` if it is null, or holds too many values."""
        if self.get_data().count(b",") > MAX_COMMAS:
            detail = f"the body has more than {MAX_COMMAS} commas; send less at once"
            raise Problem(413, "request-entity-too-large", detail)
        value = super().get_json(*args, **options)
        if value is None:
            raise Problem(422, "invalid-request", "request: expected an object; found null")
        return value

    def on_json_loading_failed(self, e: ValueError | None) -> NoReturn:
        """Raise a `Problem` that says where the JSON is broken."""
        what = str(e) if self.get_data() else "it is empty"
        raise Problem(400, "bad-request", f"the body is not JSON: {what}")


class Api(APIFlask):
    """A Flask app without asynchronous views: nothing need be inspected before each call."""

    request_class = ApiRequest

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

        return self._app(environ, log_and_start)


def allow_origins(app: APIFlask, origins: Collection[str]) -> None:
    """Allow pages of these origins to call the API from a browser (CORS)."""

    def preflight() -> Response | None:
        allowed = request.method == "OPTIONS" and request.headers.get("Origin") in origins
        return Response(status=204) if allowed else None

    def add_headers(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = (
                f"Authorization, Content-Type, {HEADER}, X-Request-ID"
            )
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers["Access-Control-Max-Age"] = "7200"  # else browsers ask again before each call
            response.headers.add("Vary", "Origin")
        return response

    app.before_request(preflight)
    app.after_request(add_headers)
