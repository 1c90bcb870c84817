"""Builds the index of a segment, chooses how much it may look at, and measures what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.blocks import BLOCKS, Rows
from recommender.errors import BundleError
from recommender.index.candidates import Index
from recommender.index.rules import Rules
from recommender.index.search import SCAN_ROWS, Budget, Question, Search
from recommender.progress import progress
from recommender.scoring import Query, Scorer
from recommender.segment import Segment
from recommender.towers.user import item_query
from recommender.weights import resolve
from training.weights import mixed

if TYPE_CHECKING:
    from recommender.config import IndexConfig

K = 10
NEIGHBOURS = 64
# Above this many products the exact table would take too long (it grows with the square).
TABLE_ROWS = 120_000
# Above this many a scan is too slow to stand in for an index that misses its target.
SCAN_LIMIT = 200_000
BUDGETS = tuple(
    Budget(seeds, search_k) for seeds, search_k in [(40, 1_000), (100, 4_000), (300, 15_000), (1_000, 60_000)]
)
QUERIES = 200
RANDOM_WEIGHTS = 5


@dataclass(frozen=True)
class Built:
    """An index on disk and what it is worth.

    Parameters
    ----------
    segment
        The segment with its neighbour table.
    stated
        Budget, curve and recall for the manifest.
    """

    segment: Segment
    stated: dict[str, Any]


def build_index(
    folder: Path,
    segment: Segment,
    weights: Mapping[str, Mapping[str, float]],
    queries: Sequence[Query],
    config: "IndexConfig",
    seed: int,
) -> Built:
    """Write Annoy's forest and the neighbour table into a part's folder, and measure recall@10.

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
    shape = mixed(weights["item"], weights["user"])
    Index.build(folder, segment.vectors, segment.prior, segment.layout, shape, config.trees, seed)
    index = Index.open(folder / "index.ann", lambda file: np.load(folder / file), segment.layout)
    if segment.n <= TABLE_ROWS:
        segment = replace(segment, neighbours=neighbour_table(segment, weights["item"]))
    search = Search(segment, index, None)
    questions = _questions(segment, weights, queries, seed)
    curve = [{**asdict(budget), **_recalls(search, questions, budget)} for budget in BUDGETS]
    good = [point for point in curve if min(point["item"], point["user"], point["other"]) >= config.recall_target]
    stated = {
        "k": K,
        "curve": curve,
        "queries": len(questions["item"]),
        "oracle": "exact scan of the whole score",
    }
    if segment.n <= SCAN_ROWS or (not good and segment.n <= SCAN_LIMIT):
        reached = curve[-1] if not good else good[0]
        return Built(segment, stated | {"budget": None, "recall": 1.0, "annoy_recall": reached["item"]})
    point = (good or curve[-1:])[0]
    worst = min(point["item"], point["user"], point["other"])
    if worst < config.recall_floor:
        raise BundleError(
            f"recall@{K} of the index is {worst:.3f}; the floor is {config.recall_floor}. "
            "Raise [index] trees, or lower recall_floor if you accept it"
        )
    budget = {"seeds": point["seeds"], "search_k": point["search_k"]}
    return Built(segment, stated | {"budget": budget, "recall": worst})


def neighbour_table(segment: Segment, weights: Mapping[str, float]) -> Rows:
    """Return each product's best others under the learned weights, exactly, shape (n, T)."""
    scorer = Scorer(segment.vectors, segment.prior, segment.layout, weights)
    depth = min(NEIGHBOURS, segment.n)
    table = np.full((segment.n, depth), -1, dtype=np.int32)
    questions = [
        Question(item_query(segment, row), depth, np.sort(segment.variants(row))) for row in range(segment.n)
    ]
    found = Search(segment, None, None).many(scorer, questions, Rules(segment, None, collapse=False), "exact")
    for row, answer in enumerate(progress(found, "neighbour table", segment.n, "product")):
        table[row, : len(answer.selection.rows)] = answer.selection.rows
    return table


def _item_question(segment: Segment, row: int, k: int) -> Question:
    return Question(item_query(segment, row), k, np.sort(segment.variants(row)))


Asked = dict[str, list[tuple[Scorer, Question, np.ndarray]]]


def _questions(
    segment: Segment, weights: Mapping[str, Mapping[str, float]], queries: Sequence[Query], seed: int
) -> Asked:
    """Return item, user and other-weight questions with the scores of their exact answers."""
    generator = np.random.default_rng(seed)
    rows = generator.choice(segment.n, min(QUERIES, segment.n), replace=False)
    items = [_item_question(segment, int(row), K) for row in rows]
    users = [Question(query, K, np.unique(query.rows)) for query in list(queries)[:QUERIES]] or items
    scored = partial(_with_oracle, segment)
    others = _other_weights(weights["item"], generator)
    share = max(1, len(items) // len(others))
    return {
        "item": scored(items, weights["item"]),
        "user": scored(users, weights["user"]),
        "other": [
            asked
            for place, other in enumerate(others)
            for asked in scored(items[place * share : (place + 1) * share], other)
        ],
    }


def _other_weights(learned: Mapping[str, float], generator: np.random.Generator) -> list[dict[str, float]]:
    """Return each single block, and some random weightings."""
    blocks = [name for name in learned if name in BLOCKS]
    single = [{name: float(name == block) for name in learned} for block in blocks]
    random = [
        dict(zip(learned, generator.random(len(learned)).tolist(), strict=True)) for _ in range(RANDOM_WEIGHTS)
    ]
    return [resolve(learned, override) for override in single + random]


def _with_oracle(
    segment: Segment, questions: Sequence[Question], weights: Mapping[str, float]
) -> list[tuple[Scorer, Question, np.ndarray]]:
    scorer = Scorer(segment.vectors, segment.prior, segment.layout, weights)
    answers = Search(segment, None, None).many(scorer, questions, Rules(segment, None, False), "exact")
    return [(scorer, question, found.selection.scores) for question, found in zip(questions, answers, strict=True)]


def _recalls(search: Search, asked: Asked, budget: Budget) -> dict[str, float]:
    tried = replace(search, budget=budget)
    rules = Rules(search.segment, None, collapse=False)
    return {
        kind: float(np.mean([_recall(tried, scorer, question, best, rules) for scorer, question, best in group]))
        for kind, group in asked.items()
    }


def _recall(search: Search, scorer: Scorer, question: Question, best: np.ndarray, rules: Rules) -> float:
    """Share of the exact answer found, counted by score: any of several ties will do."""
    if not len(best):
        return 1.0
    found = search.one(scorer, question, rules, "annoy").selection.scores
    return float(np.count_nonzero(found >= best[-1])) / len(best)
