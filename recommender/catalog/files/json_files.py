"""Read JSON: an array of objects, an object that holds one, or one object a line."""

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import orjson
import pandas as pd

from recommender.catalog.files.encodings import encoding_of, utf8_blocks
from recommender.catalog.report import DataReport, Rows

Record = dict[str, Any]
Part = tuple[pd.DataFrame, Rows]
# Python's own reader, for what orjson refuses: NaN, control characters, one object after another
_DECODER = json.JSONDecoder(strict=False)
# An object with one of them is a record itself, not the envelope of records.
_KEYS = ("id", "sku", "item_id", "user_id", "event_name")
_EXACT = 2**53  # whole numbers from here on are not exact as floats


def json_parts(name: str, file: BinaryIO, report: DataReport) -> Iterator[Part]:
    """Yield the objects of a file: those of lines in parts, those of a document at once.

    Objects are numbered by line, or by their place in the array. What is not an object is reported and left out.
    """
    encoding = encoding_of(file)
    encoding.report(name, report)
    blocks = utf8_blocks(file, encoding)
    head = next(blocks, b"")
    if _is_document(name, head):
        part = _document(name, b"".join([head, *blocks]).decode(errors="replace"), report)
        encoding.report_replaced(name, *part, report)
        yield part
        return
    first = 1
    for block in _whole_lines(head, blocks):
        lines = block.split(b"\n")
        part = _lines(name, lines, first, report)
        encoding.report_replaced(name, *part, report)
        yield part
        first += len(lines)


def _is_document(name: str, head: bytes) -> bool:
    """Return whether a file is one array or object, rather than an object a line."""
    lines = [line for line in head[: 2**20].split(b"\n")[:50] if line.strip()]
    if not lines:
        return False
    first = _parsed(lines[0])
    if isinstance(first, list):
        return not first or any(isinstance(each, dict) for each in first)
    if first is None:
        whole = sum(isinstance(_parsed(line), dict) for line in lines)
        return lines[0].lstrip().startswith(b"[") or 2 * whole < len(lines)
    return len(lines) == 1 and isinstance(first, dict) and name.lower().endswith(".json") and bool(_arrays(first))


def _whole_lines(head: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield blocks of whole lines, each without its last line end."""
    rest = head
    for block in blocks:
        cut = rest.rfind(b"\n")
        if cut >= 0:
            yield rest[:cut]
            rest = rest[cut + 1 :]
        rest += block
    yield rest


def _lines(name: str, lines: list[bytes], first: int, report: DataReport) -> Part:
    """Return the objects of lines, numbered from `first`."""
    records: list[Record] = []
    rows: list[int] = []
    broken: list[int] = []
    for number, line in enumerate(lines, first):
        parsed = _parsed(line)
        if isinstance(parsed, dict):
            records.append(parsed)
            rows.append(number)
        elif line.strip(b" \t\r\0"):
            several = list(_scanned(line.decode(errors="replace"))) if line.lstrip().startswith(b"{") else [None]
            records += [record for record in several if record is not None]
            rows += [number for record in several if record is not None]
            broken += [number for record in several if record is None]
    expected = "is not a JSON object; expected one object per line"
    report.add("row left out", name, broken, [""] * len(broken), lambda i: expected, "left_out")
    return _frame(records), np.array(rows, np.int64)


def _document(name: str, text: str, report: DataReport) -> Part:
    """Return the objects of an array, or of the array that an object holds; of a damaged one, the whole ones."""
    document = _parsed(text.encode())
    if isinstance(document, dict):
        document = _array(name, document, report)
    if document is None:
        start = re.search(r"\[\s*\{", text)
        document = list(_scanned(text[start.start() :] if start else text))
    rows = np.array([row for row, each in enumerate(document, 1) if isinstance(each, dict)], np.int64)
    broken = [row for row, each in enumerate(document, 1) if not isinstance(each, dict)]
    report.add("row left out", name, broken, [""] * len(broken), lambda i: "is not a JSON object", "left_out")
    return _frame([each for each in document if isinstance(each, dict)]), rows


def _array(name: str, document: Record, report: DataReport) -> list[Any]:
    """Return the array of records that an object holds, or the object as the only record."""
    arrays = _arrays(document)
    if not arrays:
        return [document]
    path = max(arrays, key=lambda each: len(arrays[each]))
    if len(arrays) > 1:
        others = ", ".join(other for other in arrays if other != path)
        remark = f"holds several arrays; the rows are those of {path!r}, not of {others}"
        report.add("JSON arrays", name, [0], [""], lambda i: remark, "warning")
    return arrays[path]


def _arrays(document: Record) -> dict[str, list[Any]]:
    """Return the arrays of objects that an object holds, such as ``{"data": {"products": [...]}}``, by path."""
    if any(key in document for key in _KEYS):
        return {}
    found: dict[str, list[Any]] = {}
    for key, value in document.items():
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            found[key] = value
        elif isinstance(value, dict):
            found |= {f"{key}.{path}": array for path, array in _arrays(value).items()}
    return found


def _scanned(text: str) -> Iterator[Record | None]:
    """Yield the objects that stand one after another in a text, and None for each that is damaged."""
    keys: set[str] = set()
    position = text.find("{")
    while position >= 0:
        try:
            record, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            if not text[:position].rstrip().endswith(":"):  # else it is a part of the damaged object before
                yield None
            position = text.find("{", position + 1)
            continue
        if not keys or keys & set(record):  # else it is a part of the damaged object before
            keys |= set(record)
            yield record
        position = text.find("{", position)


def _parsed(data: bytes) -> Any:
    """Return a JSON value; None if it is none."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data, strict=False)
        except (ValueError, RecursionError):
            return None


def _frame(records: list[Record]) -> pd.DataFrame:
    """Return records as a frame; whole numbers too large for floats stay exact beside missing ones."""
    frame = pd.DataFrame(records)
    for name in frame.columns:
        cells = frame[name]
        if cells.dtype == "float64" and (cells.abs() >= _EXACT).any():
            frame[name] = pd.Series([record.get(name) for record in records], dtype=object)
    return flat(frame)


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Expand columns of objects to columns ``outer.inner``; a column keeps its cells that are no objects."""
    for name in frame.columns:
        cells = frame[name]
        objects = cells.map(lambda cell: isinstance(cell, dict)) if cells.dtype == object else None
        if objects is None or not objects.any():
            continue
        inner = flat(pd.DataFrame([cell if isinstance(cell, dict) else {} for cell in cells], index=frame.index))
        inner = inner.add_prefix(f"{name}.")
        others = cells.mask(objects, None)
        rest = frame.drop(columns=name) if others.isna().all() else frame.assign(**{name: others})
        frame = rest.join(inner[[each for each in inner if each not in frame]])
    return frame
