"""What has changed of the products since the bundle, by row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.core.blocks import Mask
from recommender.core.segment import Segment
from recommender.filters import Subset
from recommender.items import Attributes
from recommender.retrieval.eligibility import Eligibility

if TYPE_CHECKING:
    from recommender.stores.base import ItemOverlay

OUT_OF_STOCK = "out_of_stock"
# Products whose fields are remembered: to decode those of an answer takes longer than to find it.
REMEMBERED = 1 << 15

Fields = Callable[[str, tuple[str, ...]], Mapping[str, Any]]


@dataclass(frozen=True)
class OverlayState:
    """All that an overlay says at one revision; made once for the questions that are asked under it.

    Parameters
    ----------
    revision
        The overlay's.
    by_id
        Item id to its changed attributes, None if it was removed; products that the bundle lacks among them.
    by_row
        The same of the products that the bundle has and that were not removed.
    listed
        Rows that were not removed, shape (n,); None if they all are there.
    in_stock
        Those of them that are not known to be out of stock, shape (n,); None if they all are.
    fields
        Some attributes of a product of the bundle by its id, changes included.
    """

    revision: int
    by_id: Mapping[str, Mapping[str, Any] | None]
    by_row: Mapping[int, Mapping[str, Any]]
    listed: Mask | None
    in_stock: Mask | None
    fields: Fields
    _rules: dict[tuple[bool, bool], Eligibility] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, overlay: "ItemOverlay | None", attributes: Attributes) -> "OverlayState":
        """Read an overlay; without one, what the bundle itself says remains."""
        revision = overlay.revision() if overlay is not None else 0
        by_id = dict(overlay.read()) if overlay is not None else {}
        by_row, removed = {}, []
        for item_id, change in by_id.items():
            if (row := attributes.row_of(item_id)) < 0:
                continue
            if change is None:
                removed.append(row)
            else:
                by_row[row] = change
        listed = np.ones(len(attributes), dtype=bool)
        listed[removed], listed[attributes.ids.removed] = False, False
        in_stock = listed & ~_out_of_stock(attributes, by_row)
        fields = _remembered_fields(attributes, by_row)
        return cls(revision, by_id, by_row, _unless_all(listed), _unless_all(in_stock), fields)

    def allowed(self, whole_range: bool) -> Mask | None:
        """Return the rows that may be answered: those in stock, or the whole range."""
        return self.listed if whole_range else self.in_stock

    def rules(self, segment: Segment, collapse: bool, whole_range: bool) -> Eligibility:
        """Return the rules of a question without a filter; kept, for their counts take longer than an answer."""
        key = (collapse, whole_range)
        if key not in self._rules:
            mask = self.allowed(whole_range)
            self._rules[key] = Eligibility(
                segment, None if mask is None else Subset(mask, segment.groups), collapse
            )
        return self._rules[key]


def _remembered_fields(attributes: Attributes, by_row: Mapping[int, Mapping[str, Any]]) -> Fields:
    @lru_cache(REMEMBERED)
    def fields(item_id: str, names: tuple[str, ...]) -> Mapping[str, Any]:
        row = attributes.row_of(item_id)
        changed = by_row.get(row, {})
        return {name: changed[name] if name in changed else attributes.value(name, row) for name in names}

    return fields


def _out_of_stock(attributes: Attributes, by_row: Mapping[int, Mapping[str, Any]]) -> Mask:
    out = np.zeros(len(attributes), dtype=bool)
    if "availability" in attributes.names and attributes.kind("availability") in ("category", "text", "multi"):
        out = attributes.column("availability").any_of([OUT_OF_STOCK])
    for row, change in by_row.items():
        if "availability" in change:
            out[row] = change["availability"] == OUT_OF_STOCK
    return out


def _unless_all(mask: Mask) -> Mask | None:
    return None if mask.all() else mask
