"""Read tables that are larger than memory, in parts."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from recommender.catalog.files.tables import (
    HEADER_BYTES,
    Table,
    csv_options,
    flat,
    header,
    json_lines,
    read_table,
    report_left_out,
)
from recommender.catalog.report import DataReport
from recommender.errors import DataError

LARGE = 2**26  # bytes; smaller files are read at once
_ROWS = 200_000
_BLOCK = 2**24


def read_parts(path: Path, report: DataReport, large: int = LARGE) -> Iterator[Table]:
    """Yield a file's rows in parts of some hundred thousand; a file of fewer than `large` bytes is one part.

    Raises
    ------
    DataError
        If it cannot be read, see `recommender.catalog.files.tables.read_table`.
    """
    stream = _STREAMS.get(path.suffix.lower())
    if stream is None or not path.is_file() or path.stat().st_size < large:
        yield read_table(path, report)
        return
    try:
        yield from stream(path, report)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read as {path.suffix[1:]} in UTF-8: {error}") from error


def _parquet(path: Path, report: DataReport) -> Iterator[Table]:
    first = 1
    for batch in pa.parquet.ParquetFile(path).iter_batches(_ROWS):
        yield Table(path.name, flat(batch.to_pandas()), np.arange(first, first + len(batch)))
        first += len(batch)


def _json_lines(path: Path, report: DataReport) -> Iterator[Table]:
    first = 1
    with path.open("rb") as file:
        while lines := list(islice(file, _ROWS)):
            yield json_lines(path.name, lines, report, first)
            first += len(lines)


def _csv(path: Path, report: DataReport) -> Iterator[Table]:
    with path.open("rb") as file:
        columns, separator = header(path.name, file.read(HEADER_BYTES).removeprefix(b"\xef\xbb\xbf"))
    left_out: list[pa.csv.InvalidRow] = []
    read, parse, convert = csv_options(columns, separator, left_out)
    read.block_size = _BLOCK
    first = 2
    for batch in pa.csv.open_csv(path, read, parse, convert):
        invalid = [row.number for row in left_out]
        numbers = np.arange(first, first + len(batch) + len(invalid), dtype=np.int64)
        rows = np.setdiff1d(numbers, invalid)[: len(batch)]
        first = int(rows[-1]) + 1 if len(rows) else first
        frame = batch.to_pandas()
        yield Table(path.name, frame, rows).where((frame != "").any(axis=1))
    report_left_out(path.name, left_out, report)


_STREAMS: dict[str, Callable[[Path, DataReport], Iterator[Table]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
