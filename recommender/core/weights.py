"""The weights of the score: those tuned in training, overridden by a request."""

from collections.abc import Mapping
from typing import Any

from recommender.core.blocks import BLOCKS, TERMS
from recommender.errors import RequestError, nearest
from recommender.towers.category import LEVEL

# The attribute whose first level may have its own weights.
CATEGORY_FIELD = "product_type"
CATEGORY_PREFIX = "item: "
# The kind of weights for complementary products; bundles have it whose training saw enough baskets.
COMPLEMENTARY = "complementary"
# Without it, the users' score counts so much beside the strength of complementary pairs: it ranks where pairs are
# unknown.
COMPLEMENT_FILL = 1e-3


def category_kind(product_type: Any) -> str:
    """Return the name of a category's weights for similar items; "item" without a category.

    >>> category_kind("Apparel > Tops")
    'item: Apparel'
    """
    first = product_type[0] if isinstance(product_type, list | tuple) and product_type else product_type
    return f"{CATEGORY_PREFIX}{first.split(LEVEL)[0]}" if isinstance(first, str) and first else "item"


def item_kind(weights: Mapping[str, Any], product_type: Any) -> str:
    """Return the name of the weights for items similar to a product: its category's, or "item" without such."""
    kind = category_kind(product_type)
    return kind if kind in weights else "item"


def complementary_weights(weights: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    """Return the weights for complementary products, among which "cooccurrence" weighs the complementary pairs."""
    if COMPLEMENTARY in weights:
        return weights[COMPLEMENTARY]
    return {name: COMPLEMENT_FILL * weight for name, weight in weights["user"].items()} | {"cooccurrence": 1.0}


def resolve(learned: Mapping[str, float], override: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the weights of one request: the learned ones with the override over them.

    Block weights are normalised to sum 1, so that scores under different weights stay on one scale.

    Parameters
    ----------
    learned
        Term name to weight, from training.
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
