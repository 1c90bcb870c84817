"""Evaluation metrics of a bundle as DataFrames, for notebooks; in-sample figures have a column that says so."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from recommender.evaluation.ablation_text import ALL_PRODUCTS
from recommender.evaluation.metrics import RANKING

_BEYOND_ACCURACY = ("coverage", "novelty", "diversity", "popular_share")


def rankers(evaluation: Mapping[str, Any], metric: str = "recall", candidates: str = "all") -> pd.DataFrame:
    """Return one row per ranker: the metric, its 95 % interval, and the hybrid's lead with its interval.

    Parameters
    ----------
    evaluation
        `EvaluationReport.to_dict`, or ``rec.manifest.metrics["evaluation"]``.
    metric
        recall, ndcg, hit_rate or mrr.
    candidates
        "all" products, or only those that were "cold" or "warm" before the split.
    """
    rows = {}
    for name, ranker in evaluation["rankers"].items():
        value = ranker[candidates][metric]
        lead = value["hybrid_lead"]
        rows[name] = {
            "group": ranker["group"],
            metric: value["mean"],
            "low": value["low"],
            "high": value["high"],
            "hybrid_lead": lead["mean"],
            "lead_low": lead["low"],
            "lead_high": lead["high"],
        }
    return _labelled(pd.DataFrame.from_dict(rows, orient="index"), evaluation)


def beyond_accuracy(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per ranker: every ranking metric, then coverage, novelty, diversity and popular_share.

    Parameters
    ----------
    evaluation
        See `rankers`.
    """
    rows = {
        name: {metric: ranker["all"][metric]["mean"] for metric in RANKING}
        | {metric: ranker[metric] for metric in _BEYOND_ACCURACY}
        for name, ranker in evaluation["rankers"].items()
    }
    return _labelled(pd.DataFrame.from_dict(rows, orient="index"), evaluation)


def ablation(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per slice of the catalogue and term of the score: the recall lost without the term.

    Parameters
    ----------
    evaluation
        See `rankers`.

    Returns
    -------
    DataFrame
        slice, term, queries, interactions, recall, recall_drop, low, high; "significant" where the interval
        excludes 0.
    """
    columns = ["slice", "term", "queries", "interactions", "recall", "recall_drop", "low", "high", "significant"]
    rows = [
        (
            name,
            term,
            row["queries"],
            row["interactions"],
            row["recall"]["mean"],
            drop["mean"],
            drop["low"],
            drop["high"],
            drop["mean"] is not None and not drop["low"] <= 0 <= drop["high"],
        )
        for name, row in evaluation.get("ablation", {}).items()
        for term, drop in row["recall_drop"].items()
    ]
    return _labelled(pd.DataFrame(rows, columns=columns), evaluation)


def slices(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per slice of the catalogue: its queries and held-out interactions, and the hybrid's recall.

    Parameters
    ----------
    evaluation
        See `rankers`.
    """
    rows = {
        name: {"queries": row["queries"], "interactions": row["interactions"], **row["recall"]}
        for name, row in evaluation.get("ablation", {}).items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename(columns={"mean": "recall"})
    frame = (
        frame.assign(whole=frame.index == ALL_PRODUCTS)
        .sort_values(["whole", "interactions"], ascending=False)
        .drop(columns="whole")
    )
    return _labelled(frame, evaluation)


def similar_items(figures: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per ranker and metric of `label_precision` or `pair_recall`.

    Parameters
    ----------
    figures
        What those return.

    Returns
    -------
    DataFrame
        ranker, metric, mean, std_error, lead_low, lead_high: the first ranker's lead as an interval.
    """
    rows = [
        (name, metric, value["mean"], value["std_error"], value["first_lead"]["low"], value["first_lead"]["high"])
        for name, values in figures.items()
        if isinstance(values, Mapping)
        for metric, value in values.items()
    ]
    return pd.DataFrame(rows, columns=["ranker", "metric", "mean", "std_error", "lead_low", "lead_high"])


def _labelled(frame: pd.DataFrame, evaluation: Mapping[str, Any]) -> pd.DataFrame:
    return frame.assign(in_sample=True) if evaluation.get("in_sample") else frame
