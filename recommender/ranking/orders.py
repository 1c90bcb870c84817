"""Orders of the products that are no matter of likeness: newest, or as a list of ids and values has them."""

from collections.abc import Iterable

import numpy as np

from recommender.core.blocks import Double
from recommender.items import Attributes

HALF_LIFE_DAYS = 30.0


def newest(attributes: Attributes) -> Double | None:
    """Return 0.5^(days before the newest / 30), 0 where no date is known, shape (n,); None if none is."""
    if "published_at" not in attributes.names or attributes.kind("published_at") != "date":
        return None
    published = attributes.numbers("published_at")
    known = np.isfinite(published)
    if not known.any():
        return None
    days = (published[known].max() - np.where(known, published, -np.inf)) / 86_400
    return 0.5 ** (days / HALF_LIFE_DAYS)


def by_value(attributes: Attributes, values: Iterable[tuple[str, float]]) -> Double:
    """Return values that were told by id, as a share of their largest, shape (n,); ids of no row are left out."""
    order = np.zeros(len(attributes))
    for item_id, value in values:
        if (row := attributes.row_of(item_id)) >= 0:
            order[row] = value
    return order / max(order.max(initial=0.0), 1e-12)
