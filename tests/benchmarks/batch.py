"""What it takes to answer every user: the whole way from histories to files, and the ranking alone beside others.

    batch.py BUNDLES [--users 1000000] [--sample 4096] [--k 20] [--json]

Histories are made up from a fixed seed. A sample of the users is answered and the figures are scaled to all of
them. The ranking alone is measured over the bundle's own factors, in one run, against a plain numpy product in
blocks with argpartition and, where it is installed (pip install implicit), implicit's batch recommend. Compare
seconds of the processor: implicit ranks in all cores, and of the others the products alone do.
"""

import json
import resource
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from vectors import segment_of

import recommender
from recommender.batch import Job, write_partitions
from recommender.batch.histories import SCHEMA
from recommender.core.scoring import Query, Scorer
from recommender.recommender import Recommender
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Planner, RowQuery

BLOCK = 256  # users of one numpy product
ROUNDS = 3  # the ways take turns, and the median of each counts
EVENTS = 10  # a user has so many on average
NONE = np.empty(0, dtype=np.int32)
# The cluster of the estimate: AWS c7i.8xlarge, 32 vCPU (16 cores), at a price per hour that is assumed here.
MACHINE, CORES, PRICE, MACHINES = "c7i.8xlarge", 16, 1.428, 50
MANY_USERS, MANY_PRODUCTS = 100_000_000, 10_000_000


def main(
    bundles: Annotated[Path, typer.Argument(help="Folder of published generations.")],
    users: Annotated[int, typer.Option(help="For whom the figures are.")] = 1_000_000,
    sample: Annotated[int, typer.Option(help="Users that are really answered.")] = 4096,
    k: Annotated[int, typer.Option("-k")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print users per second, seconds of the processor for a million users, and the peak memory."""
    rec = recommender.load(bundles)
    sample = min(sample, users)
    whole = to_files(rec, bundles, sample, k)
    figures = {
        "products": rec.n,
        "dim": rec.layout.d,
        "users": users,
        "sample": sample,
        "history to file": scaled(*whole, sample, users),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ranking alone": ranking(rec, sample, k, users),
    }
    figures["estimate"] = estimate(figures, rec.n)
    print(json.dumps(figures, indent=None if as_json else 2))


def to_files(rec: Recommender, bundles: Path, users: int, k: int) -> tuple[float, float]:
    """Answer made-up users from a stream of events to partitions; seconds, and those of the processor."""
    with TemporaryDirectory() as folder:
        job = Job(str(bundles), rec.generation, "user", f"{folder}/recs", k)
        _ = job.recommender.recommend_many([rec.ids[:2]], k)  # opened, compiled
        return timed(lambda: write_partitions(job, made_up(rec.ids, users)))[1:]


def made_up(ids: list[str], users: int) -> Any:
    """Yield events of users who come back to some products more often than to others."""
    generator, start = np.random.default_rng(0), datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    names = np.array(ids, dtype=object)
    for first in range(0, users, 50_000):
        some = np.repeat(np.arange(first, min(first + 50_000, users)), EVENTS)
        rows = (len(ids) * generator.random(len(some)) ** 2).astype(int)
        times = [start + timedelta(minutes=int(minute)) for minute in generator.integers(0, 500_000, len(some))]
        kinds = generator.choice(["view_item", "add_to_cart", "purchase"], len(some), p=[0.8, 0.15, 0.05])
        columns = [[f"u{user:08}" for user in some], names[rows], kinds, times, [None] * len(some)]
        yield pa.table(dict(zip(SCHEMA.names, columns, strict=True)), SCHEMA)


def ranking(rec: Recommender, users: int, k: int, of: int) -> dict[str, Any]:
    """Rank all products for as many made-up queries by each way, on the same factors."""
    items = np.ascontiguousarray(rec.segment.vectors)
    queries = np.random.default_rng(1).normal(size=(users, items.shape[1])).astype(np.float32)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "ours": ours(items, queries, k),
        "numpy": lambda: blocked(items, queries, k),
    }
    if (implicit := of_implicit(items, queries, k)) is not None:
        ways["implicit"] = implicit
    lists, seconds = {}, {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            lists[name], *spent = timed(way)
            seconds[name].append(spent)
    walls, owns = (
        dict(zip(ways, np.median([*seconds.values()], axis=1)[:, which], strict=True)) for which in (0, 1)
    )
    return {
        name: {
            **scaled(walls[name], owns[name], users, of),
            "CPU, ours being 1": owns[name] / owns["ours"],
            "lists equal to ours": equal(items, queries, rows, lists["ours"]),
        }
        for name, rows in lists.items()
    }


def equal(items: np.ndarray, queries: np.ndarray, rows: np.ndarray, others: np.ndarray) -> float:
    """Return the share of lists whose exact scores are the others', but for what float32 cannot tell apart."""
    same = [
        np.allclose(*(np.sort(items[line].astype(float) @ query) for line in lines), rtol=1e-5)
        for query, *lines in zip(queries, rows, others, strict=True)
    ]
    return float(np.mean(same))


def ours(items: np.ndarray, queries: np.ndarray, k: int) -> Callable[[], np.ndarray]:
    segment = segment_of(items)
    scorer, rules = (
        Scorer(items, segment.prior, segment.layout, {"image": 1.0}),
        Eligibility(segment, collapse=False),
    )
    asked = [RowQuery(Query.free(query), k, NONE) for query in queries]
    list(Planner(segment).search_many(scorer, asked[:1], rules, "exact"))  # compiled

    def rank() -> np.ndarray:
        return np.array(
            [found.selection.rows for found in Planner(segment).search_many(scorer, asked, rules, "exact")]
        )

    return rank


def blocked(items: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    lists = []
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ items.T
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        lists.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(lists)


def of_implicit(items: np.ndarray, queries: np.ndarray, k: int) -> Callable[[], np.ndarray] | None:
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ModuleNotFoundError:
        return None
    model = AlternatingLeastSquares(factors=items.shape[1])
    model.item_factors, model.user_factors = items, queries
    who = np.arange(len(queries))
    return lambda: model.recommend(who, None, N=k, filter_already_liked_items=False)[0]


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, own = perf_counter(), process_time()
    done = work()
    return done, perf_counter() - wall, process_time() - own


def scaled(wall: float, own: float, sample: int, users: int) -> dict[str, float]:
    return {"users/s": sample / wall, f"CPU s for {users:,} users": own / sample * users}


def estimate(figures: dict[str, Any], n: int) -> dict[str, Any]:
    """Work out 100M users x 10M products: ranking grows with the products, the rest does not."""
    users, key = figures["users"], f"CPU s for {figures['users']:,} users"
    rank = figures["ranking alone"]["ours"][key] / users
    rest = max(figures["history to file"][key] / users - rank, 0.0)
    hours = MANY_USERS * (rest + rank * MANY_PRODUCTS / n) / 3600
    return {
        "cluster": f"{MACHINES} x {MACHINE}, {CORES} cores each, ${PRICE} an hour each",
        "assumes": "a core there is as fast as one here; products are all scanned; all cores are busy",
        "core hours": hours,
        "hours": hours / (MACHINES * CORES),
        "dollars": hours / CORES * PRICE,
    }


if __name__ == "__main__":
    typer.run(main)
