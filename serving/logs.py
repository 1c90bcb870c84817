"""Logs as JSON lines."""

import logging
import sys
from datetime import UTC, datetime

import orjson

# The key of the request id in the WSGI environment.
REQUEST_ID = "serving.request_id"


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, together with its `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str) -> None:
    """Write the service's logs to stderr, without the line of code, which takes long to find."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # see "Optimization" in Python's logging HOWTO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("serving", "recommender"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper())
