"""The report of a bundle: data quality, training, evaluation and examples as one HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.evaluation.ablation_text import ALL_PRODUCTS, TERMS
from recommender.evaluation.comparison import earlier_evaluated, metric_differences
from recommender.evaluation.data_quality import data_quality, missing_parts
from recommender.evaluation.headline import BEST_SELLERS, headline, label_precision_of, unmeasured
from recommender.evaluation.latency import latency
from recommender.evaluation.metrics import RANKING
from recommender.evaluation.table import GROUPS, all_ahead, full_name, new_product_lines
from recommender.events import Event
from recommender.pages import charts, examples
from recommender.pages.comparison_page import difference_rows
from recommender.pages.render import write_page

if TYPE_CHECKING:
    from recommender.recommender import Recommender

_OTHER_METRICS = tuple(name for name in RANKING if name != "recall")
_BEYOND_ACCURACY = ("coverage", "novelty", "diversity", "popular_share", "cold_share")
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
        answers=headline(recommender),
        proof=_proof(evaluation),
        unmeasured=unmeasured(metrics),
        **_earlier(recommender),
        labels=_labels(metrics),
        weights_source=_weights_source(metrics),
        seconds=metrics.get("seconds", {}),
        curves=list(_curves(metrics)),
        evaluation=evaluation,
        rankers=_rankers(evaluation),
        groups=GROUPS,
        ahead=all_ahead(evaluation),
        new_product_lines=new_product_lines(evaluation),
        other_metrics=_OTHER_METRICS,
        beyond_accuracy=_BEYOND_ACCURACY,
        slices=ablation,
        parts=_parts(ablation, len(recommender), missing_parts(recommender)),
        terms=TERMS,
        recall=recall,
        operating_points=_operating_points(recall),
        latency=latency(recommender).to_dict(),
        products=examples.products(recommender),
        users=examples.users(recommender, histories),
        synthetic=histories is None,
    )


def _earlier(recommender: "Recommender") -> dict[str, Any]:
    """Return the paired differences from the fit before, and its name; none where there is no earlier one."""
    name = earlier_evaluated(recommender)
    if name is None:
        return {"earlier": None, "differences": []}
    from recommender.recommender import load

    metrics, _ = metric_differences(load(recommender.bundle.root, generation=name), recommender)
    return {"earlier": name, "differences": difference_rows(metrics)}


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
            "name": full_name(name, ranker),
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
    return "hybrid is better" if low > 0 else "hybrid is WORSE" if high < 0 else "unclear"


def _proof(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the hit rates of the hybrid and of best sellers as bars, for the first answer."""
    rankers = evaluation.get("rankers", {})
    named = {"Recommendations": rankers.get("hybrid"), "Best sellers": rankers.get(BEST_SELLERS)}
    figures = {name: ranker["all"]["hit_rate"] for name, ranker in named.items() if ranker}
    maximum = max((figure["high"] or 0 for figure in figures.values()), default=0)
    return [{"name": name, **figure, "bar": charts.interval(figure, maximum)} for name, figure in figures.items()]


def _parts(ablation: Mapping[str, Any], products: int, missing: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return one row per term of the score: who has it, and the share of recall lost without it, in words."""
    whole = ablation.get(ALL_PRODUCTS)
    if not whole or not whole["recall"]["mean"]:
        return []
    shares = {
        term: {name: None if value is None else value / whole["recall"]["mean"] for name, value in drop.items()}
        for term, drop in whole["recall_drop"].items()
    }
    extent = max(
        (abs(value) for share in shares.values() for value in share.values() if value is not None), default=0
    )
    return [
        {
            "name": TERMS.get(term, term),
            "known": None if term not in missing else 1 - missing[term] / max(products, 1),
            **share,
            "bar": charts.difference(share, extent),
            "verdict": _value(share),
        }
        for term, share in shares.items()
    ]


def _value(share: Mapping[str, float | None]) -> str:
    low, high = share["low"], share["high"]
    if low is None or high is None:
        return "not measured"
    return "helps" if low > 0 else "harms" if high < 0 else "shows no effect"


def _labels(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per held-out attribute: precision of similar products, as a bar, and chance."""
    found = label_precision_of(metrics)
    bars = {
        name: {"mean": row["precision"], "low": row["low"], "high": row["high"]} for name, row in found.items()
    }
    return [{"name": name, **row, "bar": charts.interval(bars[name], 1.0)} for name, row in found.items()]


def _weights_source(metrics: Mapping[str, Any]) -> str:
    """Return what the weights come from."""
    training = metrics.get("training", {})
    if training.get("tuning", {}).get("user", {}).get("cases"):
        return "Tuned on what shoppers chose later."
    if training.get("masked_attributes"):
        return "Chosen so that similar products share attributes that were hidden from the model."
    return "Defaults: nothing was learned."


def _operating_points(recall: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the recall of the index at each operating point that the build measured."""
    return [
        {"queries": _QUERIES[kind], **point} for kind, curve in recall.get("curves", {}).items() for point in curve
    ]
