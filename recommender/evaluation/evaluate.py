"""Evaluate a recommender on held-out interactions, next to its components alone and baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recommender.bundle.delta import REFRESH
from recommender.core.blocks import Float, Mask, unit
from recommender.errors import DataError
from recommender.evaluation import beyond_accuracy, metrics
from recommender.evaluation.ablation import ablation
from recommender.evaluation.baselines import Baseline, Popularity
from recommender.evaluation.queries import Queries, warm_items
from recommender.evaluation.rankers import CONTENT, Ranker, baseline_rankers, recommender_rankers
from recommender.evaluation.ranking_task import MapFunction, RankedLists, RankingTask
from recommender.evaluation.report import EvaluationReport, RankerMetrics
from recommender.evaluation.slices import slices
from recommender.evaluation.standard_baselines import standard_baselines

if TYPE_CHECKING:
    from recommender.catalog import Interactions
    from recommender.recommender import Recommender

Ranked: TypeAlias = list[tuple[Ranker, RankedLists]]

# Standard errors of a few ten-thousandths, in minutes for the largest shop.
MAX_USERS = 5_000


def evaluate(
    recommender: "Recommender",
    train: "Interactions",
    test: "Interactions",
    k: int = 12,
    *,
    baselines: Sequence[Baseline] | None = None,
    include_history: bool = False,
    in_sample: bool = False,
    run: MapFunction = map,
) -> EvaluationReport:
    """Measure the top-k lists of every user of both parts against the new items of their test events.

    Full ranking: every item may be recommended but those in the user's history, unless this is included. Items
    without an event of positive weight in `train` are cold; cold and warm items are also ranked among themselves.

    Parameters
    ----------
    recommender
        Trained on `train` and nothing later.
    train, test
        The events before and after the split, rows as in the recommender's bundle.
    k
        Length of the lists.
    baselines
        To compare with, beside the recommender's own components; None: `standard_baselines`, fitted on `train`.
    include_history
        Whether items of the history may be recommended, and count where they are chosen again.
    in_sample
        Whether to measure on events that the recommender has learned from, too; the report says so.
    run
        Maps a function over partitions of the queries, in their order, as `map` does; on a cluster:
        `recommender.batch.on_ray.Cluster.map`.

    Returns
    -------
    EvaluationReport
        Without queries if no user of `train` has a new item in `test`; otherwise with an ablation of the score.

    Raises
    ------
    DataError
        If the recommender has learned from events as late as some of `test`, without `in_sample`.
    """
    seen = _seen(recommender, test)
    if seen and not in_sample:
        raise DataError(seen)
    queries = Queries.of(train, test, recommender.n, MAX_USERS, include_history)
    if baselines is None:
        baselines = standard_baselines(train, recommender.n, include_history) if len(queries) else []
    ranked = _ranked(recommender, queries, train, baselines, k, run)
    report = _report(recommender, queries, train, ranked, k)
    dates = [test.frame["timestamp"].min().isoformat()] if len(test.frame) else []
    ablated = None
    if len(queries):
        lists = {ranker.name: result.lists["all"] for ranker, result in ranked}
        ablated = ablation(recommender, queries, slices(recommender, train), k, run, lists)
    return replace(report, split_dates=tuple(dates), ablation=ablated, in_sample=bool(seen))


def _seen(recommender: "Recommender", test: "Interactions") -> str:
    """Return an error message if the recommender has learned from events as late as some of `test`, else ""."""
    manifest = recommender.manifest
    counted = manifest.extra.get(REFRESH, {}).get("events", {})
    learned = (manifest.metrics.get("training", {}).get("until"), counted.get("until"))
    until = max((pd.Timestamp(moment) for moment in learned if moment), default=None)
    count = 0 if until is None else int((test.frame["timestamp"] <= until).sum())
    if not count:
        return ""
    return (
        f"the recommender has learned from events until {until}, and {count:,} of {len(test):,} test events are "
        "no later: their figures would be too high. Evaluate on later events, or fit on the earlier ones alone, "
        "as `recommender evaluate --config` does; in_sample=True measures all the same, and the report says so"
    )


def compare(
    recommender: "Recommender",
    queries: Queries,
    train: "Interactions",
    baselines: Sequence[Baseline],
    cutoffs: Sequence[int],
    run: MapFunction = map,
) -> list[EvaluationReport]:
    """Rank all queries once, and report the metrics at each cutoff.

    Parameters
    ----------
    recommender
        Compared with its components and the baselines.
    queries
        Their histories may hold more than `train` does.
    train
        What the recommender and the baselines were trained on: items without an event in it are cold.
    baselines
        Fitted.
    cutoffs
        Lengths of the lists.
    run
        See `evaluate`.

    Returns
    -------
    list of EvaluationReport
        One per cutoff.
    """
    ranked = _ranked(recommender, queries, train, baselines, max(cutoffs), run)
    return [_report(recommender, queries, train, ranked, k) for k in cutoffs]


def _candidates(train: "Interactions", n: int) -> dict[str, Mask | None]:
    """Return the candidate sets that are ranked: all, cold and warm items."""
    warm = warm_items(train, n)
    return {"all": None, "cold": ~warm, "warm": warm}


def _ranked(
    recommender: "Recommender",
    queries: Queries,
    train: "Interactions",
    baselines: Sequence[Baseline],
    k: int,
    run: MapFunction,
) -> Ranked:
    """Return each ranker with its lists."""
    rankers = [*recommender_rankers(recommender), *baseline_rankers(baselines)]
    lists = RankingTask(rankers, _candidates(train, recommender.n), k).run(queries, run)
    return [*zip(rankers, lists, strict=True)]


def _report(
    recommender: "Recommender", queries: Queries, train: "Interactions", ranked: Ranked, k: int
) -> EvaluationReport:
    """Return the metrics of lists at a cutoff."""
    candidates = _candidates(train, recommender.n)
    relevant = {name: queries.relevant_among(mask) for name, mask in candidates.items()}
    popularity, content = Popularity(train, recommender.n).counts, _content(recommender)
    cold = ~warm_items(train, recommender.n)
    return EvaluationReport(
        k=k,
        user_ids=queries.user_ids,
        rankers=tuple(
            _measured(ranker, lists, relevant, popularity, content, cold, k) for ranker, lists in ranked
        ),
        n=recommender.n,
        interactions=int(relevant["all"].nnz),
        cold_interactions=int(relevant["cold"].nnz),
        cold_products=int(cold.sum()),
        include_history=queries.include_history,
    )


def _content(recommender: "Recommender") -> Float:
    """Return the content blocks of all products side by side, or all blocks if there are none: norm 1, (n, d)."""
    layout = recommender.layout
    names = [name for name in CONTENT if name in layout.names] or layout.names
    return unit(np.hstack([recommender.segment.vectors[:, layout.slices[name]] for name in names]))


def _measured(
    ranker: Ranker,
    ranked: RankedLists,
    relevant: Mapping[str, csr_array],
    popularity: metrics.Floats,
    content: Float,
    cold: Mask,
    k: int,
) -> RankerMetrics:
    lists = {name: rows[:, :k] for name, rows in ranked.lists.items()}
    return RankerMetrics(
        ranker.name,
        ranker.group,
        {name: metrics.measure(rows, relevant[name]) for name, rows in lists.items()},
        beyond_accuracy.coverage(lists["all"], len(popularity)),
        beyond_accuracy.novelty(lists["all"], popularity),
        beyond_accuracy.diversity(lists["all"], content),
        beyond_accuracy.popular_share(lists["all"], popularity),
        ranked.seconds,
        ranker.detail,
        beyond_accuracy.cold_share(lists["all"], cold),
    )
