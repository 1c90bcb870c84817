"""An ablation in plain words: what photos, texts and the rest add, where it is shown and where it is not."""

from collections.abc import Mapping
from typing import Any

PARTS = {
    "image": "Photos",
    "text": "Texts",
    "category": "Categories",
    "behaviour": "The model of how people shop",
    "cooccurrence": "What is chosen together",
    "prior": "Popularity",
}
_PLURAL = ("image", "text", "category")
WHOLE = "all products"


def in_words(ablation: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each part of the score: what it adds to recall, and where.

    Parameters
    ----------
    ablation
        See `recommender.evaluation.ablation`. A part adds something where the 95 % interval of what recall loses
        without it lies above 0.
    """
    if WHOLE not in ablation:
        return {}
    return {term: _sentence(term, ablation) for term in ablation[WHOLE]["lost"]}


def _sentence(term: str, ablation: Mapping[str, Any]) -> str:
    told = _said(ablation[WHOLE], term)
    first = f"{PARTS.get(term, term)} {_phrase(told, term in _PLURAL)} recall over all products"
    others = {name: _said(figures, term) for name, figures in ablation.items() if name != WHOLE}
    helps = sorted((name for name, gain in others.items() if gain and gain > 0), key=lambda n: -(others[n] or 0))
    hurts = [name for name, gain in others.items() if gain and gain < 0]
    details = [f"{others[name]:.0%} in {_plain(name)}" for name in helps[:3]]
    details += [f"it costs {-(others[name] or 0):.0%} in {_plain(name)}" for name in hurts[:2]]
    silent = [_plain(name) for name, gain in others.items() if gain is None]
    if silent and (details or told):
        details.append(f"nothing shown in {' and '.join(silent[:2])}")
    return f"{first}{': ' if details else ''}{', '.join(details)}."


def _phrase(gain: float | None, plural: bool) -> str:
    if gain is None:
        return f"{'are' if plural else 'is'} not shown to add to"
    if gain > 0:
        return f"{'add' if plural else 'adds'} {gain:.0%} to"
    return f"{'take' if plural else 'takes'} {-gain:.0%} from"


def _said(figures: Mapping[str, Any], term: str) -> float | None:
    """Return by what share recall is higher with the part than without; None where the interval holds 0."""
    lost, recall = figures["lost"].get(term), figures["recall"]["mean"]
    if lost is None or lost["mean"] is None or lost["low"] <= 0 <= lost["high"]:
        return None
    rest = recall - lost["mean"]
    return float(lost["mean"] / rest) if rest > 0 else 1.0


def _plain(name: str) -> str:
    return name.rpartition(": ")[2]
