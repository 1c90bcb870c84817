"""Read Parquet files."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from recommender.catalog.files.json_files import flat
from recommender.catalog.report import DataReport, Rows
from recommender.errors import DataError

_ROWS = 200_000
_INDEX = "__index_level_"  # pandas' name of an index without one


def parquet_parts(name: str, file: BinaryIO, report: DataReport) -> Iterator[tuple[pd.DataFrame, Rows]]:
    """Yield the rows of a file in parts of some hundred thousand.

    Whole numbers stay whole beside missing ones; bytes are text where they are UTF-8; an index of pandas' is a
    column.

    Raises
    ------
    DataError
        If it is no Parquet file, or a damaged one.
    """
    first = 1
    try:
        for batch in pa.parquet.ParquetFile(file).iter_batches(_ROWS):
            frame = _frame(batch)
            yield frame, np.arange(first, first + len(frame), dtype=np.int64)
            first += len(frame)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{name} is not a Parquet file, or is cut off or damaged: {error}") from error


def _frame(batch: "pa.RecordBatch") -> pd.DataFrame:
    """Return rows as pandas has them, with each name once."""
    counts: Counter[str] = Counter()
    columns: dict[str, pd.Series] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        counts[name] += 1
        if not name.startswith(_INDEX):
            columns[name if counts[name] == 1 else f"{name}.{counts[name]}"] = _cells(column)
    return flat(pd.DataFrame(columns, index=range(batch.num_rows)))


def _cells(column: "pa.Array") -> pd.Series:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        with contextlib.suppress(pa.ArrowInvalid):  # not text
            column = column.cast(pa.string())
    return column.to_pandas(integer_object_nulls=True)
