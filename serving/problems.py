"""Errors as problem+json (RFC 9457), and the HTTP status of each error of the library."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from recommender.errors import BundleError, RecommenderError, RequestError, StoreError, UnknownItemError
from serving.json_codec import json_response
from serving.logs import REQUEST_ID

logger = logging.getLogger(__name__)
RETRY_SECONDS = 5
# Of what a response repeats of a wrong request: errors, and characters of each text.
MAX_ERRORS, MAX_LENGTH = 100, 2000


@dataclass(eq=False)
class Problem(Exception):
    """An error response.

    Parameters
    ----------
    status
        The HTTP status.
    kind
        The last part of the problem's type, such as ``unknown-item``.
    detail
        What was found, what was expected and what to do.
    errors
        One mapping per error: a ``detail``, its ``pointer`` and, if known, a ``suggestion``.
    headers
        Further headers of the response.
    """

    status: int
    kind: str
    detail: str
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.detail

    def body(self) -> dict[str, Any]:
        """Return the problem details."""
        body: dict[str, Any] = {
            "type": f"urn:problem:{self.kind}",
            "title": HTTP_STATUS_CODES[self.status],
            "status": self.status,
            "detail": _short(self.detail),
        }
        if self.errors:
            errors = self.errors[:MAX_ERRORS]
            body["errors"] = [{name: _short(text) for name, text in error.items()} for error in errors]
        return body

    def response(self) -> Response:
        """Return the problem as a response."""
        return json_response(self.body(), self.status, self.headers, "application/problem+json")


def _short(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"


def problem_of(error: RecommenderError) -> Problem:
    """Return the problem of an error of the library."""
    match error:
        case UnknownItemError():
            return Problem(404, "unknown-item", str(error), [_entry(error)])
        case RequestError():
            return Problem(422, "invalid-request", str(error), [_entry(error)])
        case StoreError():
            return _unavailable("store-unavailable", "the event store does not answer; try again")
        case BundleError():
            return _unavailable("not-ready", "no bundle can be opened; see /healthz/ready")
    raise error


def _entry(error: RequestError) -> dict[str, str]:
    entry = {"pointer": error.pointer, "detail": str(error)}
    return entry if error.suggestion is None else {**entry, "suggestion": error.suggestion}


def _unavailable(kind: str, detail: str) -> Problem:
    return Problem(503, kind, detail, headers={"Retry-After": str(RETRY_SECONDS)})


def register(app: Flask) -> None:
    """Answer every error of `app` with a problem."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, lambda error: problem_for(error).response())


def problem_for(error: Exception) -> Problem:
    """Return the problem of any error, which is logged if it is not the sender's."""
    if isinstance(error, Problem):
        return error
    if not isinstance(error, RecommenderError):
        request_id = request.environ[REQUEST_ID]
        logger.error("request %s failed", request_id, exc_info=error)
        return Problem(500, "internal-error", f"request {request_id} failed; the log says why")
    problem = problem_of(error)
    if problem.status >= 500:
        logger.error("%s: %s", problem.kind, error)
    return problem


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    kind = HTTP_STATUS_CODES[status].lower().replace(" ", "-")
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return Problem(status, kind, error.description or HTTP_STATUS_CODES[status], headers=headers).response()
