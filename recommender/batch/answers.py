"""Recommendations for every product or every user in one file: Parquet, CSV or JSON Lines."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from recommender.errors import RequestError
from recommender.events import Event
from recommender.progress import progress
from recommender.ranking.results import item_dict

if TYPE_CHECKING:
    from recommender.ranking.request import Request
    from recommender.ranking.results import RecommendationTable
    from recommender.recommender import Recommender

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


# Members of `Request` that a batch sets itself for each product or user.
SEEDS = (
    "items",
    "item_weights",
    "negative_items",
    "history",
    "history_weights",
    "session",
    "text",
    "image",
    "now",
)


def write_similar(
    recommender: "Recommender",
    out: Path,
    k: int = 20,
    *,
    item_ids: Sequence[str] | None = None,
    chunk: int = 1024,
    **options: Any,
) -> int:
    """Write the `k` products most similar to each product.

    Parameters
    ----------
    recommender
        Answers, `chunk` products at a time.
    out
        Ends in ``.parquet``, ``.csv`` or ``.jsonl``; written to a temporary file and then renamed, so that a
        reader sees the old file or the whole new one. Columns: seed_item_id, rank (from 1), item_id, score,
        strategy; with ``explain=True`` also reason, reasons and parts (the latter two as JSON).
    k
        Products for each.
    item_ids
        The seeds; by default every product, in order of id.
    chunk
        Products in one matrix product.
    options
        Members of `Request`: filter, weights, explain, diversity, boost, pin, variants, stock and so on.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    RequestError
        If the extension of `out` is none of the three, or an option cannot be used in a batch.
    TypeError
        If an option is unknown.
    """
    request = batch_request("similar", k, options)
    seeds = progress(recommender.ids if item_ids is None else item_ids, "similar items", unit="item")
    tables = for_products(recommender, seeds, request, chunk)
    return _write(out, schema("seed_item_id", request.explain), tables)


def write_users(
    recommender: "Recommender",
    histories: Mapping[str, Sequence[Event]] | Iterable[tuple[str, Sequence[Event]]],
    out: Path,
    k: int = 20,
    *,
    chunk: int = 1024,
    **options: Any,
) -> int:
    """Write `k` recommendations for each user, as `write_similar` does for products; first column: user_id.

    Parameters
    ----------
    histories
        The events of each user, see `by_user`; or pairs of a user and the events, see `read_histories`.
    options
        Members of `Request`; with `strategy` another than for_you.
    """
    request = batch_request("for_you", k, options)
    pairs = progress(histories.items() if isinstance(histories, Mapping) else histories, "users", unit="user")
    return _write(out, schema("user_id", request.explain), for_users(recommender, pairs, request, chunk))


def batch_request(strategy: str, k: int, options: Mapping[str, Any]) -> "Request":
    """Return the request that is made for every product or user, without its seeds.

    Raises
    ------
    RequestError
        If an option names seeds, or a value cannot be used.
    """
    from recommender.ranking.request import Request

    given = {name: value for name, value in options.items() if value is not None}
    for name in SEEDS:
        if name in given:
            raise RequestError(
                f"{name} cannot be used in a batch, which sets it for each product or user", f"/{name}"
            )
    members: dict[str, Any] = {"strategy": strategy, "k": k}
    request = Request(**members | given)
    of_products = request.strategy in ("similar", "visually_similar")
    if request.strategy == "search" or of_products != (strategy == "similar"):
        kind = "products" if strategy == "similar" else "users"
        raise RequestError(f"the strategy {request.strategy} cannot be used in a batch for {kind}", "/strategy")
    return request


def for_products(
    recommender: "Recommender", item_ids: Iterable[str], request: "Request", chunk: int
) -> Iterator[pa.Table]:
    """Yield the results for some products, `chunk` of them in each table."""
    for seeds in chunks(item_ids, chunk):
        results = recommender.run_many([request.for_item(item_id) for item_id in seeds])
        yield _table("seed_item_id", seeds, results, request.explain)


def for_users(
    recommender: "Recommender",
    histories: Iterable[tuple[str, Sequence[Event]]],
    request: "Request",
    chunk: int,
    attributes: Callable[[str], Mapping[str, Any] | None] = lambda user_id: None,
) -> Iterator[pa.Table]:
    """Yield the results for some users, `chunk` of them in each table; `attributes` returns those of a user."""
    for some in chunks(histories, chunk):
        requests = [request.for_history(history, attributes(user)) for user, history in some]
        yield _table("user_id", [user for user, _ in some], recommender.run_many(requests), request.explain)


def schema(seed_name: str, explain: bool = False) -> pa.Schema:
    """Return the columns of the output."""
    columns = [
        (seed_name, pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float64()),
        ("strategy", pa.string()),
    ]
    explanation = [("reason", pa.string()), ("reasons", pa.string()), ("parts", pa.string())]
    return pa.schema(columns + explanation if explain else columns)


def _write(out: Path, columns: pa.Schema, tables: Iterable[pa.Table]) -> int:
    if out.suffix not in _WRITERS:
        raise RequestError(
            f"cannot write {out.name!r}; expected a folder, or a name ending in {', '.join(_WRITERS)}", "/out"
        )
    rows = 0
    with _replacing(out) as temporary:
        writer: _Writer = _WRITERS[out.suffix](temporary, columns)
        try:
            for table in tables:
                writer.write_table(table)
                rows += len(table)
        finally:
            writer.close()
    return rows


def _table(seed_name: str, seeds: list[str], results: "RecommendationTable", explain: bool) -> pa.Table:
    columns = _columns(seeds, results) + (_explanation_columns(results) if explain else [])
    return pa.table(columns, schema=schema(seed_name, explain))


def _columns(seeds: list[str], results: "RecommendationTable") -> list[pa.Array]:
    """Unroll (b, k) results into rows, leaving out the padding."""
    b, k = results.rows.shape
    filled = (results.rows >= 0).ravel()
    return [
        pa.array(np.repeat(np.array(seeds, dtype=object), k)[filled], pa.string()),
        pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), b)[filled]),
        pa.array(np.asarray(results.item_ids, dtype=object).ravel()[filled], pa.string()),
        pa.array(results.scores.ravel()[filled]),
        pa.array(np.repeat(np.array(results.strategies, dtype=object), k)[filled], pa.string()),
    ]


def _explanation_columns(results: "RecommendationTable") -> list[pa.Array]:
    items = [item for line in results.items for item in line or ()]
    explained = [item_dict(item)["explanation"] for item in items]
    return [
        pa.array([each["text"] for each in explained], pa.string()),
        pa.array([orjson.dumps(each["reasons"]).decode() for each in explained], pa.string()),
        pa.array([orjson.dumps(each["parts"]).decode() for each in explained], pa.string()),
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
