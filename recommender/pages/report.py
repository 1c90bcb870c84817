"""The report of a bundle: data quality, training, evaluation and examples as one HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.evaluation.ablation_text import describe_ablation
from recommender.evaluation.data_quality import data_quality
from recommender.evaluation.latency import latency
from recommender.evaluation.metrics import RANKING
from recommender.evaluation.table import ahead
from recommender.events import Event
from recommender.pages import charts, examples
from recommender.pages.render import write_page

if TYPE_CHECKING:
    from recommender.recommender import Recommender

_OTHER_METRICS = tuple(name for name in RANKING if name != "recall")
_BEYOND_ACCURACY = ("coverage", "novelty", "diversity", "popular_share")
_QUERIES = {
    "learned": "learned weights",
    "other": "other weights",
    "single": "one term alone",
    "filtered": "half filtered out",
}


def write_report(
    recommender: "Recommender", out: Path, histories: Mapping[str, Sequence[Event]] | None = None
) -> None:
    """Write a report: data quality, training, every metric of the evaluation, latency, and examples.

    Parameters
    ----------
    recommender
        To report on.
    out
        A self-contained HTML file.
    histories
        Of real users, by id, as examples; by default synthetic ones.
    """
    metrics = recommender.manifest.metrics
    evaluation = metrics.get("evaluation") or {}
    ablation = evaluation.get("ablation") or {}
    recall = metrics.get("recall", {})
    write_page(
        out,
        "report.html",
        about=recommender.manifest,
        weights=recommender.weights,
        quality=data_quality(recommender),
        seconds=metrics.get("seconds", {}),
        curves=list(_curves(metrics)),
        evaluation=evaluation,
        rankers=_rankers(evaluation),
        ahead=ahead(evaluation),
        other_metrics=_OTHER_METRICS,
        beyond_accuracy=_BEYOND_ACCURACY,
        slices=ablation,
        sentences=describe_ablation(ablation),
        recall=recall,
        operating_points=_operating_points(recall),
        latency=latency(recommender).to_dict(),
        products=examples.products(recommender),
        users=examples.users(recommender, histories),
        synthetic=histories is None,
    )


def _curves(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the learning curves of a bundle: training losses and validation scores."""
    for name, stage in metrics.get("training", {}).items():
        if not isinstance(stage, Mapping):
            continue
        if stage.get("loss"):
            yield charts.line(f"{name}: loss", stage["loss"])
        if validation := stage.get("validation"):
            shares = [check["share"] for check in validation]
            yield charts.line(f"{name}: validation recall", [check["soft_recall"] for check in validation], shares)
    if validation := metrics.get("fine_tuning", {}).get("validation"):
        yield charts.line("fine-tuning: recall@10", [check["recall@10"] for check in validation])


def _rankers(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per ranker: its metrics, its interval as a bar, and the comparison with the hybrid."""
    rankers = evaluation.get("rankers", {})
    maximum = max((ranker["all"]["recall"]["high"] or 0 for ranker in rankers.values()), default=0)
    return [
        {
            "name": name,
            **ranker,
            "bar": charts.interval(ranker["all"]["recall"], maximum),
            "comparison": _comparison(ranker["all"]["recall"]["hybrid_lead"])
            if ranker["group"] != "recommender"
            else "",
        }
        for name, ranker in rankers.items()
    ]


def _comparison(lead: Mapping[str, float | None]) -> str:
    low, high = lead["low"], lead["high"]
    if low is None or high is None:
        return ""
    return "worse than the hybrid" if low > 0 else "better" if high < 0 else "no significant difference"


def _operating_points(recall: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the recall of the index at each operating point that the build measured."""
    return [
        {"queries": _QUERIES[kind], **point} for kind, curve in recall.get("curves", {}).items() for point in curve
    ]
