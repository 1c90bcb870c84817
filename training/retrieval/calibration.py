"""Chooses the operating points of a search index: the least budget whose measured recall reaches the target."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from recommender.core.blocks import BLOCKS
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.core.weights import resolve
from recommender.filters.subset import Subset
from recommender.retrieval.candidates import ENTRIES
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Budget, Budgets, Planner, RowQuery
from training.retrieval.neighbours import rows_by_kind

K = 10
# Budgets of a walk over the graph (width, entries), by cost. Among many near-duplicates the edges lead in few
# directions: where a wider walk finds little more, one from many entries does.
GRAPH_BUDGETS = (
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
# Budgets of a walk over the neighbour table (seeds, search_k, steps), by cost.
TABLE_BUDGETS = (
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
MAX_QUERIES = 200  # of items, and as many of users
RANDOM_WEIGHTS = 20
WeightedQueries = tuple[Mapping[str, float], Sequence[RowQuery]]


@dataclass(frozen=True)
class CalibrationQuery:
    """A query with its weights, its filter and the scores of its exact answer.

    Parameters
    ----------
    scorer
        Scores by the query's weights.
    query
        The query, k and excluded rows.
    exact_scores
        Descending, shape (k,) or fewer.
    subset
        The filter; None without one.
    """

    scorer: Scorer
    query: RowQuery
    exact_scores: np.ndarray
    subset: Subset | None = None


def choose_budget(
    planner: Planner, query_sets: Sequence[Sequence[CalibrationQuery]], target: float
) -> tuple[Budget, float, list[dict[str, float]]]:
    """Return the least budget that reaches the target recall, for the graph where there is one.

    The recall of a budget is that of the query set with the lowest. It has to reach the target by a standard
    error: the first of many budgets that reaches it by chance would miss it on other queries. A walk over the
    graph may stall below the recall of the neighbour table. Where it does not, the table serves machines without
    numba only, and is measured on a quarter of the queries.

    Parameters
    ----------
    planner
        Over the whole index.
    query_sets
        Each must reach the target by itself.
    target
        Recall@10, in [0, 1].

    Returns
    -------
    tuple
        The budget; its recall, which is under the target where no budget reaches it; and the recall curve: every
        budget that was tried, with its recall.
    """
    assert planner.index is not None
    table = replace(planner, index=replace(planner.index, codes=None, graph=None))
    table_budgets = [Budget(0, *budget) for budget in TABLE_BUDGETS]
    if planner.index.graph is None:
        return _smallest_sufficient(table, query_sets, table_budgets, target)
    graph_budgets = [replace(table_budgets[0], width=width, entries=entries) for width, entries in GRAPH_BUDGETS]
    by_graph, graph_recall, graph_curve = _smallest_sufficient(planner, query_sets, graph_budgets, target)
    if graph_recall < target:
        by_table, table_recall, curve = _smallest_sufficient(table, query_sets, table_budgets, target)
        if table_recall >= target:
            return by_table, table_recall, curve + graph_curve
    else:
        quarter = [queries[::4] for queries in query_sets]
        by_table, _, curve = _smallest_sufficient(table, quarter, table_budgets, target)
    budget = replace(by_table, width=by_graph.width, entries=by_graph.entries)
    return budget, graph_recall, curve + graph_curve


def _smallest_sufficient(
    planner: Planner, query_sets: Sequence[Sequence[CalibrationQuery]], budgets: Sequence[Budget], target: float
) -> tuple[Budget, float, list[dict[str, float]]]:
    curve: list[dict[str, float]] = []
    for budget in budgets:
        recalls = [_recalls(planner, queries, budget) for queries in query_sets]
        recall = min(float(of_set.mean()) for of_set in recalls)
        curve.append({**asdict(budget), "recall": recall})
        if all(of_set.mean() - of_set.std() / len(of_set) ** 0.5 >= target for of_set in recalls):
            break
    return budget, recall, curve


def _recalls(planner: Planner, queries: Sequence[CalibrationQuery], budget: Budget) -> np.ndarray:
    """Return the recall of each query, counted by score, so that any of several ties will do."""
    planner = replace(planner, budgets=Budgets(budget, budget, budget, budget))
    recalls = []
    for query in queries:
        eligibility, exact = Eligibility(planner.segment, query.subset, collapse=False), query.exact_scores
        scores = planner.search(query.scorer, query.query, eligibility, "annoy").selection.scores
        recalls.append(np.count_nonzero(scores >= exact[-1]) / len(exact) if len(exact) else 1.0)
    return np.array(recalls)


def calibration_queries(
    segment: Segment,
    weights: Mapping[str, Mapping[str, float]],
    user_queries: Sequence[Query],
    seed: int,
    kinds: Sequence[str] | None = None,
) -> dict[str, list[list[CalibrationQuery]]]:
    """Return the queries that recall is measured on, with exact answers, by the name of the operating point.

    Each operating point has several query sets: items and users with the learned weights, random weights, each
    block alone, each filter.

    Parameters
    ----------
    segment
        The products.
    weights
        Kinds of request to learned weights.
    user_queries
        Queries of histories; empty without events.
    seed
        Of the items, weights and filters that are sampled.
    kinds
        See `with_neighbours`.
    """
    generator = np.random.default_rng(seed)
    rows = generator.choice(segment.n, min(MAX_QUERIES, segment.n), replace=False)
    items = [RowQuery(segment.item_query(row), K, np.sort(segment.variants(row))) for row in rows.tolist()]
    users = [RowQuery(query, K, np.unique(query.rows)) for query in list(user_queries)[:MAX_QUERIES]]
    by_kind = rows_by_kind(["item"] * len(items) if kinds is None else [kinds[row] for row in rows])
    learned: list[list[WeightedQueries]] = [
        [(weights[kind], [items[index] for index in indices]) for kind, indices in by_kind.items()]
    ]
    if users:
        learned.append([(weights["user"], users)])
    random, single = _random_weights(weights["item"], generator), _single_weights(weights["item"])
    other: list[WeightedQueries] = [(w, items[index :: len(random)]) for index, w in enumerate(random)]
    quarter = [(w, queries[::4]) for query_set in [*learned, other] for w, queries in query_set]
    filters = half, _ = _half_filters(segment, generator)
    return {
        "learned": [_with_exact_scores(segment, query_set) for query_set in learned],
        "other": [_with_exact_scores(segment, other)],
        "single": [
            [
                *_with_exact_scores(segment, [(w, items[::4])]),
                *_with_exact_scores(segment, [(w, items[1::4])], half),
            ]
            for w in single
        ],
        "filtered": [_with_exact_scores(segment, quarter, subset) for subset in filters],
    }


def _half_filters(segment: Segment, generator: np.random.Generator) -> tuple[Subset, Subset]:
    """Return filters that retain half of the products: a random half, and the half most similar to one product."""
    similarity = segment.vectors @ segment.vectors[generator.integers(segment.n)]
    random_half = generator.random(segment.n) < 0.5
    return Subset(random_half, segment.groups), Subset(similarity >= np.median(similarity), segment.groups)


def _single_weights(learned: Mapping[str, float]) -> list[dict[str, float]]:
    return [
        resolve(learned, {name: float(name == block) for name in learned}) for block in BLOCKS if block in learned
    ]


def _random_weights(learned: Mapping[str, float], generator: np.random.Generator) -> list[dict[str, float]]:
    return [
        resolve(learned, dict(zip(learned, generator.random(len(learned)).tolist(), strict=True)))
        for _ in range(RANDOM_WEIGHTS)
    ]


def _with_exact_scores(
    segment: Segment, query_set: Sequence[WeightedQueries], subset: Subset | None = None
) -> list[CalibrationQuery]:
    eligibility = Eligibility(segment, subset, collapse=False)
    queries = []
    for weights, row_queries in query_set:
        scorer = Scorer(segment.vectors, segment.prior, segment.layout, weights)
        answers = Planner(segment).search_many(scorer, row_queries, eligibility, "exact")
        queries += [
            CalibrationQuery(scorer, query, answer.selection.scores, subset)
            for query, answer in zip(row_queries, answers, strict=True)
        ]
    return queries
