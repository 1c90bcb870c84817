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
_INTERVAL, _MANY = 1.96, 3.0  # standard errors
_LISTED = 3


def describe_ablation(ablation: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each part of the score: how much of recall it brings, and where.

    Parameters
    ----------
    ablation
        See `recommender.evaluation.ablation`. Over all products a part is said to bring what recall loses without
        it where the 95 % interval leaves out 0. Of slices, many are looked at, and some would seem to gain by
        chance: there the loss must be three standard errors.
    """
    if WHOLE not in ablation:
        return {}
    return {term: _sentence(term, ablation) for term in ablation[WHOLE]["lost"]}


def _sentence(term: str, ablation: Mapping[str, Any]) -> str:
    told = _share(ablation[WHOLE], term, _INTERVAL)
    first = f"{PARTS.get(term, term)} {_phrase(told, term in _PLURAL)} the recall over all products"
    others = {name: _share(each, term, _MANY) for name, each in ablation.items() if name != WHOLE}
    helps = sorted(
        (name for name, share in others.items() if share and share > 0), key=lambda n: -(others[n] or 0)
    )
    costs = [name for name, share in others.items() if share and share < 0]
    details = [f"{others[name]:.0%} in {_plain(name)}" for name in helps[:_LISTED]]
    details += [f"it costs {-(others[name] or 0):.0%} in {_plain(name)}" for name in costs[:_LISTED]]
    silent = [_plain(name) for name, share in others.items() if share is None]
    if silent and (details or told):
        details.append(f"nothing shown in {' and '.join(silent[:2])}")
    return f"{first}{': ' if details else ''}{', '.join(details)}."


def _phrase(share: float | None, plural: bool) -> str:
    if share is None:
        return f"{'are' if plural else 'is'} not shown to bring any of"
    if share > 0:
        return f"{'bring' if plural else 'brings'} {share:.0%} of"
    return f"{'cost' if plural else 'costs'} {-share:.0%} of"


def _share(figures: Mapping[str, Any], term: str, errors: float) -> float | None:
    """Return the share of recall that goes without the part; None unless it is so many standard errors from 0."""
    lost, recall = figures["lost"].get(term), figures["recall"]["mean"]
    if lost is None or not recall:
        return None
    error = (lost["high"] - lost["low"]) / (2 * _INTERVAL)
    shown = not lost["low"] <= 0 <= lost["high"] and abs(lost["mean"]) >= errors * error
    return float(lost["mean"] / recall) if shown else None


def _plain(name: str) -> str:
    return name.rpartition(": ")[2]
