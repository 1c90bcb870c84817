"""Reports as CSV, for whoever opens them in a spreadsheet."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from flask import Response, request

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(format: str | None) -> bool:
    """Return whether the current request wants CSV: by its parameter, else by the header Accept."""
    if format is not None:
        return format == "csv"
    return request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv"


def csv_response(lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Response:
    """Return some members of lines as CSV with a header."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([_cell(line.get(name)) for name in names] for line in lines)
    return Response(text.getvalue(), content_type="text/csv; charset=utf-8")


def _cell(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
