"""Parts of a catalogue that are worth a figure of their own."""

from typing import TYPE_CHECKING

import numpy as np

from recommender.core.blocks import Mask
from recommender.evaluation.baselines import Popularity

if TYPE_CHECKING:
    from recommender.catalog import Interactions
    from recommender.items import Attributes
    from recommender.recommender import Recommender

HEAD = 0.2  # share of the products ever chosen that count as popular
CATEGORIES = 8
_NO_KIND = ("availability", "item_group_id")


def slices(recommender: "Recommender", train: "Interactions") -> dict[str, Mask]:
    """Name the parts of a catalogue, each a mask (n,): all, new, popular and rare products, those without a photo
    or text, and the largest categories.

    Parameters
    ----------
    recommender
        Whose products.
    train
        What was known before: it tells the new from the popular.
    """  # noqa: D205
    counts = Popularity(train, recommender.n).counts
    chosen = counts > 0
    head = np.zeros(recommender.n, bool)
    head[np.argsort(-counts, kind="stable")[: round(HEAD * int(chosen.sum()))]] = True
    found = {
        "all products": np.ones(recommender.n, bool),
        "new products": ~chosen,
        "popular products": head,
        "rarely chosen products": chosen & ~head,
    }
    present = recommender.segment.present
    for block, name in (("image", "products without a photo"), ("text", "products without a text")):
        if block in recommender.layout.names:
            found[name] = ~present[:, recommender.layout.index(block)]
    return found | categories(recommender.attributes)


def categories(attributes: "Attributes", most: int = CATEGORIES) -> dict[str, Mask]:
    """Return the largest values of the column that says what a product is, as masks (n,): `product_type` if known,
    else the first category.
    """  # noqa: D205
    names = [name for name in attributes.names if attributes.kind(name) == "category" and name not in _NO_KIND]
    if not names:
        return {}
    name = "product_type" if "product_type" in names else names[0]
    codes, values = attributes.codes(name), attributes.categories(name)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    largest = np.argsort(-counts, kind="stable")[:most]
    return {f"{name}: {values[code]}": np.asarray(codes == code) for code in largest.tolist()}
