"""What each part of the score is worth: lists with all of it against lists without one, by slices."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.core.blocks import Mask, Rows
from recommender.evaluation import metrics
from recommender.evaluation.bootstrap import Interval, bootstrap
from recommender.evaluation.queries import Queries
from recommender.evaluation.rankers import without
from recommender.evaluation.ranking_task import Map, RankingTask

if TYPE_CHECKING:
    from recommender.recommender import Recommender

LEAST_QUERIES = 20  # of a slice; fewer say nothing


def ablation(
    recommender: "Recommender", queries: Queries, slices: Mapping[str, Mask], k: int, run: Map = map
) -> dict[str, Any]:
    """Ask once with the whole score and once without each of its parts.

    Every list ranks all products; in a slice, only choices of its products count.

    Parameters
    ----------
    recommender
        Trained on what went before.
    queries
        Customers and what they chose afterwards.
    slices
        Name to mask (n,), such as `recommender.evaluation.slices.slices`; "all products" first.
    k
        Length of the lists.
    run
        See `recommender.evaluation.evaluate`.

    Returns
    -------
    dict
        Slice to ``queries``, ``choices``, ``recall`` with its interval, and ``lost``: what recall@k loses without
        each part, as an interval of the paired difference. Slices of few queries are left out.
    """
    ways = without(recommender)
    found = RankingTask(ways, {"all": None}, k).of(queries, run, "ablation")
    lists = {one.name: ranked.lists["all"] for one, ranked in zip(ways, found, strict=True)}
    told = {name: _slice(lists, queries, mask) for name, mask in slices.items()}
    return {name: figures for name, figures in told.items() if figures["queries"] >= LEAST_QUERIES}


def _slice(lists: Mapping[str, Rows], queries: Queries, mask: Mask) -> dict[str, Any]:
    relevant = queries.relevant_among(mask)
    count = metrics.counts(relevant)
    whole, *others = (metrics.recall(metrics.hits(rows, relevant), count) for rows in lists.values())
    own, *lost = bootstrap(np.column_stack([whole, *(whole - other for other in others)]), queries.customers)
    names = list(lists)[1:]
    return {
        "queries": int((count > 0).sum()),
        "choices": int(relevant.nnz),
        "recall": _stated(own),
        "lost": {name: _stated(interval) for name, interval in zip(names, lost, strict=True)},
    }


def _stated(interval: Interval) -> dict[str, float | None]:
    figures = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {name: None if np.isnan(value) else round(value, 5) for name, value in figures.items()}
