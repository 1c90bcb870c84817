"""Builds the index of a segment, chooses how much it may look at, and measures what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.blocks import BLOCKS
from recommender.errors import BundleError
from recommender.index.candidates import Index
from recommender.index.codes import Codes
from recommender.index.kernels import kernels
from recommender.index.rules import Rules
from recommender.index.search import SCAN_ROWS, Budget, Budgets, Question, Search
from recommender.progress import notice
from recommender.scoring import Query, Scorer
from recommender.segment import Segment
from recommender.towers.user import item_query
from recommender.weights import resolve
from training.graph import build_graph
from training.neighbours import with_neighbours
from training.weights import mixed

if TYPE_CHECKING:
    from recommender.config import IndexConfig

K = 10
# Above this many products a scan is too slow to stand in for an index that misses its target.
SCAN_LIMIT = 200_000
WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1_024)
HOPS = (
    (32, 400, 1),
    (32, 400, 2),
    (32, 400, 4),
    (64, 1_000, 4),
    (64, 1_000, 8),
    (100, 4_000, 16),
    (300, 15_000, 32),
    (1_000, 60_000, 64),
)
QUERIES = 200
RANDOM_WEIGHTS = 20


@dataclass(frozen=True)
class Built:
    """An index on disk and what it is worth.

    Parameters
    ----------
    segment
        The segment with its neighbour table.
    stated
        Budgets, curves and recall for the manifest.
    """

    segment: Segment
    stated: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A question and the scores of its exact answer, shape (k,)."""

    scorer: Scorer
    question: Question
    best: np.ndarray


def build_index(
    folder: Path,
    segment: Segment,
    weights: Mapping[str, Mapping[str, float]],
    queries: Sequence[Query],
    config: "IndexConfig",
    seed: int,
) -> Built:
    """Write Annoy's forest, the graph and the neighbour table into a part's folder, and measure recall@10.

    Parameters
    ----------
    weights
        'item' and 'user' to learned weights.
    queries
        Held-out queries of users; empty without events.

    Raises
    ------
    BundleError
        If the recall stays under the floor and the shop is too large to be scanned instead.
    """
    index = make_index(folder, segment, mixed(weights["item"], weights["user"]), config.trees, seed)
    segment = with_neighbours(segment, weights["item"], index)
    search = Search(segment, index, learned=tuple(weights.values()))
    learned, other = _questions(segment, weights, queries, seed)
    points = {
        "learned": operating_point(search, learned, config.recall_target),
        "other": operating_point(search, other, config.recall_target),
    }
    scanned = segment.n <= SCAN_ROWS
    budgets: dict[str, Any] = {}
    recall: dict[str, float] = {}
    for kind, (budget, reached, _) in points.items():
        scan = scanned or (reached < config.recall_target and segment.n <= SCAN_LIMIT)
        budgets[kind], recall[kind] = (None, 1.0) if scan else (asdict(budget), reached)
    if min(recall.values()) < config.recall_floor:
        raise BundleError(
            f"recall@{K} of the index is {min(recall.values()):.3f}; the floor is {config.recall_floor}. "
            "Raise [index] trees, or lower recall_floor if you accept it"
        )
    stated = {
        "k": K,
        "queries": len(learned),
        "oracle": "exact scan of the whole score",
        "budgets": budgets,
        "recall": min(recall.values()),
        "curves": {kind: curve for kind, (_, _, curve) in points.items()},
    }
    return Built(segment, stated)


def make_index(folder: Path, segment: Segment, weights: Mapping[str, float], trees: int, seed: int) -> Index:
    """Write the forest and, with numba, the codes and the graph; returns them opened."""
    Index.build(folder, segment.vectors, segment.prior, segment.layout, weights, trees, seed)

    def load(file: str) -> np.ndarray:
        return np.load(folder / file, mmap_mode="r")

    forest = folder / "index.ann"
    if kernels() is None:
        notice("numba is not installed: the index gets no graph, and answers are slower")
        return Index.open(forest, load, segment.layout)
    Codes.build(folder, segment.vectors, segment.prior, segment.layout, weights)
    index = Index.open(forest, load, segment.layout)
    build_graph(folder, index.forest, Codes.open(load, segment.layout), weights)
    return Index.open(forest, load, segment.layout, graph=True)


def operating_point(
    search: Search, asked: Sequence[Asked], target: float
) -> tuple[Budget, float, list[dict[str, float]]]:
    """Return the least budget that reaches the target, its recall, and the curve; by the graph where it can.

    Among many products that are nearly the same the edges lead in few directions, and a walk over them may stall
    below what the neighbour table finds.
    """
    assert search.index is not None
    hops = replace(search, index=replace(search.index, codes=None, graph=None))
    hop, hopped, curve = _first_good(hops, asked, [Budget(0, *hop) for hop in HOPS], target)
    if search.index.graph is None:
        return hop, hopped, curve
    ladder = [replace(hop, width=width) for width in WIDTHS]
    walk, walked, steps = _first_good(search, asked, ladder, target)
    stalled = walked < target <= hopped
    return (hop, hopped, curve + steps) if stalled else (walk, walked, curve + steps)


def _first_good(
    search: Search, asked: Sequence[Asked], ladder: Sequence[Budget], target: float
) -> tuple[Budget, float, list[dict[str, float]]]:
    curve: list[dict[str, float]] = []
    for budget in ladder:
        recall = _recall(search, asked, budget)
        curve.append({**asdict(budget), "recall": recall})
        if recall >= target:
            break
    return budget, recall, curve


def _recall(search: Search, asked: Sequence[Asked], budget: Budget) -> float:
    """Mean share of the exact answer found, counted by score: any of several ties will do."""
    tried = replace(search, budgets=Budgets(budget, budget))
    rules = Rules(search.segment, None, collapse=False)
    shares = []
    for one in asked:
        found = tried.one(one.scorer, one.question, rules, "annoy").selection.scores
        shares.append(np.count_nonzero(found >= one.best[-1]) / len(one.best) if len(one.best) else 1.0)
    return float(np.mean(shares))


def _questions(
    segment: Segment, weights: Mapping[str, Mapping[str, float]], queries: Sequence[Query], seed: int
) -> tuple[list[Asked], list[Asked]]:
    """Return questions of items and users with the learned weights, and of items with others."""
    generator = np.random.default_rng(seed)
    rows = generator.choice(segment.n, min(QUERIES, segment.n), replace=False)
    items = [Question(item_query(segment, row), K, np.sort(segment.variants(row))) for row in rows.tolist()]
    users = [Question(query, K, np.unique(query.rows)) for query in list(queries)[:QUERIES]]
    learned = [*_with_oracle(segment, items, weights["item"]), *_with_oracle(segment, users, weights["user"])]
    others = _other_weights(weights["item"], generator)
    share = max(1, len(items) // len(others))
    other = [
        asked
        for place, tried in enumerate(others)
        for asked in _with_oracle(segment, items[place * share : (place + 1) * share], tried)
    ]
    return learned, other


def _other_weights(learned: Mapping[str, float], generator: np.random.Generator) -> list[dict[str, float]]:
    """Return each single block, and some random weightings."""
    blocks = [name for name in learned if name in BLOCKS]
    single = [{name: float(name == block) for name in learned} for block in blocks]
    random = [
        dict(zip(learned, generator.random(len(learned)).tolist(), strict=True)) for _ in range(RANDOM_WEIGHTS)
    ]
    return [resolve(learned, override) for override in single + random]


def _with_oracle(segment: Segment, questions: Sequence[Question], weights: Mapping[str, float]) -> list[Asked]:
    scorer = Scorer(segment.vectors, segment.prior, segment.layout, weights)
    answers = Search(segment).many(scorer, questions, Rules(segment, None, False), "exact")
    return [
        Asked(scorer, question, found.selection.scores) for question, found in zip(questions, answers, strict=True)
    ]
