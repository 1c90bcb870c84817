"""Read CSV, Parquet, JSON Lines and XML to frames that know the row numbers of the file."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from recommender.catalog.files.xml_items import xml_items
from recommender.catalog.report import DataReport, Rows
from recommender.errors import DataError, nearest

_SEPARATORS = ",;\t|"
_MAX_COLUMNS_SHOWN = 30
HEADER_BYTES = 2**20


@dataclass(frozen=True)
class Table:
    """The rows of a file.

    Attributes
    ----------
    name
        Of the file, for messages.
    frame
        Cells as typed by the file's format: strings from CSV. Nested objects are columns ``outer.inner``.
    rows
        Row numbers of the file, from 1; the header of a CSV file is row 1.
    remedy
        What to do about a missing column, for messages.
    """

    name: str
    frame: pd.DataFrame
    rows: Rows
    remedy: str = "name it in the config"

    def where(self, mask: "np.ndarray | pd.Series[bool]") -> "Table":
        """Return the rows of a mask."""
        mask = np.asarray(mask)
        return replace(self, frame=self.frame[mask].reset_index(drop=True), rows=self.rows[mask])

    def with_frame(self, frame: pd.DataFrame) -> "Table":
        """Return other cells of the same rows."""
        return replace(self, frame=frame)

    def require(self, column: str, what: str) -> None:
        """Raise, with the nearest name, if a column does not exist.

        Raises
        ------
        DataError
            If it does not exist.
        """
        if column not in self.frame:
            columns = list(map(str, self.frame.columns))
            guess = nearest(column, columns) if len(column) > 2 else None
            hint = f"; did you mean {guess!r}?" if guess else f"; {self.remedy}."
            more = ", ..." if len(columns) > _MAX_COLUMNS_SHOWN else ""
            listed = ", ".join(columns[:_MAX_COLUMNS_SHOWN]) + more
            raise DataError(f"{self.name} has no column {column!r} ({what}){hint} Its columns are {listed}")


def read_table(path: Path, report: DataReport) -> Table:
    """Read a file by its extension; invalid rows are left out and reported.

    Raises
    ------
    DataError
        If it does not exist, is empty, or is of another format or encoding.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name} is of no known format; expected one of {', '.join(_READERS)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not data.strip():
        raise DataError(f"{path.name} is empty; expected a header and rows")
    table = reader(path.name, data, report)
    if not len(table.frame):
        raise DataError(f"{path.name} has no rows")
    return table


def frame_table(frame: pd.DataFrame, name: str, ids: Iterable[str], example: str) -> Table:
    """Take a frame from memory; its rows are numbered from 1, and named index levels are columns.

    Parameters
    ----------
    name
        For messages.
    ids
        Columns of ids. Floats are refused: pandas makes them of digits beside a missing cell, and loses leading
        zeros and long ids.
    example
        Example of a keyword argument that names a column, for messages.

    Raises
    ------
    DataError
        If it is not a frame, has no rows, a repeated column, or ids that are floats.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"the {name} is a {type(frame).__name__}; expected a pandas DataFrame or a path")
    levels = [level for level in frame.index.names if level is not None and level not in frame]
    flat = frame.reset_index(level=levels).rename(columns=str).reset_index(drop=True)
    _check_names(name, flat.columns)
    if not len(flat):
        raise DataError(f"the {name} has no rows; expected at least one")
    for column in ids:
        _refuse_floats(name, column, flat)
    remedy = f"rename a column, or pass its name, such as {example}"
    return Table(name, flat, np.arange(1, len(flat) + 1, dtype=np.int64), remedy)


def _refuse_floats(name: str, column: str, frame: pd.DataFrame) -> None:
    floats = (cell for cell in frame.get(column, ()) if isinstance(cell, float | np.floating) and cell == cell)
    first = next(floats, None)
    if first is not None:
        raise DataError(
            f"the {name} has floats in the column {column!r}, such as {float(first)!r}; expected strings or whole "
            f"numbers. Read ids with dtype=str, such as pd.read_csv(path, dtype={{{column!r}: str}})"
        )


def _read_csv(name: str, data: bytes, report: DataReport) -> Table:
    data = data.removeprefix(b"\xef\xbb\xbf")
    _check_utf8(name, data)
    left_out: list[pa.csv.InvalidRow] = []
    read, parse, convert = csv_options(*header(name, data), left_out)
    try:
        cells = pa.csv.read_csv(pa.BufferReader(data), read, parse, convert)
    except pa.ArrowInvalid as error:
        raise DataError(f"{name} is not a CSV file: {error}") from error
    report_left_out(name, left_out, report)
    numbers = np.arange(2, 2 + len(cells) + len(left_out), dtype=np.int64)
    table = Table(name, cells.to_pandas(), np.setdiff1d(numbers, [row.number for row in left_out]))
    return table.where((table.frame != "").any(axis=1))


def csv_options(
    columns: list[str], separator: str, left_out: "list[pa.csv.InvalidRow]"
) -> "tuple[pa.csv.ReadOptions, pa.csv.ParseOptions, pa.csv.ConvertOptions]":
    """Return options that read every CSV cell as a string; rows of another length go to `left_out`."""

    def leave_out(row: pa.csv.InvalidRow) -> str:
        left_out.append(row)
        return "skip"

    return (
        pa.csv.ReadOptions(use_threads=False),  # only then rows are numbered
        pa.csv.ParseOptions(
            delimiter=separator,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=leave_out,
        ),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False),
    )


def report_left_out(name: str, left_out: "list[pa.csv.InvalidRow]", report: DataReport) -> None:
    """Report the rows of a CSV file that have too many or too few cells."""
    report.add(
        "row left out",
        name,
        [row.number for row in left_out],
        [""] * len(left_out),
        lambda i: f"has {left_out[i].actual_columns} cells; expected {left_out[i].expected_columns}; left out",
    )


def _check_utf8(name: str, data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"byte 0x{data[error.start]:02x}"
        raise DataError(
            f"{name} line {line}: found {found}; expected UTF-8. Save it as UTF-8, "
            "for instance with `iconv -f WINDOWS-1252 -t UTF-8`"
        ) from None


def header(name: str, data: bytes) -> tuple[list[str], str]:
    """Return the columns of a CSV file and its separator, the one that is most frequent in the header."""
    head = data[:HEADER_BYTES].decode(errors="ignore")
    separator = max(_SEPARATORS, key=re.split(r"[\r\n]", head, maxsplit=1)[0].count)
    try:
        columns = next(csv.reader(io.StringIO(head, newline=""), delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"{name} is not a CSV file: {error}") from error
    _check_names(name, columns)
    return columns, separator


def _check_names(name: str, columns: Iterable[str]) -> None:
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DataError(f"{name} has the column {repeated[0]!r} twice; rename one")


def _read_parquet(name: str, data: bytes, report: DataReport) -> Table:
    try:
        frame = pa.parquet.read_table(pa.BufferReader(data)).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name} is not a Parquet file: {error}") from error
    return Table(name, flat(frame), np.arange(1, len(frame) + 1))


def _read_json_lines(name: str, data: bytes, report: DataReport) -> Table:
    _check_utf8(name, data)
    return json_lines(name, data.splitlines(), report)


def json_lines(name: str, lines: Iterable[bytes], report: DataReport, first: int = 1) -> Table:
    """Read lines of JSON, numbered from `first`; lines that are not objects are reported."""
    records: list[dict[str, Any]] = []
    rows: list[int] = []
    broken: list[int] = []
    for number, line in enumerate(lines, first):
        record = _json_object(line)
        if record is not None:
            records.append(record)
            rows.append(number)
        elif line.strip():
            broken.append(number)
    expected = "is not a JSON object; expected one object per line; left out"
    report.add("row left out", name, broken, [""] * len(broken), lambda i: expected)
    return Table(name, flat(pd.DataFrame(records)), np.array(rows, np.int64))


def _read_xml(name: str, data: bytes, report: DataReport) -> Table:
    frame = pd.DataFrame(xml_items(name, data))
    texts = [column for column in frame if not frame[column].map(lambda cell: isinstance(cell, list)).any()]
    return Table(name, frame.fillna(dict.fromkeys(texts, "")), np.arange(1, len(frame) + 1))


def _json_object(line: bytes | str) -> dict[str, Any] | None:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Expand columns of objects to columns ``outer.inner``."""
    for name in frame.columns:
        cells = frame[name]
        if cells.dtype == object and cells.map(lambda cell: isinstance(cell, dict)).any():
            objects = [cell if isinstance(cell, dict) else {} for cell in cells]
            inner = flat(pd.DataFrame(objects, index=frame.index))
            frame = frame.drop(columns=name).join(inner.add_prefix(f"{name}."))
    return frame


_READERS: dict[str, Callable[[str, bytes, DataReport], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".xml": _read_xml,
}


def unpacked(table: Table) -> Table:
    """Expand columns of JSON objects in strings, as exports have them in CSV, to columns ``outer.inner``."""
    frame = table.frame
    for name in frame.columns:
        cells = frame[name]
        filled = cells[cells != ""] if isinstance(cells.dtype, pd.StringDtype) else cells[:0]
        if len(filled) and filled.str.startswith("{").all():
            objects = filled.map(_json_object)
            if objects.notna().all():
                frame = frame.assign(**{name: objects.astype(object).reindex(frame.index)})
    return table if frame is table.frame else replace(table, frame=flat(frame))
