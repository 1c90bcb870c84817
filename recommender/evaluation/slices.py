"""Slices of a catalogue to evaluate separately: new, popular and long-tail products, and categories."""

from typing import TYPE_CHECKING

import numpy as np

from recommender.core.blocks import Mask
from recommender.evaluation.ablation_text import ALL_PRODUCTS
from recommender.evaluation.baselines import Popularity

if TYPE_CHECKING:
    from recommender.catalog import Interactions
    from recommender.items import Attributes
    from recommender.recommender import Recommender

HEAD = 0.2  # share of the products with an event that count as popular
MAX_CATEGORIES = 8
_EXCLUDED = ("availability", "item_group_id", "currency")


def slices(recommender: "Recommender", train: "Interactions") -> dict[str, Mask]:
    """Return the slices of a catalogue as masks (n,).

    All, new, popular and long-tail products, those without a photo or text, and the largest categories.

    Parameters
    ----------
    recommender
        Holds the catalogue.
    train
        Events before the split: new products have none, popular ones most.
    """
    counts = Popularity(train, recommender.n).counts
    warm = counts > 0
    head = np.zeros(recommender.n, bool)
    head[np.argsort(-counts, kind="stable")[: round(HEAD * int(warm.sum()))]] = True
    masks = {
        ALL_PRODUCTS: np.ones(recommender.n, bool),
        "new products": ~warm,
        "popular products": head,
        "long-tail products": warm & ~head,
    }
    present = recommender.segment.present
    for block, name in (("image", "products without a photo"), ("text", "products without a text")):
        if block in recommender.layout.names:
            masks[name] = ~present[:, recommender.layout.index(block)]
    return masks | categories(recommender.attributes)


def categories(attributes: "Attributes", limit: int = MAX_CATEGORIES) -> dict[str, Mask]:
    """Return the most frequent values of `product_type`, or else of the first category column, as masks (n,)."""
    names = [name for name in attributes.names if attributes.kind(name) == "category" and name not in _EXCLUDED]
    if not names:
        return {}
    name = "product_type" if "product_type" in names else names[0]
    codes, values = attributes.codes(name), attributes.categories(name)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    largest = np.argsort(-counts, kind="stable")[:limit]
    return {f"{name}: {values[code]}": np.asarray(codes == code) for code in largest.tolist()}
