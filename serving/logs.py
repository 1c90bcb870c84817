"""Logs as JSON, a line each; of a request its route's template, never an id of a user or a product."""

import logging
import os
import re
import sys
from datetime import UTC, datetime
from time import perf_counter

import orjson
from flask import Flask, Response, g, request

from serving.metrics import metrics

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_access = logging.getLogger("serving.access")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what a record carries in `told` joins it."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "told", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str) -> None:
    """Write the service's logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("serving", "recommender"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper())


def begin() -> None:
    """Give the request an id, its sender's if it has a usable one, and note the time."""
    g.started = perf_counter()
    said = request.headers.get("X-Request-ID", "")
    g.request_id = said if _ID.fullmatch(said) else os.urandom(8).hex()


def end(response: Response) -> Response:
    """Count the request, log it, and send its id back."""
    seconds = perf_counter() - g.started
    route = request.url_rule.rule if request.url_rule else "none"
    metrics().requests.labels(route, response.status_code).observe(seconds)
    response.headers["X-Request-ID"] = g.request_id
    if _access.isEnabledFor(logging.INFO):
        told = {
            "method": request.method,
            "route": route,
            "status": response.status_code,
            "ms": round(1e3 * seconds, 2),
            "request_id": g.request_id,
        }
        _access.info("request", extra={"told": told})
    return response


def register(app: Flask) -> None:
    """Observe every request of `app`."""
    app.before_request(begin)
    app.after_request(end)
