"""Answer three questions of a merchant: better than best sellers, new products shown, which data to fix first."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from recommender.evaluation.data_quality import PARTS, missing_parts

if TYPE_CHECKING:
    from recommender.recommender import Recommender

BETTER, NEW, FIX = "Is it better than best sellers?", "Do new products get shown?", "Which data to fix first?"
BEST_SELLERS = "popularity"  # the row of an evaluation
_COMPLETE = "Nothing is missing: all {products:,} products have a photo, a text and a category."


@dataclass(frozen=True)
class HeadlineAnswer:
    """One question of a merchant, answered in one sentence.

    Attributes
    ----------
    question
        `BETTER`, `NEW` or `FIX`.
    sentence
        The answer, with its figures.
    figures
        The same as numbers, shares in [0, 1]; empty where it was not measured.
    good
        Whether the answer is a good one; None where that is not shown, or was not measured.
    """

    question: str
    sentence: str
    figures: Mapping[str, float]
    good: bool | None = None


def with_headline(recommender: "Recommender") -> dict[str, Any]:
    """Return the metrics of a bundle and its answers as ``headline``: what ``recommender evaluate`` prints."""
    return recommender.manifest.metrics | {"headline": [asdict(answer) for answer in headline(recommender)]}


def headline(recommender: "Recommender") -> list[HeadlineAnswer]:
    """Return the three answers of a bundle: from its published evaluation, and from its products of today."""
    metrics = recommender.manifest.metrics
    missing = missing_parts(recommender)
    return [
        better_than_best_sellers(metrics),
        new_products(metrics),
        fix_first(metrics, len(recommender), missing),
    ]


def better_than_best_sellers(metrics: Mapping[str, Any]) -> HeadlineAnswer:
    """Tell how many of 100 shoppers find something they later chose, beside a list of best sellers.

    Parameters
    ----------
    metrics
        Of a manifest.

    Returns
    -------
    HeadlineAnswer
        ``found`` and ``best_sellers``: hit rates at k. ``lead``, ``low`` and ``high``: the paired difference with
        its 95 % interval.
    """
    evaluation = metrics.get("evaluation") or {}
    rankers = evaluation.get("rankers", {})
    found, other = (rankers.get(name, {}).get("all", {}).get("hit_rate") for name in ("hybrid", BEST_SELLERS))
    if not found or not other or found["mean"] is None:
        return HeadlineAnswer(BETTER, f"Not measured: {unmeasured(metrics)}{_by_labels(metrics)}.", {})
    lead, k = other["hybrid_lead"], evaluation["k"]
    good = True if lead["low"] > 0 else False if lead["high"] < 0 else None
    verdict = {True: "Yes", False: "No, worse", None: "Not shown"}[good]
    sentence = (
        f"{verdict}: of 100 shoppers {_hundred(found['mean'])} find something they later chose among {k} "
        f"recommendations, {_hundred(other['mean'])} among {k} best sellers; the difference is "
        f"{_hundred(lead['mean'], '+')} (95 % interval {_hundred(lead['low'], '+')} to "
        f"{_hundred(lead['high'], '+')}, {evaluation['users']:,} shoppers)."
    )
    figures = {"found": found["mean"], "best_sellers": other["mean"], "lead": lead["mean"]}
    return HeadlineAnswer(BETTER, sentence, figures | {name: lead[name] for name in ("low", "high")}, good)


def new_products(metrics: Mapping[str, Any]) -> HeadlineAnswer:
    """Tell which share of the places new products get, beside their share of the range and of later choices.

    Parameters
    ----------
    metrics
        Of a manifest.

    Returns
    -------
    HeadlineAnswer
        ``places``, ``range`` and ``chosen``: shares of the products without an event before the split.
    """
    evaluation = metrics.get("evaluation") or {}
    places = evaluation.get("rankers", {}).get("hybrid", {}).get("cold_share")
    if not evaluation.get("queries"):
        return HeadlineAnswer(NEW, f"Not measured: {unmeasured(metrics)}.", {})
    if places is None or "cold_product_share" not in evaluation:
        return HeadlineAnswer(NEW, "Not measured by the version that fitted this bundle: fit it again.", {})
    figures = {"places": places, "range": evaluation["cold_product_share"], "chosen": evaluation["cold_share"]}
    if not figures["range"]:
        return HeadlineAnswer(NEW, "All products had events before the evaluation: none was new (0 %).", figures)
    good = places >= figures["chosen"]
    verdict = "Yes" if good else "Too rarely" if round(places, 3) else "No"
    sentence = (
        f"{verdict}: products without earlier events get {_percent(places)} of the recommended places; they are "
        f"{_percent(figures['range'])} of the range and {_percent(figures['chosen'])} of what shoppers chose next."
    )
    return HeadlineAnswer(NEW, sentence, figures, good)


def fix_first(metrics: Mapping[str, Any], products: int, missing: Mapping[str, int]) -> HeadlineAnswer:
    """Name what most products lack: photos, texts or categories; and events first where there are none.

    Parameters
    ----------
    metrics
        Of a manifest.
    products
        Their number.
    missing
        Part to the number of products without it, see `missing_parts`.

    Returns
    -------
    HeadlineAnswer
        Part to the share of products without it.
    """
    figures = {part: count / max(products, 1) for part, count in missing.items()}
    part = max(missing, key=lambda name: missing[name])  # of equal ones the first
    plural, one = PARTS[part]
    lacking = f"{missing[part]:,} of {products:,} products ({_percent(figures[part])}) have no {one}"
    if not has_events(metrics):
        rest = f"; then {plural.lower()}: {lacking}." if missing[part] else "."
        return HeadlineAnswer(
            FIX, f"Events: 0 were read, so nothing is learned from shoppers{rest}", figures, False
        )
    if not missing[part]:
        return HeadlineAnswer(FIX, _COMPLETE.format(products=products), figures, True)
    return HeadlineAnswer(FIX, f"{plural}: {lacking}.", figures, False)


def has_events(metrics: Mapping[str, Any]) -> bool:
    """Return whether the bundle has learned from any event."""
    return bool(metrics.get("training", {}).get("until")) or bool((metrics.get("evaluation") or {}).get("queries"))


def unmeasured(metrics: Mapping[str, Any]) -> str:
    """Return why a bundle has no evaluation, as the end of a sentence."""
    if metrics.get("warm_start"):
        return "a warm start is evaluated by full fits alone"
    if not has_events(metrics):
        return "there are no events"
    return "too few events; it takes shoppers with events before and after a split"


def label_precision_of(metrics: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    """Return by held-out attribute how often similar products share it, and would by chance; or {}."""
    found: Mapping[str, Mapping[str, float]] = metrics.get("training", {}).get("label_precision") or {}
    return found


def label_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return a line for each held-out attribute: how many of 10 similar products share it, and would by chance."""
    return [
        f"{name.replace('_', ' '):20} shared by {10 * row['precision']:4.1f} of 10 similar products, "
        f"{10 * row['chance']:4.1f} by chance"
        for name, row in label_precision_of(metrics).items()
    ]


def _by_labels(metrics: Mapping[str, Any]) -> str:
    """Return what is known without events: how many neighbours share the attribute that most products have."""
    found = label_precision_of(metrics)
    if not found:
        return ""
    name = max(found, key=lambda label: found[label]["queries"])
    precision, chance = found[name]["precision"], found[name]["chance"]
    return (
        f". Of 10 similar products {10 * precision:.1f} share the {name.replace('_', ' ')}, which was "
        f"hidden; {10 * chance:.1f} would by chance"
    )


def _hundred(share: float, sign: str = "") -> str:
    return f"{100 * share:{sign}.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
