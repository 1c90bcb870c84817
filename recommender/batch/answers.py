"""Answers for every product or every user in one file: Parquet, CSV or JSON Lines."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Unpack

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from recommender.errors import RequestError
from recommender.events import Event
from recommender.progress import progress

if TYPE_CHECKING:
    from recommender.ranking.results import RecommendationTable
    from recommender.recommender import Options, Recommender

T = TypeVar("T")


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


class _JsonLines:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = path.open("wb")

    def write_table(self, table: pa.Table) -> None:
        self._file.writelines(orjson.dumps(row) + b"\n" for row in table.to_pylist())

    def close(self) -> None:
        self._file.close()


_WRITERS: dict[str, Any] = {
    ".parquet": pa.parquet.ParquetWriter,
    ".csv": pa.csv.CSVWriter,
    ".jsonl": _JsonLines,
}


def write_similar(
    recommender: "Recommender",
    out: Path,
    k: int = 20,
    *,
    item_ids: Sequence[str] | None = None,
    chunk: int = 1024,
    **options: Unpack["Options"],
) -> int:
    """Write the `k` products most like each product.

    Parameters
    ----------
    recommender
        Answers, `chunk` products at a time.
    out
        Ends in ``.parquet``, ``.csv`` or ``.jsonl``; written beside it and then renamed, so that a reader
        sees the old file or the whole new one. Columns: seed_item_id, rank (from 1), item_id,
        score, strategy.
    item_ids
        The seeds; by default every product, in order of id.
    options
        As in `Recommender.similar`.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    RequestError
        If the extension of `out` is none of the three.
    """
    if item_ids is None:
        item_ids = recommender.ids
    seeds = progress(item_ids, "similar items", unit="item")
    return _write(out, "seed_item_id", for_products(recommender, seeds, k, chunk, options))


def write_users(
    recommender: "Recommender",
    histories: Mapping[str, Sequence[Event]] | Iterable[tuple[str, Sequence[Event]]],
    out: Path,
    k: int = 20,
    *,
    chunk: int = 1024,
    **options: Unpack["Options"],
) -> int:
    """Write `k` recommendations for each user, as `write_similar` does for products; first column: user_id.

    Parameters
    ----------
    histories
        The events of each user, see `by_user`; or pairs of a user and the events, see `read_histories`.
    """
    pairs = histories.items() if isinstance(histories, Mapping) else histories
    return _write(out, "user_id", for_users(recommender, progress(pairs, "users", unit="user"), k, chunk, options))


def for_products(
    recommender: "Recommender", item_ids: Iterable[str], k: int, chunk: int, options: "Options"
) -> Iterator[pa.Table]:
    """Yield the answers for some products, `chunk` of them in each table."""
    for seeds in chunks(item_ids, chunk):
        yield _table("seed_item_id", seeds, recommender.similar_many(seeds, k, **options))


def for_users(
    recommender: "Recommender",
    histories: Iterable[tuple[str, Sequence[Event]]],
    k: int,
    chunk: int,
    options: "Options",
) -> Iterator[pa.Table]:
    """Yield the answers for some users, `chunk` of them in each table."""
    for some in chunks(histories, chunk):
        answers = recommender.recommend_many([history for _, history in some], k, **options)
        yield _table("user_id", [user for user, _ in some], answers)


def schema(seed_name: str) -> pa.Schema:
    """Return the columns of the answers."""
    return pa.schema(
        [
            (seed_name, pa.string()),
            ("rank", pa.int32()),
            ("item_id", pa.string()),
            ("score", pa.float64()),
            ("strategy", pa.string()),
        ]
    )


def _write(out: Path, seed_name: str, answers: Iterable[pa.Table]) -> int:
    if out.suffix not in _WRITERS:
        raise RequestError(
            f"cannot write {out.name!r}; expected a folder, or a name ending in {', '.join(_WRITERS)}", "/out"
        )
    rows = 0
    with _replacing(out) as temporary:
        writer: _Writer = _WRITERS[out.suffix](temporary, schema(seed_name))
        try:
            for table in answers:
                writer.write_table(table)
                rows += len(table)
        finally:
            writer.close()
    return rows


def _table(seed_name: str, seeds: list[str], answer: "RecommendationTable") -> pa.Table:
    return pa.table(_columns(seeds, answer), schema=schema(seed_name))


def _columns(seeds: list[str], answer: "RecommendationTable") -> list[pa.Array]:
    """Unroll (b, k) answers into rows, leaving out the padding."""
    b, k = answer.rows.shape
    filled = (answer.rows >= 0).ravel()
    return [
        pa.array(np.repeat(np.array(seeds, dtype=object), k)[filled], pa.string()),
        pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), b)[filled]),
        pa.array(np.asarray(answer.item_ids, dtype=object).ravel()[filled], pa.string()),
        pa.array(answer.scores.ravel()[filled]),
        pa.array(np.repeat(np.array(answer.strategies, dtype=object), k)[filled], pa.string()),
    ]


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Give a temporary path that becomes `out` at the end, or nothing if the block fails."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield `items` in lists of `size`, the last one shorter."""
    items = iter(items)
    while some := list(islice(items, size)):
        yield some
