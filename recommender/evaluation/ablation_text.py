"""Describe an ablation in sentences: what share of recall each term of the score adds, and in which slices."""

from collections.abc import Mapping
from typing import Any

TERMS = {
    "image": "Photos",
    "text": "Texts",
    "category": "Categories",
    "behaviour": "The behaviour model",
    "cooccurrence": "Co-occurrence",
    "prior": "Popularity",
}
_PLURAL = ("image", "text", "category")
ALL_PRODUCTS = "all products"
_INTERVAL, _STRICT = 1.96, 3.0  # standard errors
_MAX_LISTED = 3


def describe_ablation(ablation: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each term of the score: how much of recall it adds, and in which slices.

    Over all products a term counts as useful where the 95 % interval of the recall lost without it excludes 0.
    Slices are many, so that some differ by chance: there the loss must be three standard errors.

    Parameters
    ----------
    ablation
        See `recommender.evaluation.ablation.Ablation`.
    """
    if ALL_PRODUCTS not in ablation:
        return {}
    return {term: _sentence(term, ablation) for term in ablation[ALL_PRODUCTS]["recall_drop"]}


def _sentence(term: str, ablation: Mapping[str, Any]) -> str:
    overall = _share(ablation[ALL_PRODUCTS], term, _INTERVAL)
    first = f"{TERMS.get(term, term)} {_phrase(overall, term in _PLURAL)} the recall over all products"
    others = {name: _share(row, term, _STRICT) for name, row in ablation.items() if name != ALL_PRODUCTS}
    gains = sorted(
        (name for name, share in others.items() if share and share > 0), key=lambda n: -(others[n] or 0)
    )
    losses = [name for name, share in others.items() if share and share < 0]
    details = [f"{others[name]:.0%} in {_short_name(name)}" for name in gains[:_MAX_LISTED]]
    details += [f"it costs {-(others[name] or 0):.0%} in {_short_name(name)}" for name in losses[:_MAX_LISTED]]
    unclear = [_short_name(name) for name, share in others.items() if share is None]
    if unclear and (details or overall):
        details.append(f"no significant effect in {' and '.join(unclear[:2])}")
    return f"{first}{': ' if details else ''}{', '.join(details)}."


def _phrase(share: float | None, plural: bool) -> str:
    if share is None:
        return f"{'have' if plural else 'has'} no significant effect on"
    if share > 0:
        return f"{'add' if plural else 'adds'} {share:.0%} of"
    return f"{'cost' if plural else 'costs'} {-share:.0%} of"


def _share(row: Mapping[str, Any], term: str, errors: float) -> float | None:
    """Return the share of recall lost without the term; None unless it is that many standard errors from 0."""
    drop, recall = row["recall_drop"].get(term), row["recall"]["mean"]
    if drop is None or not recall:
        return None
    error = (drop["high"] - drop["low"]) / (2 * _INTERVAL)
    significant = not drop["low"] <= 0 <= drop["high"] and abs(drop["mean"]) >= errors * error
    return float(drop["mean"] / recall) if significant else None


def _short_name(name: str) -> str:
    return name.rpartition(": ")[2]
