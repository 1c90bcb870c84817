"""Read files of any format to tables that know the row numbers of the file."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pandas as pd

from recommender.catalog.files.delimited import delimited_parts
from recommender.catalog.files.json_files import flat, json_parts
from recommender.catalog.files.parquet_files import parquet_parts
from recommender.catalog.files.sources import Kind, opened, parts_of
from recommender.catalog.files.xml_items import xml_parts
from recommender.catalog.headings import likely
from recommender.catalog.report import DataReport, Rows
from recommender.errors import DataError, nearest

_MAX_COLUMNS_SHOWN = 30
_EXACT = 2.0**53  # whole numbers from here on are not exact as floats
_READERS: dict[Kind, Callable[[str, BinaryIO, DataReport], Iterator[tuple[pd.DataFrame, Rows]]]] = {
    "delimited text": delimited_parts,
    "JSON": json_parts,
    "XML": xml_parts,
    "Parquet": parquet_parts,
}


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
    unsold
        Ids of the file's products that the shop does not sell, such as drafts; they have no row.
    """

    name: str
    frame: pd.DataFrame
    rows: Rows
    remedy: str = "name it in the config, which `recommender init` can write"
    unsold: frozenset[str] = frozenset()

    def where(self, mask: "np.ndarray | pd.Series[bool]") -> "Table":
        """Return the rows of a mask."""
        mask = np.asarray(mask)
        if mask.all():  # no copy
            return replace(self, frame=self.frame.reset_index(drop=True))
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
            guess = likely(column, columns) or (nearest(column, columns) if len(column) > 2 else None)
            hint = f"; did you mean {guess!r}? If so, {self.remedy}." if guess else f"; {self.remedy}."
            more = ", ..." if len(columns) > _MAX_COLUMNS_SHOWN else ""
            listed = ", ".join(columns[:_MAX_COLUMNS_SHOWN]) + more
            raise DataError(f"{self.name} has no column {column!r} ({what}){hint} Its columns are {listed}")


def read_table(path: Path, report: DataReport) -> Table:
    """Read a file, or a folder of parts of one table; what is left out, repaired or guessed is reported.

    The format is that of the first bytes, or else of the extension: delimited text of any separator and encoding,
    JSON, XML or Parquet, each also compressed.

    Raises
    ------
    DataError
        If it does not exist, is empty, or is of another format.
    """
    parts = list(read_parts(path, report))
    frame = pd.concat([part.frame for part in parts], ignore_index=True) if len(parts) > 1 else parts[0].frame
    if len({tuple(part.frame) for part in parts}) > 1:  # parts without a column that others have
        texts = [name for name in frame if isinstance(frame[name].dtype, pd.StringDtype)]
        frame = frame.fillna(dict.fromkeys(texts, ""))
    return Table(path.name, frame, np.concatenate([part.rows for part in parts]))


def read_parts(path: Path, report: DataReport) -> Iterator[Table]:
    """Yield the rows of a file, or of a folder's files, in parts that fit into memory; see `read_table`.

    Raises
    ------
    DataError
        As `read_table`.
    """
    found = False
    for table in _folder(path, report) if path.is_dir() else _file(path, path.name, report):
        if len(table.frame):
            found = True
            yield table
    if not found:
        raise DataError(f"{path.name} has no rows")


def _file(path: Path, name: str, report: DataReport) -> Iterator[Table]:
    with opened(path) as (file, kind):
        for frame, rows in _READERS[kind](name, file, report):
            yield Table(name, frame, rows)


def _folder(folder: Path, report: DataReport) -> Iterator[Table]:
    """Yield the rows of a folder's files, numbered on; the report finds the file of a row."""
    paths = parts_of(folder)
    _check_kinds(folder, paths)
    before = 0
    for path in paths:
        inner = path.relative_to(folder)
        report.add_part(folder.name, f"{folder.name}/{inner}", before)
        # folders such as country=de are a column, as Spark and Hive write them
        keys = dict(part.split("=", 1) for part in inner.parent.parts if "=" in part)
        last = 0
        for table in _file(path, f"{folder.name}/{inner}", report):
            columns = {key: value for key, value in keys.items() if key not in table.frame}
            yield Table(folder.name, table.frame.assign(**columns), table.rows + before)
            last = int(table.rows[-1]) if len(table.rows) else last
        before += last


def _check_kinds(folder: Path, paths: list[Path]) -> None:
    """Raise an error if the files of a folder are not of one format."""
    kinds: dict[Kind, Path] = {}
    for path in paths:
        with opened(path) as (_, kind):
            kinds.setdefault(kind, path)
    if len(kinds) > 1:
        found = " and ".join(f"{kind} ({path.name})" for kind, path in kinds.items())
        raise DataError(f"the folder {folder} holds {found}; expected parts of one table, all of one format")


def frame_table(frame: pd.DataFrame, name: str, ids: Iterable[str], example: str, report: DataReport) -> Table:
    """Take a frame from memory; its rows are numbered from 1, and named index levels are columns.

    Parameters
    ----------
    name
        For messages.
    ids
        Columns of ids. Whole floats become whole numbers, with a warning: pandas makes floats of digits beside a
        missing cell, and loses leading zeros. Other floats, and those too long to be exact, are refused.
    example
        Example of a keyword argument that names a column, for messages.
    report
        Takes the warnings.

    Raises
    ------
    DataError
        If it is not a frame, has no rows, a repeated column, or ids that are floats.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"the {name} is a {type(frame).__name__}; expected a pandas DataFrame or a path")
    levels = [level for level in frame.index.names if level is not None and level not in frame]
    flat = frame.reset_index(level=levels)
    flat = flat.set_axis([_column_name(column) for column in flat.columns], axis=1).reset_index(drop=True)
    repeated = [column for column, count in Counter(flat.columns).items() if count > 1]
    if repeated:
        raise DataError(f"{name} has the column {repeated[0]!r} twice; rename one")
    if not len(flat):
        raise DataError(f"the {name} has no rows; expected at least one")
    for column in ids:
        flat = _with_whole_ids(name, column, flat, report)
    remedy = f"rename a column, or pass its name, such as {example}"
    return Table(name, flat, np.arange(1, len(flat) + 1, dtype=np.int64), remedy)


def _column_name(column: Any) -> str:
    """Return the name of a column; levels of a MultiIndex are ``outer.inner``."""
    return ".".join(filter(None, map(str, column))) if isinstance(column, tuple) else str(column)


def _with_whole_ids(name: str, column: str, frame: pd.DataFrame, report: DataReport) -> pd.DataFrame:
    """Return the frame with ids such as 104.0 as 104; refuse other floats."""
    cells = frame[column] if column in frame else pd.Series(dtype="str")
    if cells.dtype != object and not pd.api.types.is_float_dtype(cells):
        return frame
    floats = [float(cell) for cell in cells if isinstance(cell, float | np.floating) and cell == cell]
    if not floats:
        return frame
    wrong = next((cell for cell in floats if not (cell.is_integer() and abs(cell) < _EXACT)), None)
    if wrong is not None:
        raise DataError(
            f"the {name} has floats in the column {column!r}, such as {wrong!r}; expected strings or whole "
            f"numbers. Read ids with dtype=str, such as pd.read_csv(path, dtype={{{column!r}: str}})"
        )
    remark = (
        f"{len(floats):,} ids in the column {column!r} are floats, such as {floats[0]!r}; read as "
        f"{int(floats[0])}. Leading zeros are lost: read ids with dtype=str"
    )
    report.add("ids as floats", name, [0], [""], lambda i: remark, "warning")
    whole = [int(cell) if isinstance(cell, float | np.floating) and cell == cell else cell for cell in cells]
    return frame.assign(**{column: pd.Series(whole, frame.index, dtype=object)})


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


def _json_object(cell: str) -> dict[str, Any] | None:
    try:
        document = orjson.loads(cell)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
