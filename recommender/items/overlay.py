"""Live changes of products since the bundle was published: a copy in memory, and their state by row."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.core.blocks import Mask
from recommender.core.segment import Segment
from recommender.filters import Subset
from recommender.items import Attributes, sales
from recommender.items.availability import OUT_OF_STOCK, canonical_availability
from recommender.retrieval.eligibility import Eligibility

if TYPE_CHECKING:
    from recommender.stores.base import AttributeValues, ItemOverlay, QueuedItem

# Products whose fields are cached: decoding the fields of a result takes longer than finding it.
CACHED_PRODUCTS = 1 << 15

Fields = Callable[[str, tuple[str, ...]], Mapping[str, Any]]


class OverlaySnapshot:
    """An `ItemOverlay` in memory, so that no request waits for the database; `refresh` updates it."""

    def __init__(self, source: "ItemOverlay") -> None:
        self._source = source
        self._state: tuple[int, Mapping[str, AttributeValues]] = (0, {})

    def refresh(self) -> None:
        """Read the changes since the last refresh, if there are any."""
        revision = self._source.revision()
        if revision != self._state[0]:
            # changes that arrive after the revision was read are read again at the next refresh
            known, changes = self._state
            self._state = (revision, {**changes, **self._source.read(since=known)})

    def revision(self) -> int:
        """See `ItemOverlay.revision`."""
        return self._state[0]

    def read(self, since: int = 0) -> "Mapping[str, AttributeValues]":
        """See `ItemOverlay.read`; always returns all changes."""
        return self._state[1]

    def put(
        self, items: "Mapping[str, AttributeValues]", *, replace: bool = False, queue: Collection[str] = ()
    ) -> int:
        """See `ItemOverlay.put`; visible in this process at once, in others after their next refresh."""
        revision = self._source.put(items, replace=replace, queue=queue)
        self.refresh()
        return revision

    def queued(self, limit: int = 10_000) -> "list[QueuedItem]":
        """See `ItemOverlay.queued`."""
        return self._source.queued(limit)

    def mark_embedded(self, products: "Iterable[QueuedItem]", published: bool = True) -> None:
        """See `ItemOverlay.mark_embedded`."""
        self._source.mark_embedded(products, published)

    def requeue(self, after: int) -> int:
        """See `ItemOverlay.requeue`."""
        return self._source.requeue(after)

    def close(self) -> None:
        """See `ItemOverlay.close`."""
        self._source.close()


@dataclass(frozen=True)
class OverlayState:
    """An overlay at one revision and in one period between starts and ends of sales, by row.

    Parameters
    ----------
    revision
        The overlay's.
    since, until
        The period in POSIX seconds in which all prices stay as they are.
    by_id
        Item id to its changed attributes, None if it was removed; products that the bundle lacks among them. The
        price is that in force.
    by_row
        The same by row, for the products of the bundle that were not removed.
    listed
        Rows that were not removed, shape (n,); None if none was.
    in_stock
        Listed rows that are not known to be out of stock, shape (n,); None if that is all rows.
    fields
        Returns some attributes of a product of the bundle by its id, the overlay's values over the bundle's.
    version
        Of this state in this process, for caches.
    """

    revision: int
    since: float
    until: float
    by_id: Mapping[str, Mapping[str, Any] | None]
    by_row: Mapping[int, Mapping[str, Any]]
    listed: Mask | None
    in_stock: Mask | None
    fields: Fields
    version: int = field(default_factory=count(1).__next__)
    _eligibility: dict[tuple[bool, bool], Eligibility] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, overlay: "ItemOverlay | None", attributes: Attributes) -> "OverlayState":
        """Read an overlay; None is an empty one."""
        revision = overlay.revision() if overlay is not None else 0
        since = sales.now()
        by_id, until = _current(overlay.read() if overlay is not None else {}, attributes, since)
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
        fields = _cached_fields(attributes, by_row)
        return cls(revision, since, until, by_id, by_row, _none_if_all(listed), _none_if_all(in_stock), fields)

    def allowed(self, whole_range: bool) -> Mask | None:
        """Return the rows that may be recommended: those in stock, or all that are listed; None if all rows."""
        return self.listed if whole_range else self.in_stock

    def eligibility(self, segment: Segment, collapse: bool, whole_range: bool) -> Eligibility:
        """Return what is eligible without a filter; cached, since counting it takes longer than a request."""
        key = (collapse, whole_range)
        if key not in self._eligibility:
            mask = self.allowed(whole_range)
            subset = None if mask is None else Subset(mask, segment.groups)
            self._eligibility[key] = Eligibility(segment, subset, collapse)
        return self._eligibility[key]


def _current(
    changes: "Mapping[str, AttributeValues]", attributes: Attributes, moment: float
) -> tuple[dict[str, Mapping[str, Any] | None], float]:
    """Return changes with canonical availability and the prices in force, and until when all prices are."""
    current: dict[str, Mapping[str, Any] | None] = {}
    until = attributes.prices_until(moment)
    for item_id, change in changes.items():
        if change is None:
            current[item_id] = None
            continue
        if not change.keys().isdisjoint(sales.OFFER):
            change, end = sales.current_offer(change, _offer(attributes, item_id), moment)
            until = min(until, end)
        if isinstance(word := change.get("availability"), str):
            change = {**change, "availability": canonical_availability(word) or word}
        current[item_id] = change
    return current, until


def _offer(attributes: Attributes, item_id: str) -> dict[str, Any]:
    """Return what the bundle knows of a product's regular and sale price."""
    row = attributes.row_of(item_id)
    names = [name for name in ("price", *sales.OFFER) if name in attributes.names]
    return attributes.fields(row, names) if row >= 0 else {}


def _cached_fields(attributes: Attributes, by_row: Mapping[int, Mapping[str, Any]]) -> Fields:
    @lru_cache(CACHED_PRODUCTS)
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


def _none_if_all(mask: Mask) -> Mask | None:
    return None if mask.all() else mask
