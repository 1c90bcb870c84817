"""Measure a recommender on what customers chose after it was trained, beside its parts and the baselines."""

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.evaluation import metrics
from recommender.evaluation.baselines import Baseline, Popularity, standard
from recommender.evaluation.contenders import Contender, of_baselines, of_product
from recommender.evaluation.queries import Mask, Queries, chosen
from recommender.evaluation.report import EvaluationReport, Measured
from recommender.progress import progress

if TYPE_CHECKING:
    from recommender.catalog import Interactions
    from recommender.recommender import Recommender

# Customers asked at most: standard errors of a few ten-thousandths, and minutes for the largest shop.
MOST_CUSTOMERS = 5_000


def evaluate(
    recommender: "Recommender",
    train: "Interactions",
    test: "Interactions",
    k: int = 12,
    *,
    baselines: Sequence[Baseline] | None = None,
) -> EvaluationReport:
    """Ask for every customer of both parts and compare the lists with what they then chose that was new to them.

    Full ranking: every item may be recommended but those in the customer's history. Items that nobody chose in
    `train` are cold; cold and warm choices are also ranked each among their own kind.

    Parameters
    ----------
    recommender
        Trained on `train` and nothing later.
    train, test
        The events before and after a moment, rows as in the recommender's bundle.
    k
        Length of the lists.
    baselines
        What to compare with beside the product's own parts; None: `standard`, fitted on `train`.

    Returns
    -------
    EvaluationReport
        With no query in it if no customer of `train` chose anything new in `test`.
    """
    n = recommender.n
    queries = Queries.of(train, test, n, limit=MOST_CUSTOMERS)
    if baselines is None:
        baselines = standard(train, n) if len(queries) else []
    warm = chosen(train, n)
    kinds: dict[str, Mask | None] = {"all": None, "cold": ~warm, "warm": warm}
    popularity = Popularity(train, n).counts
    contenders = [*of_product(recommender), *of_baselines(baselines)]
    measured = [
        _measure(contender, queries, k, kinds, popularity)
        for contender in progress(contenders, "evaluation", len(contenders), "ranker")
    ]
    return EvaluationReport(k, queries.customers, tuple(measured), _facts(queries, test, warm))


def _measure(
    contender: Contender,
    queries: Queries,
    k: int,
    kinds: dict[str, Mask | None],
    popularity: metrics.Floats,
) -> Measured:
    started = perf_counter()
    values, lists = {}, np.empty((0, k), np.int32)
    for kind, candidates in kinds.items():
        relevant = queries.relevant_among(candidates)
        asked = np.flatnonzero(np.diff(relevant.indptr))
        rows = np.full((len(queries), k), -1, np.int32)
        if len(asked):
            rows[asked] = contender.rank(queries[asked], k, candidates)
        values[kind] = metrics.measure(rows, relevant)
        lists = rows if candidates is None else lists
    n = len(popularity)
    seconds = perf_counter() - started
    spread, surprise = metrics.coverage(lists, n), metrics.novelty(lists, popularity)
    return Measured(contender.name, contender.group, values, spread, surprise, seconds)


def _facts(queries: Queries, test: "Interactions", warm: Mask) -> dict[str, Any]:
    choices = queries.relevant.nnz
    cold = queries.relevant_among(~warm).nnz
    first = test.frame["timestamp"].min() if len(test.frame) else None
    return {
        "n": len(warm),
        "cuts": [] if first is None else [first.isoformat()],
        "choices": int(choices),
        "cold_share": round(cold / max(choices, 1), 4),
    }
