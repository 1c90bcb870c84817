"""A bundle in figures and pictures, as one page for people who do not open a notebook."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.evaluation.ablation_text import describe_ablation
from recommender.evaluation.data_quality import data_quality
from recommender.evaluation.latency import latency
from recommender.events import Event
from recommender.pages import charts, examples
from recommender.pages.render import write_page

if TYPE_CHECKING:
    from recommender.recommender import Recommender

_METRICS = ("recall", "ndcg", "hit_rate", "mrr")
_BEYOND = ("coverage", "novelty", "diversity", "popular_share")


def write_report(
    recommender: "Recommender", out: Path, histories: Mapping[str, Sequence[Event]] | None = None
) -> None:
    """Write a page with the health of the data, the training, every figure of the evaluation, and examples.

    Parameters
    ----------
    recommender
        Whose bundle.
    out
        An HTML file; it asks the network for nothing.
    histories
        Of real users, by id, to recommend to; by default some are made up.
    """
    metrics = recommender.manifest.metrics
    evaluation = metrics.get("evaluation") or {}
    ablation = evaluation.get("ablation") or {}
    write_page(
        out,
        "report.html",
        about=recommender.manifest,
        weights=recommender.weights,
        health=data_quality(recommender),
        seconds=metrics.get("seconds", {}),
        curves=list(_curves(metrics)),
        evaluation=evaluation,
        rankers=_contenders(evaluation),
        measures=_METRICS,
        beyond=_BEYOND,
        slices=ablation,
        words=describe_ablation(ablation),
        recall=metrics.get("recall", {}),
        searches=_searches(metrics.get("recall", {})),
        speed=latency(recommender),
        products=examples.products(recommender),
        shoppers=examples.shoppers(recommender, histories),
        made=histories is None,
    )


def _curves(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the curves that a bundle keeps: losses, and what a training was stopped by."""
    for name, told in metrics.get("training", {}).items():
        if not isinstance(told, Mapping):
            continue
        if told.get("loss"):
            yield charts.line(f"{name}: loss", told["loss"])
        if told.get("validation"):
            shares = [each["share"] for each in told["validation"]]
            yield charts.line(
                f"{name}: later choices found", [each["soft_recall"] for each in told["validation"]], shares
            )
    validation = metrics.get("fine_tuning", {}).get("validation", [])
    if validation:
        yield charts.line("fine-tuning: recall@10", [each["recall@10"] for each in validation])


def _contenders(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a line for each ranker: its figures, its interval as a bar, and who beats whom."""
    rankers = evaluation.get("rankers", {})
    most = max((one["all"]["recall"]["high"] or 0 for one in rankers.values()), default=0)
    return [
        {
            "name": name,
            **one,
            "bar": charts.interval(one["all"]["recall"], most),
            "verdict": _verdict(one["all"]["recall"]["hybrid_lead"]) if one["group"] == "baseline" else "",
        }
        for name, one in rankers.items()
    ]


def _verdict(ahead: Mapping[str, float | None]) -> str:
    low, high = ahead["low"], ahead["high"]
    if low is None or high is None:
        return ""
    return "the engine is better" if low > 0 else "it is better" if high < 0 else "no difference shown"


def _searches(recall: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the build tried of the index: how far it looks, and what it finds."""
    kinds = {
        "learned": "learned weights",
        "other": "other weights",
        "single": "one part alone",
        "filtered": "half filtered out",
    }
    return [{"asked": kinds[kind], **tried} for kind, curve in recall.get("curves", {}).items() for tried in curve]
