"""Builds the search index of a segment, calibrates it and measures its recall."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.core.scoring import Query
from recommender.core.segment import Segment
from recommender.errors import BundleError
from recommender.evaluation.ranking_task import MapFunction
from recommender.progress import notice
from recommender.retrieval.candidates import Index
from recommender.retrieval.codes import Codes
from recommender.retrieval.kernels import kernels, walk_kernels
from recommender.retrieval.planner import SCAN_ROWS, Planner
from training.retrieval.calibration import K, calibration_queries, choose_budget
from training.retrieval.graph import build_graph
from training.retrieval.neighbours import with_neighbours
from training.tuning.weights import mean_weights

if TYPE_CHECKING:
    from recommender.config import IndexConfig

# Above this many products a scan is too slow to stand in for an index that misses its target.
MAX_SCAN_ROWS = 200_000
# With a filter the target is higher: the retained products near a query are those a walk is least likely to meet.
FILTERED_TARGET = 0.98


@dataclass(frozen=True)
class BuiltIndex:
    """An index on disk and its measured recall.

    Parameters
    ----------
    segment
        The segment with its neighbour table.
    metrics
        Budgets, recall curves and recall, for the manifest; by default those of scans.
    """

    segment: Segment
    metrics: dict[str, Any] = field(
        default_factory=lambda: {"k": K, "recall": 1.0, "queries": 0, "budgets": {}, "curves": {}}
    )


def build_index(
    folder: Path,
    segment: Segment,
    weights: Mapping[str, Mapping[str, float]],
    user_queries: Sequence[Query],
    config: "IndexConfig",
    seed: int,
    kinds: Sequence[str] | None = None,
    run: MapFunction | None = None,
) -> BuiltIndex:
    """Write Annoy's forest, the graph and the neighbour table into a part's folder, and measure recall@10.

    Parameters
    ----------
    folder
        Of the part.
    segment
        The products.
    weights
        Kinds of request to learned weights, see `Manifest`.
    user_queries
        Queries of histories; empty without events.
    config
        Number of trees, recall target and floor.
    seed
        Of the trees and of the calibration queries.
    kinds, run
        See `with_neighbours`.

    Raises
    ------
    BundleError
        If the recall stays under the floor and the shop is too large to be scanned instead.
    """
    index = make_index(folder, segment, mean_weights(weights["item"], weights["user"]), config.trees, seed)
    segment = with_neighbours(segment, weights, index, kinds, run)
    planner = Planner(segment, index, learned=tuple(weights.values()))
    if segment.n <= SCAN_ROWS:  # every answer is a row of the neighbour table or a scan, both exact
        return BuiltIndex(segment)
    queries = calibration_queries(segment, weights, user_queries, seed, kinds)
    budgets: dict[str, Any] = {}
    recall: dict[str, float] = {}
    curves: dict[str, list[dict[str, float]]] = {}
    for name, query_sets in queries.items():
        target = max(config.recall_target, FILTERED_TARGET) if name == "filtered" else config.recall_target
        budget, reached, curves[name] = choose_budget(planner, query_sets, target)
        scan = reached < target and segment.n <= MAX_SCAN_ROWS
        # requests for one block alone are rare: scanning them is no reason not to publish
        scan |= name == "single" and reached < config.recall_floor
        budgets[name], recall[name] = (None, 1.0) if scan else (asdict(budget), reached)
    if min(recall.values()) < config.recall_floor:
        raise BundleError(
            f"recall@{K} of the index is {min(recall.values()):.3f}; the floor is {config.recall_floor}. "
            "Raise [index] trees, or lower recall_floor if you accept it"
        )
    metrics = {
        "k": K,
        "queries": sum(map(len, queries["learned"])),
        "oracle": "exact scan of the whole score",
        "budgets": budgets,
        "recall": min(recall.values()),
        "curves": curves,
    }
    return BuiltIndex(segment, metrics)


def make_index(folder: Path, segment: Segment, weights: Mapping[str, float], trees: int, seed: int) -> Index:
    """Write the forest and, with numba, the codes and the graph; return them opened."""
    Index.build(folder, segment.vectors, segment.prior, segment.layout, weights, trees, seed)

    def load(file: str) -> np.ndarray:
        return np.asarray(np.load(folder / file, mmap_mode="r"))  # as a bundle opens it

    forest = folder / "index.ann"
    if kernels() is None:
        notice("numba is not installed: the index has no graph, and answers are slower")
        return Index.open(forest, load, segment.layout)
    Codes.build(folder, segment.vectors, segment.prior, segment.layout, weights)
    index = Index.open(forest, load, segment.layout)
    build_graph(folder, index.forest, Codes.open(load, segment.layout), weights, seed)
    np.save(folder / "prior.npy", segment.prior)
    one_bit = walk_kernels() is not None
    return Index.open(forest, load, segment.layout, graph=True, one_bit=one_bit)
