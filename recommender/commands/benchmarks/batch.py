"""Throughput of batch recommendations, from histories to files, and of ranking alone beside other libraries.

Synthetic histories from a fixed seed. A sample of the users is answered and the figures are scaled to all of them.
Ranking alone is measured over the bundle's own factors, in one run, against numpy (a product in blocks and
argpartition) and, where it is installed, implicit's batch recommend. Compare CPU seconds: implicit ranks in all
cores, while in the others only the products do.
"""

import resource
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

import recommender
from recommender.batch import (
    Job,
    write_partitions,
    write_similar,
)
from recommender.batch.histories import SCHEMA
from recommender.commands.benchmarks.batch_runs import measure_runs
from recommender.commands.benchmarks.own_searches import EMPTY
from recommender.commands.benchmarks.synthetic import segment_of
from recommender.commands.benchmarks.timing import timed_cpu
from recommender.core.blocks import Double, Float, Rows
from recommender.core.scoring import Query, Scorer
from recommender.progress import notice, progress
from recommender.recommender import Recommender
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Planner, RowQuery

BLOCK = 256  # users of one numpy product
ROUNDS = 3  # the libraries take turns, and the median of each counts
EVENTS = 10  # of a user, on average
# The cluster of the estimate: AWS c7i.8xlarge, 32 vCPU (16 cores), at a price per hour that is assumed here.
MACHINE, CORES, PRICE, MACHINES = "c7i.8xlarge", 16, 1.428, 50
MANY_USERS, MANY_PRODUCTS = 100_000_000, 10_000_000


def measure_batch(bundles: Path, users: int, sample: int, k: int, runs: int | None = None) -> dict[str, Any]:
    """Return users per second, CPU seconds for `users`, the peak memory, and an estimate for a large shop.

    Parameters
    ----------
    users
        The figures of `sample` users are scaled to so many.
    runs
        Users of the two runs of those who changed; by default `sample`.
    """
    rec = recommender.load(bundles)
    sample = min(sample, users)
    runs = runs or sample
    wall, cpu = write_files(rec, bundles, sample, k)
    products = min(sample, rec.n)
    figures = {
        "products": rec.n,
        "dim": rec.layout.d,
        "users": users,
        "sample": sample,
        "history to file": scaled(wall, cpu, sample, users) | {"users per CPU s": sample / cpu},
        "similar, by matrix products": {"products per CPU s": products / similar_files(rec, products, k)},
        "runs for users who changed": measure_runs(rec, bundles, lambda: synthetic_events(rec.ids, runs), runs, k),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ranking alone": ranking(rec, sample, k, users),
    }
    return figures | {"estimate": estimate(figures, rec.n)}


def write_files(rec: Recommender, bundles: Path, users: int, k: int) -> tuple[float, float]:
    """Answer synthetic users from a stream of events to partitions; return wall and CPU seconds."""
    with TemporaryDirectory() as folder:
        job = Job(str(bundles), rec.generation, "user", f"{folder}/recs", k)
        _ = job.recommender.recommend_many([rec.ids[:2]], k)  # opened, compiled
        return timed_cpu(lambda: write_partitions(job, synthetic_events(rec.ids, users)))[1:]


def similar_files(rec: Recommender, products: int, k: int) -> float:
    """Return the CPU seconds of writing the similar items of some products."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "similar.parquet"
        return timed_cpu(lambda: write_similar(rec, out, k, item_ids=rec.ids[:products]))[2]


def synthetic_events(ids: list[str], users: int) -> Iterator[pa.Table]:
    """Yield events of users in tables; some products are far more popular than others."""
    generator, start = np.random.default_rng(0), datetime(2025, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    item_ids = np.array(ids, dtype=object)
    for first in range(0, users, 50_000):
        some = np.repeat(np.arange(first, min(first + 50_000, users)), EVENTS)
        rows = (len(ids) * generator.random(len(some)) ** 2).astype(int)
        times = [start + timedelta(minutes=int(minute)) for minute in generator.integers(0, 500_000, len(some))]
        kinds = generator.choice(["view_item", "add_to_cart", "purchase"], len(some), p=[0.8, 0.15, 0.05])
        columns = [[f"u{user:08}" for user in some], item_ids[rows], kinds, times, [None] * len(some)]
        yield pa.table(dict(zip(SCHEMA.names, columns, strict=True)), SCHEMA)


def ranking(rec: Recommender, users: int, k: int, total: int) -> dict[str, Any]:
    """Rank all products for the same synthetic queries by each library, on the same factors."""
    items = np.ascontiguousarray(rec.segment.vectors)
    queries = np.random.default_rng(1).normal(size=(users, items.shape[1])).astype(np.float32)
    rankers: dict[str, Callable[[], Any]] = {
        "ours": ours(items, queries, k),
        "numpy": lambda: in_blocks(items, queries, k),
    }
    if (other := implicit(items, queries, k)) is not None:
        rankers["implicit"] = other
    lists: dict[str, Any] = {}
    seconds: dict[str, list[list[float]]] = {name: [] for name in rankers}
    for _ in progress(range(ROUNDS), "ranking alone", ROUNDS, "round"):
        for name, rank in rankers.items():
            lists[name], *spent = timed_cpu(rank)
            seconds[name].append(spent)
    wall, cpu = (
        dict(zip(rankers, np.median([*seconds.values()], axis=1)[:, which], strict=True)) for which in (0, 1)
    )
    return {
        name: {
            **scaled(wall[name], cpu[name], users, total),
            "CPU, ours being 1": cpu[name] / cpu["ours"],
            "lists equal to ours": equal(items, queries, rows, lists["ours"]),
        }
        for name, rows in lists.items()
    }


def equal(items: Float, queries: Float, rows: Rows, others: Rows) -> float:
    """Return the share of lists with the same exact scores, within float32's precision."""
    same = [
        np.allclose(_scores(items, query, line), _scores(items, query, other), rtol=1e-5)
        for query, line, other in zip(queries, rows, others, strict=True)
    ]
    return float(np.mean(same))


def _scores(items: Float, query: Float, rows: Rows) -> Double:
    return np.sort(items[rows].astype(float) @ query)


def ours(items: Float, queries: Float, k: int) -> Callable[[], Rows]:
    """Return this library's exact ranking of all queries."""
    segment = segment_of(items)
    scorer = Scorer(items, segment.prior, segment.layout, {"image": 1.0})
    eligibility = Eligibility(segment, collapse=False)
    requests = [RowQuery(Query.free(query), k, EMPTY) for query in queries]
    list(Planner(segment).search_many(scorer, requests[:1], eligibility, "exact"))  # compiled

    def rank() -> Rows:
        results = Planner(segment).search_many(scorer, requests, eligibility, "exact")
        return np.array([result.selection.rows for result in results])

    return rank


def in_blocks(items: Float, queries: Float, k: int) -> Rows:
    """Rank by a product of numpy in blocks, and argpartition."""
    lists = []
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ items.T
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        lists.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(lists)


def implicit(items: Float, queries: Float, k: int) -> Callable[[], Rows] | None:
    """Return implicit's batch recommend over the same factors; None where it is not installed."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError as error:
        notice(f"implicit is left out: {error} (pip install 'hybrid-recommender[benchmark]')")
        return None
    model = AlternatingLeastSquares(factors=items.shape[1])
    model.item_factors, model.user_factors = items, queries
    users = np.arange(len(queries))
    return lambda: model.recommend(users, None, N=k, filter_already_liked_items=False)[0]


def scaled(wall: float, cpu: float, sample: int, users: int) -> dict[str, float]:
    """Return users per second, and CPU seconds scaled to all users."""
    return {"users/s": sample / wall, f"CPU s for {users:,} users": cpu / sample * users}


def estimate(figures: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Estimate 100M users x 10M products: ranking grows with the products, the rest does not."""
    users, key = figures["users"], f"CPU s for {figures['users']:,} users"
    rank = figures["ranking alone"]["ours"][key] / users
    rest = max(figures["history to file"][key] / users - rank, 0.0)
    hours = MANY_USERS * (rest + rank * MANY_PRODUCTS / n) / 3600
    return {
        "cluster": f"{MACHINES} x {MACHINE}, {CORES} cores each, ${PRICE} an hour each",
        "assumes": "a core there is as fast as one here; all products are scanned; all cores are busy",
        "core hours": hours,
        "hours": hours / (MACHINES * CORES),
        "dollars": hours / CORES * PRICE,
    }
