"""Masks of filters, as the pipeline makes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recommender.filters import parse
from recommender.filters.compile import evaluate, resolve
from recommender.items import Attributes
from recommender.items.live_columns import changed_columns, with_live_columns

Overlay = Mapping[int, Mapping[str, Any]]


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
    live = with_overlay(attributes, overlay or {})
    return evaluate(resolve(node, live, seed_row), live)


def with_overlay(attributes: Attributes, overlay: Overlay) -> Attributes:
    """Return attributes with those that an overlay changes, by row and name."""
    values: dict[str, dict[int, Any]] = {}
    for row, change in overlay.items():
        for name, value in change.items():
            values.setdefault(name, {})[row] = value
    return with_live_columns(attributes, changed_columns(attributes, {}, values))
