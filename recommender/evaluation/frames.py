"""A bundle's figures as frames, for notebooks."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from recommender.evaluation.ablation_text import WHOLE
from recommender.evaluation.metrics import RANKING

_BEYOND = ("coverage", "novelty", "diversity", "popular_share")


def rankers(evaluation: Mapping[str, Any], measure: str = "recall", kind: str = "all") -> pd.DataFrame:
    """Return a line for each way to rank: the measure, its 95 % interval, and by how much the engine exceeds it.

    Parameters
    ----------
    evaluation
        ``rec.manifest.metrics["evaluation"]``.
    measure
        recall, ndcg, hit_rate or mrr.
    kind
        What may be ranked: "all" products, or only those that were "cold" or "warm" before.
    """
    lines = {}
    for name, one in evaluation["rankers"].items():
        figure = one[kind][measure]
        ahead = figure["hybrid_lead"]
        lines[name] = {
            "is": one["group"],
            measure: figure["mean"],
            "low": figure["low"],
            "high": figure["high"],
            "engine ahead by": ahead["mean"],
            "at least": ahead["low"],
            "at most": ahead["high"],
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def beyond_accuracy(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return a line for each way to rank: every ranking measure, and what lists are like beside being right."""
    lines = {
        name: {measure: one["all"][measure]["mean"] for measure in RANKING} | {each: one[each] for each in _BEYOND}
        for name, one in evaluation["rankers"].items()
    }
    return pd.DataFrame.from_dict(lines, orient="index")


def ablation(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return a line for each slice of the catalogue and part of the score: what recall loses without the part.

    Returns
    -------
    DataFrame
        slice, part, customers, choices, recall, lost, low, high; "shown" where the interval leaves out 0.
    """
    lines = [
        {
            "slice": name,
            "part": part,
            "customers": told["queries"],
            "choices": told["choices"],
            "recall": told["recall"]["mean"],
            "lost": lost["mean"],
            "low": lost["low"],
            "high": lost["high"],
            "shown": lost["mean"] is not None and not lost["low"] <= 0 <= lost["high"],
        }
        for name, told in evaluation.get("ablation", {}).items()
        for part, lost in told["lost"].items()
    ]
    return pd.DataFrame(lines)


def slices(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return a line for each slice of the catalogue: how many chose there, and the engine's recall."""
    lines = {
        name: {"customers": one["queries"], "choices": one["choices"], **one["recall"]}
        for name, one in evaluation.get("ablation", {}).items()
    }
    frame = pd.DataFrame.from_dict(lines, orient="index").rename(columns={"mean": "recall"})
    return (
        frame.assign(whole=frame.index == WHOLE)
        .sort_values(["whole", "choices"], ascending=False)
        .drop(columns="whole")
    )
