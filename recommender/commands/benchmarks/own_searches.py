"""The ways that this library searches synthetic vectors, for the tables of `retrieval` and `scale`."""

from dataclasses import replace
from functools import partial

import numpy as np

from recommender.commands.benchmarks.other_libraries import WIDTHS, K, Steps
from recommender.core.blocks import Float, Rows
from recommender.core.scoring import Query, Scorer
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Budget, Budgets, Planner, RowQuery

WEIGHTS = {"image": 1.0, "cooccurrence": 0.0, "prior": 0.0}
EMPTY = np.empty(0, np.int32)


def whole_query(planner: Planner, scorer: Scorer) -> Steps:
    """Search as a request does, from the query to scores: Annoy, graph, exact scores; all but the ids."""
    eligibility = Eligibility(planner.segment)

    def search(tried: Planner, vector: Float) -> Rows:
        return tried.search(scorer, RowQuery(Query.free(vector), K, EMPTY), eligibility).selection.rows

    budgets = (Budget(width, 0, 0) for width in WIDTHS)
    return (partial(search, replace(planner, budgets=Budgets(learned=budget))) for budget in budgets)


def index_alone(planner: Planner, scorer: Scorer) -> Steps:
    """Search the index alone: Annoy, graph, and the order by full vectors."""
    return (partial(walk, planner, scorer, width) for width in WIDTHS)


def walk(planner: Planner, scorer: Scorer, width: int, vector: Float) -> Rows:
    """Return the k best rows of a walk of this width."""
    vectors = planner.segment.vectors
    assert planner.index is not None
    rows = planner.index.walk(scorer, Query.free(vector), width)
    return rows[np.argsort(-(vectors[rows] @ vector))[:K]]


def without_numba(planner: Planner, scorer: Scorer) -> Steps:
    """Search as where numba is missing: Annoy's rows, and a walk over the neighbour table."""
    from training.retrieval.calibration import TABLE_BUDGETS

    assert planner.index is not None
    vectors = planner.segment.vectors
    plain = replace(planner, index=replace(planner.index, codes=None, graph=None))
    eligibility = Eligibility(planner.segment)

    def search(budget: Budget, vector: Float) -> Rows:
        rows = plain.candidates(scorer, RowQuery(Query.free(vector), K, EMPTY), eligibility, budget)
        return rows[np.argsort(-(vectors[rows] @ vector))[:K]]

    return (partial(search, Budget(0, *budget)) for budget in TABLE_BUDGETS)
