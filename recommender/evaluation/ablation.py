"""Ablation of the score: recall with all its terms against recall without one, by slice of the catalogue."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recommender.core.blocks import Mask, Rows
from recommender.evaluation import frames, metrics
from recommender.evaluation.ablation_text import describe_ablation
from recommender.evaluation.bootstrap import Interval, bootstrap
from recommender.evaluation.queries import Queries
from recommender.evaluation.rankers import ablated_rankers
from recommender.evaluation.ranking_task import MapFunction, RankingTask

if TYPE_CHECKING:
    from recommender.recommender import Recommender

MIN_QUERIES = 20  # of a slice; an interval over fewer is too wide to be of use


@dataclass(frozen=True)
class Ablation(Mapping[str, Mapping[str, Any]]):
    """Recall of each slice of the catalogue, and the recall lost without each term of the score.

    Attributes
    ----------
    slices
        Slice to ``queries``, ``interactions``, ``recall`` and ``recall_drop``: term to the interval of the paired
        difference. Intervals are dicts of ``mean``, ``low`` and ``high``.
    """

    slices: Mapping[str, Mapping[str, Any]]

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return self.slices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.slices)

    def __len__(self) -> int:
        return len(self.slices)

    def to_dict(self) -> dict[str, Any]:
        """Return what a manifest holds."""
        return dict(self.slices)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per slice and term, see `recommender.evaluation.frames.ablation`."""
        return frames.ablation({"ablation": self.slices})

    def describe(self) -> dict[str, str]:
        """Return one sentence per term, see `describe_ablation`."""
        return describe_ablation(self.slices)

    def _repr_html_(self) -> str:
        return str(self.to_frame().round(4).to_html())


def ablation(
    recommender: "Recommender",
    queries: Queries,
    slices: Mapping[str, Mask],
    k: int,
    run: MapFunction = map,
    ranked: Mapping[str, Rows] | None = None,
) -> Ablation:
    """Measure recall@k with the whole score and without each of its terms, per slice.

    Every list ranks all products; in a slice, only interactions with its products are relevant. Slices with fewer
    than `MIN_QUERIES` queries are left out.

    Parameters
    ----------
    recommender
        Trained on the events before the split.
    queries
        Users with their held-out interactions.
    slices
        Name to mask (n,), such as `recommender.evaluation.slices.slices`; "all products" first.
    k
        Length of the lists.
    run
        See `recommender.evaluation.evaluate`.
    ranked
        Lists of rankers that ranked the queries before, by their names; they are not made again.

    Returns
    -------
    Ablation
        By slice.
    """
    rankers, ranked = ablated_rankers(recommender), dict(ranked or {})
    missing = [ranker for ranker in rankers.values() if ranker.name not in ranked]
    results = RankingTask(missing, {"all": None}, k).run(queries, run, "ablation") if missing else []
    ranked |= {ranker.name: result.lists["all"] for ranker, result in zip(missing, results, strict=True)}
    lists = {term: ranked[ranker.name] for term, ranker in rankers.items()}
    measured = {name: _slice(lists, queries, mask) for name, mask in slices.items()}
    return Ablation({name: row for name, row in measured.items() if row["queries"] >= MIN_QUERIES})


def _slice(lists: Mapping[str, Rows], queries: Queries, mask: Mask) -> dict[str, Any]:
    relevant = queries.relevant_among(mask)
    count = metrics.counts(relevant)
    whole, *ablated = (metrics.recall(metrics.hits(rows, relevant), count) for rows in lists.values())
    values = np.column_stack([whole, *(whole - recall for recall in ablated)])
    recall, *drops = bootstrap(values, queries.user_ids)
    terms = list(lists)[1:]
    return {
        "queries": int((count > 0).sum()),
        "interactions": int(relevant.nnz),
        "recall": _rounded(recall),
        "recall_drop": {term: _rounded(interval) for term, interval in zip(terms, drops, strict=True)},
    }


def _rounded(interval: Interval) -> dict[str, float | None]:
    bounds = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {name: None if np.isnan(value) else round(value, 5) for name, value in bounds.items()}
