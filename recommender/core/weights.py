"""The weights of the score: learned ones, and how a request overrides them."""

from collections.abc import Mapping
from typing import Any

from recommender.core.blocks import BLOCKS, TERMS
from recommender.errors import RequestError, nearest
from recommender.towers.category import LEVEL

# The column whose first level may have weights of its own.
SPLIT = "product_type"


def category_kind(product_type: Any) -> str:
    """Return the kind of question that asks for what is like a product of this type; "item" if it has none.

    >>> category_kind("Apparel > Tops")
    'item: Apparel'
    """
    first = product_type[0] if isinstance(product_type, list | tuple) and product_type else product_type
    return f"item: {first.split(LEVEL)[0]}" if isinstance(first, str) and first else "item"


def item_kind(weights: Mapping[str, Any], product_type: Any) -> str:
    """Return the kind whose weights count for what is like a product: its category's own if it has some."""
    own = category_kind(product_type)
    return own if own in weights else "item"


def resolve(learned: Mapping[str, float], override: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the weights of one question.

    Names that the override leaves out keep their learned share. Block weights are normalised to sum 1, so
    that scores of different weightings stay on one scale.

    Parameters
    ----------
    learned
        Term name to weight, as training stored it.
    override
        Term name to weight, each at least 0; 'cooccurrence' and 'prior' are on the scale of the blocks' sum.

    Raises
    ------
    RequestError
        If a name is unknown or not in this bundle, a weight is negative or not finite, or all are 0.
    """
    if not override:
        return dict(learned)
    for name, value in override.items():
        _check(name, value, learned)
    merged = {**learned, **{name: float(value) for name, value in override.items()}}
    blocks = sum(value for name, value in merged.items() if name in BLOCKS)
    if sum(merged.values()) <= 0:
        raise RequestError("weights are all 0; at least one must be above 0", "/weights")
    if blocks <= 0:
        return merged
    return {name: value / blocks if name in BLOCKS else value for name, value in merged.items()}


def _check(name: str, value: float, learned: Mapping[str, float]) -> None:
    pointer = f"/weights/{name}"
    if name not in TERMS:
        raise RequestError(
            f"unknown weight {name!r}; expected one of {', '.join(TERMS)}", pointer, nearest(name, TERMS)
        )
    if name not in learned:
        raise RequestError(f"this bundle has no {name}; it was trained with {', '.join(learned)}", pointer)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise RequestError(f"weight {name} is {value!r}; expected a number of at least 0", pointer)
