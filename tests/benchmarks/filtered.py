"""Searches that a filter thins, from the parsed filter to rows, beside the filters of hnswlib and faiss."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rivals import K, faiss, hnswlib
from searches import NOTHING, WEIGHTS
from stopwatch import exact, timed

from recommender.core.scoring import Query, Scorer
from recommender.filters.cache import SubsetCache
from recommender.filters.conditions import Node
from recommender.filters.parse import parse
from recommender.items.attributes import Attributes, write_columns
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Budget, Budgets, Planner, RowQuery
from training.retrieval.index import FILTERED_TARGET, operating_point, questions_of

SHARES = (0.005, 0.05, 0.5)
RIVALS = (("hnswlib", hnswlib), ("faiss HNSW", faiss))
RIVALS_QUERIES = 50


def with_filters(
    search: Planner, scorer: Scorer, built: dict, queries: np.ndarray, clusters: np.ndarray, seed: int
) -> dict[str, dict]:
    """Return recall and p50 for shares of the products kept at random, and as whole categories."""
    chosen = replace(search, budgets=Budgets(filtered=operating(search, seed)))
    with TemporaryDirectory() as folder:
        attributes = columns(Path(folder), clusters, seed)
        return {
            f"{share:.1%} {kind}": with_filter(chosen, scorer, built, queries, attributes, parse(filter))
            for share in SHARES
            for kind, filter in filters(share, clusters)
        }


def operating(search: Planner, seed: int) -> Budget:
    """Return how far a build would let filtered questions look."""
    asked = questions_of(search.segment, {"item": WEIGHTS, "user": WEIGHTS}, [], seed)["filtered"]
    return operating_point(search, asked, FILTERED_TARGET)[0]


def columns(folder: Path, clusters: np.ndarray, seed: int) -> Attributes:
    """Products with a price of 0 to 1 that says nothing, and a category that says what they are like."""
    prices = np.random.default_rng(seed).random(len(clusters))
    categories = [f"c{cluster}" for cluster in clusters.tolist()]
    ids = [f"{row:08}" for row in range(len(clusters))]
    cells = {"price": prices, "category": categories}
    write_columns(folder, ids, {"price": "number", "category": "category"}, cells)
    return Attributes.open(folder)


def filters(share: float, clusters: np.ndarray) -> Iterator[tuple[str, str]]:
    """Yield filters that keep about a share of the products."""
    yield "random", f"price < {share}"
    numbers, counts = np.unique(clusters, return_counts=True)
    kept = int(np.searchsorted(np.cumsum(counts), share * len(clusters))) + 1
    yield "by category", "category: ANY({})".format(", ".join(f'"c{number}"' for number in numbers[:kept]))


def with_filter(
    search: Planner, scorer: Scorer, built: dict, queries: np.ndarray, attributes: Attributes, filter: Node
) -> dict:
    """Time a filter that was never seen before (worked out anew for each question) and a repeated one."""
    segment = search.segment

    def ask(cache: Callable[[], SubsetCache], vector: np.ndarray) -> np.ndarray:
        rules = Eligibility(segment, cache().subset(filter))
        return search.search(scorer, RowQuery(Query.free(vector), K, NOTHING), rules).selection.rows

    anew = partial(SubsetCache, attributes, segment.groups)
    kept = anew()
    subset = kept.subset(filter)
    best = exact(segment.vectors, queries, subset.rows)
    report: dict = {
        "kept": len(subset.rows),
        "width": search.budgets.filtered.width,
        "ours, first time": timed(partial(ask, anew), queries, best),
        "ours, repeated": timed(partial(ask, lambda: kept), queries, best),
    }
    few, right = queries[:RIVALS_QUERIES], best[:RIVALS_QUERIES]
    for name, method in RIVALS:
        if name in built:
            curve = [timed(step, few, right) for step in list(method(built[name], subset.mask))[3::2]]
            good = [point for point in curve if point[0] >= report["ours, repeated"][0] - 0.0005]
            report[name] = min(good, key=lambda point: point[1]) if good else max(curve)
    return report
