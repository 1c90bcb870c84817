"""Measure a recommender on what customers chose after it was trained, beside its parts and the baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from recommender.core.blocks import Float, unit
from recommender.evaluation import beyond_accuracy, metrics
from recommender.evaluation.ablation import ablation
from recommender.evaluation.baselines import Baseline, Popularity, standard
from recommender.evaluation.queries import Mask, Queries, chosen
from recommender.evaluation.rankers import CONTENT, Ranker, baseline_rankers, recommender_rankers
from recommender.evaluation.ranking_task import Map, Ranked, RankingTask
from recommender.evaluation.report import EvaluationReport, Measured
from recommender.evaluation.slices import slices

if TYPE_CHECKING:
    from recommender.catalog import Interactions
    from recommender.recommender import Recommender

# Customers asked at most: standard errors of a few ten-thousandths, and minutes for the largest shop.
MAX_USERS = 5_000


def evaluate(
    recommender: "Recommender",
    train: "Interactions",
    test: "Interactions",
    k: int = 12,
    *,
    baselines: Sequence[Baseline] | None = None,
    run: Map = map,
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
    run
        Maps a function over parts of the customers, in their order, as `map` does; on a cluster:
        `recommender.batch.on_ray.map_on_ray`.

    Returns
    -------
    EvaluationReport
        With no query in it if no customer of `train` chose anything new in `test`; otherwise its facts hold what
        each part of the score is worth, see `ablation`.
    """
    queries = Queries.of(train, test, recommender.n, limit=MAX_USERS)
    if baselines is None:
        baselines = standard(train, recommender.n) if len(queries) else []
    report = compare(recommender, queries, train, baselines, [k], run)[0]
    first = test.frame["timestamp"].min() if len(test.frame) else None
    told: dict[str, Any] = {"cuts": [] if first is None else [first.isoformat()]}
    if len(queries):
        told["ablation"] = ablation(recommender, queries, slices(recommender, train), k, run)
    return replace(report, facts={**report.facts, **told})


def compare(
    recommender: "Recommender",
    queries: Queries,
    train: "Interactions",
    baselines: Sequence[Baseline],
    cutoffs: Sequence[int],
    run: Map = map,
) -> list[EvaluationReport]:
    """Rank once for every query, and report on the lists at each cutoff.

    Parameters
    ----------
    queries
        Their histories may hold more than `train` does.
    train
        What the recommender and the baselines learned from: an item that nobody chose in it is cold.
    cutoffs
        Lengths of the lists.
    run
        See `evaluate`.

    Returns
    -------
    list of EvaluationReport
        One per cutoff.
    """
    warm = chosen(train, recommender.n)
    kinds: dict[str, Mask | None] = {"all": None, "cold": ~warm, "warm": warm}
    relevant = {kind: queries.relevant_among(candidates) for kind, candidates in kinds.items()}
    rankers = [*recommender_rankers(recommender), *baseline_rankers(baselines)]
    ranked = [*zip(rankers, RankingTask(rankers, kinds, max(cutoffs)).of(queries, run), strict=True)]
    popularity = Popularity(train, recommender.n).counts
    content = _content(recommender)
    choices, cold = relevant["all"].nnz, relevant["cold"].nnz
    share = round(cold / max(choices, 1), 4)
    facts = {"n": recommender.n, "cuts": [], "choices": int(choices), "cold_share": share}
    return [
        EvaluationReport(
            k, queries.customers, tuple(_measured(*one, relevant, popularity, content, k) for one in ranked), facts
        )
        for k in cutoffs
    ]


def _content(recommender: "Recommender") -> Float:
    """Return the content blocks of all products side by side, or all blocks if there are none: norm 1, (n, d)."""
    layout = recommender.layout
    names = [name for name in CONTENT if name in layout.names] or layout.names
    return unit(np.hstack([recommender.segment.vectors[:, layout.slices[name]] for name in names]))


def _measured(
    ranker: Ranker,
    ranked: Ranked,
    relevant: Mapping[str, csr_array],
    popularity: metrics.Floats,
    content: Float,
    k: int,
) -> Measured:
    lists = {kind: rows[:, :k] for kind, rows in ranked.lists.items()}
    return Measured(
        ranker.name,
        ranker.group,
        {kind: metrics.measure(rows, relevant[kind]) for kind, rows in lists.items()},
        metrics.coverage(lists["all"], len(popularity)),
        metrics.novelty(lists["all"], popularity),
        beyond_accuracy.diversity(lists["all"], content),
        beyond_accuracy.popular_share(lists["all"], popularity),
        ranked.seconds,
    )
