"""Builds the index of a segment, chooses how much it may look at, and measures what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.core.blocks import BLOCKS
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.core.weights import resolve
from recommender.errors import BundleError
from recommender.filters.subset import Subset
from recommender.progress import notice
from recommender.retrieval.candidates import ENTRIES, Index
from recommender.retrieval.codes import Codes
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.kernels import kernels
from recommender.retrieval.planner import SCAN_ROWS, Budget, Budgets, Planner, RowQuery
from recommender.towers.user import item_query
from training.retrieval.graph import build_graph
from training.retrieval.neighbours import rows_by_kind, with_neighbours
from training.tuning.weights import mixed

if TYPE_CHECKING:
    from recommender.config import IndexConfig

K = 10
# Above this many products a scan is too slow to stand in for an index that misses its target.
SCAN_LIMIT = 200_000
# How wide a walk is, and from how many rows it begins, by cost. Among many products that are nearly the same the
# edges lead in few directions: where a wider walk finds little more, one from many places does.
WALKS = (
    *((width, ENTRIES) for width in (16, 24, 32, 48, 64, 96)),
    (64, 64),
    (128, ENTRIES),
    (96, 96),
    (192, ENTRIES),
    (128, 128),
    (256, ENTRIES),
    (256, 256),
    (384, 384),
    (512, ENTRIES),
    (512, 512),
    (1_024, ENTRIES),
    (1_024, 1_024),
)
HOPS = (
    (32, 300, 1),
    (32, 300, 2),
    (32, 300, 3),
    (32, 300, 4),
    (64, 1_000, 4),
    (64, 1_000, 8),
    (100, 4_000, 16),
    (300, 15_000, 32),
    (1_000, 60_000, 64),
)
QUERIES = 200
RANDOM_WEIGHTS = 20
# Questions and the weights that they are asked with.
Asking = tuple[Mapping[str, float], Sequence[RowQuery]]
# A filter asks for more: what it keeps near a query are the products that a walk least expects to be wanted.
FILTERED_TARGET = 0.98


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
    """A question, the filter it is asked with, and the scores of its exact answer, shape (k,)."""

    scorer: Scorer
    question: RowQuery
    best: np.ndarray
    subset: Subset | None = None


def build_index(
    folder: Path,
    segment: Segment,
    weights: Mapping[str, Mapping[str, float]],
    queries: Sequence[Query],
    config: "IndexConfig",
    seed: int,
    kinds: Sequence[str] | None = None,
) -> Built:
    """Write Annoy's forest, the graph and the neighbour table into a part's folder, and measure recall@10.

    Parameters
    ----------
    weights
        Kinds of question to learned weights, see `Manifest`.
    queries
        Held-out queries of users; empty without events.
    kinds
        See `with_neighbours`.

    Raises
    ------
    BundleError
        If the recall stays under the floor and the shop is too large to be scanned instead.
    """
    index = make_index(folder, segment, mixed(weights["item"], weights["user"]), config.trees, seed)
    segment = with_neighbours(segment, weights, index, kinds)
    search = Planner(segment, index, learned=tuple(weights.values()))
    asked = questions_of(segment, weights, queries, seed, kinds)
    targets = dict.fromkeys(asked, config.recall_target)
    targets["filtered"] = max(config.recall_target, FILTERED_TARGET)
    scanned = segment.n <= SCAN_ROWS
    budgets: dict[str, Any] = {}
    recall: dict[str, float] = {}
    curves: dict[str, list[dict[str, float]]] = {}
    for kind, target in targets.items():
        budget, reached, curves[kind] = operating_point(search, asked[kind], target)
        scan = scanned or (reached < target and segment.n <= SCAN_LIMIT)
        # one block alone is asked for seldom: no reason not to publish
        scan |= kind == "single" and reached < config.recall_floor
        budgets[kind], recall[kind] = (None, 1.0) if scan else (asdict(budget), reached)
    if min(recall.values()) < config.recall_floor:
        raise BundleError(
            f"recall@{K} of the index is {min(recall.values()):.3f}; the floor is {config.recall_floor}. "
            "Raise [index] trees, or lower recall_floor if you accept it"
        )
    stated = {
        "k": K,
        "queries": sum(map(len, asked["learned"])),
        "oracle": "exact scan of the whole score",
        "budgets": budgets,
        "recall": min(recall.values()),
        "curves": curves,
    }
    return Built(segment, stated)


def make_index(folder: Path, segment: Segment, weights: Mapping[str, float], trees: int, seed: int) -> Index:
    """Write the forest and, with numba, the codes and the graph; returns them opened."""
    Index.build(folder, segment.vectors, segment.prior, segment.layout, weights, trees, seed)

    def load(file: str) -> np.ndarray:
        return np.asarray(np.load(folder / file, mmap_mode="r"))  # as a bundle opens it

    forest = folder / "index.ann"
    if kernels() is None:
        notice("numba is not installed: the index gets no graph, and answers are slower")
        return Index.open(forest, load, segment.layout)
    Codes.build(folder, segment.vectors, segment.prior, segment.layout, weights)
    index = Index.open(forest, load, segment.layout)
    build_graph(folder, index.forest, Codes.open(load, segment.layout), weights)
    return Index.open(forest, load, segment.layout, graph=True)


def operating_point(
    search: Planner, asked: Sequence[Sequence[Asked]], target: float
) -> tuple[Budget, float, list[dict[str, float]]]:
    """Return the least budget that reaches the target, its recall, and the curve; by the graph where it can.

    Recall is that of the part of the questions that has the least. It reaches the target by a standard error: the
    first of many budgets to be lucky would miss it when asked anew. A walk may stall below what the neighbour
    table finds. Where it does not, the table serves machines without numba only, and is measured by a quarter of
    the questions.

    Parameters
    ----------
    search
        Over the whole index.
    asked
        Questions in parts, each of which must reach the target by itself.
    target
        Recall@10, in [0, 1].

    Returns
    -------
    tuple
        The budget; the recall that it reaches, under the target where none does; every budget that was tried, with
        its recall.
    """
    assert search.index is not None
    table = replace(search, index=replace(search.index, codes=None, graph=None))
    hops = [Budget(0, *hop) for hop in HOPS]
    if search.index.graph is None:
        return _first_good(table, asked, hops, target)
    walks = [replace(hops[0], width=width, entries=entries) for width, entries in WALKS]
    walk, walked, steps = _first_good(search, asked, walks, target)
    if walked < target:
        hop, hopped, curve = _first_good(table, asked, hops, target)
        if hopped >= target:
            return hop, hopped, curve + steps
    else:
        hop, _, curve = _first_good(table, [part[::4] for part in asked], hops, target)
    return replace(hop, width=walk.width, entries=walk.entries), walked, curve + steps


def _first_good(
    search: Planner, asked: Sequence[Sequence[Asked]], ladder: Sequence[Budget], target: float
) -> tuple[Budget, float, list[dict[str, float]]]:
    curve: list[dict[str, float]] = []
    for budget in ladder:
        shares = [_shares(search, part, budget) for part in asked]
        recall = min(float(part.mean()) for part in shares)
        curve.append({**asdict(budget), "recall": recall})
        if all(part.mean() - part.std() / len(part) ** 0.5 >= target for part in shares):
            break
    return budget, recall, curve


def _shares(search: Planner, asked: Sequence[Asked], budget: Budget) -> np.ndarray:
    """Share of the exact answer found, of each question, counted by score: any of several ties will do."""
    tried = replace(search, budgets=Budgets(budget, budget, budget, budget))
    shares = []
    for one in asked:
        rules = Eligibility(search.segment, one.subset, collapse=False)
        found = tried.search(one.scorer, one.question, rules, "annoy").selection.scores
        shares.append(np.count_nonzero(found >= one.best[-1]) / len(one.best) if len(one.best) else 1.0)
    return np.array(shares)


def questions_of(
    segment: Segment,
    weights: Mapping[str, Mapping[str, float]],
    queries: Sequence[Query],
    seed: int,
    kinds: Sequence[str] | None = None,
) -> dict[str, list[list[Asked]]]:
    """Return what recall is measured by, with exact answers, by the name of the operating point that it chooses.

    Each is in parts: items and users with the learned weights, random weights, each block alone, each filter.

    Parameters
    ----------
    weights
        Kinds of question to learned weights.
    queries
        Held-out queries of users.
    kinds
        See `with_neighbours`.
    """
    generator = np.random.default_rng(seed)
    rows = generator.choice(segment.n, min(QUERIES, segment.n), replace=False)
    items = [RowQuery(item_query(segment, row), K, np.sort(segment.variants(row))) for row in rows.tolist()]
    users = [RowQuery(query, K, np.unique(query.rows)) for query in list(queries)[:QUERIES]]
    parts = rows_by_kind(["item"] * len(items) if kinds is None else [kinds[row] for row in rows])
    own: list[Asking] = [(weights[kind], [items[place] for place in places]) for kind, places in parts.items()]
    learned: list[list[Asking]] = [own]
    if users:
        learned.append([(weights["user"], users)])
    random, single = _random_weights(weights["item"], generator), _single_weights(weights["item"])
    mixed_up: list[Asking] = [(tried, items[place :: len(random)]) for place, tried in enumerate(random)]
    some = [(tried, questions[::4]) for part in [*learned, mixed_up] for tried, questions in part]
    filters = half, _ = _half_filters(segment, generator)
    return {
        "learned": [_with_oracle(segment, part) for part in learned],
        "other": [_with_oracle(segment, mixed_up)],
        "single": [
            [*_with_oracle(segment, [(tried, items[::4])]), *_with_oracle(segment, [(tried, items[1::4])], half)]
            for tried in single
        ],
        "filtered": [_with_oracle(segment, some, subset) for subset in filters],
    }


def _half_filters(segment: Segment, generator: np.random.Generator) -> tuple[Subset, Subset]:
    """Return filters that keep half of the products: any half, and those that are most like one of them."""
    like = segment.vectors @ segment.vectors[generator.integers(segment.n)]
    any_half = generator.random(segment.n) < 0.5
    return Subset(any_half, segment.groups), Subset(like >= np.median(like), segment.groups)


def _single_weights(learned: Mapping[str, float]) -> list[dict[str, float]]:
    return [
        resolve(learned, {name: float(name == block) for name in learned}) for block in BLOCKS if block in learned
    ]


def _random_weights(learned: Mapping[str, float], generator: np.random.Generator) -> list[dict[str, float]]:
    return [
        resolve(learned, dict(zip(learned, generator.random(len(learned)).tolist(), strict=True)))
        for _ in range(RANDOM_WEIGHTS)
    ]


def _with_oracle(
    segment: Segment,
    asked: Sequence[Asking],
    subset: Subset | None = None,
) -> list[Asked]:
    """Return questions by the weights that they are asked with, and their exact answers."""
    rules = Eligibility(segment, subset, collapse=False)
    answered = []
    for weights, questions in asked:
        scorer = Scorer(segment.vectors, segment.prior, segment.layout, weights)
        answers = Planner(segment).search_many(scorer, questions, rules, "exact")
        answered += [
            Asked(scorer, question, found.selection.scores, subset)
            for question, found in zip(questions, answers, strict=True)
        ]
    return answered
