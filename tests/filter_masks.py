"""Masks of filters, as the pipeline makes them."""

from typing import Any

import numpy as np

from recommender.filters import parse
from recommender.filters.compile import Overlay, evaluate, resolve
from recommender.items import Attributes


def mask_of(
    filter: Any,
    attributes: Attributes,
    seed_row: int | None = None,
    overlay: Overlay | None = None,
    *,
    trusted: bool = False,
    pointer: str = "/filter",
) -> np.ndarray:
    """Return the rows that match a filter, bool (n,)."""
    node = parse(filter, trusted=trusted, pointer=pointer)
    return evaluate(resolve(node, attributes, seed_row, overlay), attributes, overlay)
