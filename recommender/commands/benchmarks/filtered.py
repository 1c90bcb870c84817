"""Filtered search, from the parsed filter to rows, beside the filters of hnswlib and Faiss."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recommender.commands.benchmarks.other_libraries import K, faiss, hnswlib
from recommender.commands.benchmarks.own_searches import EMPTY, WEIGHTS
from recommender.commands.benchmarks.timing import exact, timed
from recommender.core.blocks import Float, Rows
from recommender.core.scoring import Query, Scorer
from recommender.filters.cache import SubsetCache
from recommender.filters.conditions import Node
from recommender.filters.parse import parse
from recommender.items.attributes import Attributes, write_columns
from recommender.progress import progress
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Budget, Budgets, Planner, RowQuery

SHARES = (0.005, 0.05, 0.5)
FILTERING = (("hnswlib", hnswlib), ("faiss HNSW", faiss))  # the libraries that can filter
FEW = 50  # queries of the other libraries, which take long


def with_filters(
    planner: Planner, scorer: Scorer, built: Mapping[str, Any], queries: Float, clusters: Rows, seed: int
) -> dict[str, dict[str, Any]]:
    """Return recall and p50 where a filter retains a share of the products: at random, or whole categories."""
    chosen = replace(planner, budgets=Budgets(filtered=operating(planner, seed)))
    with TemporaryDirectory() as folder:
        attributes = columns(Path(folder), clusters, seed)
        cases = [(share, *each) for share in SHARES for each in filters(share, clusters)]
        return {
            f"{share:.1%} {kind}": with_filter(chosen, scorer, built, queries, attributes, parse(text))
            for share, kind, text in progress(cases, "filters", len(cases), "filter")
        }


def operating(planner: Planner, seed: int) -> Budget:
    """Return the budget that a build would give filtered queries."""
    from training.retrieval.calibration import calibration_queries, choose_budget
    from training.retrieval.index import FILTERED_TARGET

    queries = calibration_queries(planner.segment, {"item": WEIGHTS, "user": WEIGHTS}, [], seed)["filtered"]
    return choose_budget(planner, queries, FILTERED_TARGET)[0]


def columns(folder: Path, clusters: Rows, seed: int) -> Attributes:
    """Write products with a price of 0 to 1, independent of the vectors, and a category: their cluster."""
    prices = np.random.default_rng(seed).random(len(clusters))
    categories = [f"c{cluster}" for cluster in clusters.tolist()]
    ids = [f"{row:08}" for row in range(len(clusters))]
    cells: dict[str, Any] = {"price": prices, "category": categories}
    write_columns(folder, ids, {"price": "number", "category": "category"}, cells)
    return Attributes.open(folder)


def filters(share: float, clusters: Rows) -> Iterator[tuple[str, str]]:
    """Yield filters that retain about a share of the products."""
    yield "random", f"price < {share}"
    numbers, counts = np.unique(clusters, return_counts=True)
    some = int(np.searchsorted(np.cumsum(counts), share * len(clusters))) + 1
    yield "by category", "category: ANY({})".format(", ".join(f'"c{number}"' for number in numbers[:some]))


def with_filter(
    planner: Planner,
    scorer: Scorer,
    built: Mapping[str, Any],
    queries: Float,
    attributes: Attributes,
    filter: Node,
) -> dict[str, Any]:
    """Time a new filter (evaluated again for each query) and a cached one."""
    segment = planner.segment

    def search(cache: Callable[[], SubsetCache], vector: Float) -> Rows:
        eligibility = Eligibility(segment, cache().subset(filter))
        return planner.search(scorer, RowQuery(Query.free(vector), K, EMPTY), eligibility).selection.rows

    new_cache = partial(SubsetCache, attributes, segment.groups)
    cache = new_cache()
    subset = cache.subset(filter)
    best = exact(segment.vectors, queries, subset.rows)
    report: dict[str, Any] = {
        "retained": len(subset.rows),
        "width": planner.budgets.filtered.width if planner.budgets.filtered else None,
        "ours, new filter": timed(partial(search, new_cache), queries, best),
        "ours, cached filter": timed(partial(search, lambda: cache), queries, best),
    }
    for name, method in FILTERING:
        if name in built:
            steps = list(method(built[name], subset.mask))[3::2]
            curve = [timed(step, queries[:FEW], best[:FEW]) for step in steps]
            good = [point for point in curve if point[0] >= report["ours, cached filter"][0] - 0.0005]
            report[name] = min(good, key=lambda point: point[1]) if good else max(curve)
    return report
