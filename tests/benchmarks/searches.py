"""Our own ways to search made-up vectors: a name of the table each, and a way of asking for each step."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from rivals import LADDER, Ask, K

from recommender.core.scoring import Query, Scorer
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Budget, Budgets, Planner, RowQuery
from training.retrieval.index import HOPS

WEIGHTS = {"image": 1.0, "cooccurrence": 0.0, "prior": 0.0}
NOTHING = np.empty(0, np.int32)


def ours(search: Planner, scorer: Scorer) -> Iterator[Ask]:
    """Annoy, graph and exact scores, as a question of the service goes: all but the ids."""
    rules = Eligibility(search.segment)

    def ask(tried: Planner, vector: np.ndarray) -> np.ndarray:
        return tried.search(scorer, RowQuery(Query.free(vector), K, NOTHING), rules).selection.rows

    budgets = (Budget(width, 0, 0) for width in LADDER)
    return (partial(ask, replace(search, budgets=Budgets(learned=budget))) for budget in budgets)


def walk(search: Planner, scorer: Scorer) -> Iterator[Ask]:
    """The index alone: Annoy, graph, and the order by full vectors."""
    index, vectors = search.index, search.segment.vectors

    def ask(width: int, vector: np.ndarray) -> np.ndarray:
        rows = index.walk(scorer, Query.free(vector), width)
        return rows[np.argsort(-(vectors[rows] @ vector))[:K]]

    return (partial(ask, width) for width in LADDER)


def hops(search: Planner, scorer: Scorer) -> Iterator[Ask]:
    """The index alone where there is no numba: Annoy's rows and a walk over the neighbour table."""
    index, vectors = replace(search.index, codes=None, graph=None), search.segment.vectors
    plain, rules = replace(search, index=index), Eligibility(search.segment)

    def ask(budget: Budget, vector: np.ndarray) -> np.ndarray:
        rows = plain.candidates(scorer, RowQuery(Query.free(vector), K, NOTHING), rules, budget)
        return rows[np.argsort(-(vectors[rows] @ vector))[:K]]

    return (partial(ask, Budget(0, *hop)) for hop in HOPS)
