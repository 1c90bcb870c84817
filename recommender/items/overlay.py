"""Live changes of products over the bundle: a copy in memory, and their state by row."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count, takewhile
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from recommender.core.blocks import NO_ROWS, Double, Mask, Rows
from recommender.core.segment import Segment
from recommender.filters import Subset
from recommender.items import Attributes, sales
from recommender.items.availability import OUT_OF_STOCK, canonical_availability
from recommender.items.layered import ABSENT, LayeredMap
from recommender.items.live_columns import OF_THE_BUNDLE, LiveColumn, changed_columns, with_live_columns
from recommender.retrieval.eligibility import Eligibility

if TYPE_CHECKING:
    from recommender.stores.base import AttributeValues, ItemOverlay, OverlayEntry

# Products whose fields are cached: decoding the fields of a result takes longer than finding it.
CACHED_PRODUCTS = 1 << 15

Fields = Callable[[str, tuple[str, ...]], Mapping[str, Any]]


class OverlaySnapshot:
    """An `ItemOverlay` in memory, so that no request waits for the database; `refresh` updates it."""

    def __init__(self, source: "ItemOverlay") -> None:
        self._source, self._lock = source, Lock()
        self._revision, self._generation = 0, ""
        # by id, the latest change last, with the revision at which it was read
        self._entries: dict[str, tuple[int, OverlayEntry | None]] = {}

    def refresh(self, generation: str | None = None) -> None:
        """Read the changes since the last refresh, if there are any.

        Parameters
        ----------
        generation
            The current one, if it is known: what newer ones absorbed is restored, since they were rolled back.
        """
        if generation is not None and generation != self._generation:
            self._source.restore(generation)
            self._generation = generation
        revision = self._source.revision()
        if revision == self._revision:
            return
        with self._lock:
            # changes that arrive after the revision was read are read again at the next refresh
            for item_id, entry in self._source.read(since=self._revision).items():
                self._entries.pop(item_id, None)
                self._entries[item_id] = (revision, entry)
            self._revision = revision

    def revision(self) -> int:
        """See `ItemOverlay.revision`."""
        return self._revision

    def read(self, since: int = 0) -> "Mapping[str, OverlayEntry | None]":
        """See `ItemOverlay.read`."""
        with self._lock:
            changed = takewhile(lambda each: each[1][0] > since, reversed(self._entries.items()))
            return {item_id: entry for item_id, (_, entry) in changed if since or entry is not None}

    def get(self, item_id: str) -> "OverlayEntry | None":
        """Return the entry of a product, None if it has none."""
        return self._entries.get(item_id, (0, None))[1]

    def put(
        self,
        items: "Mapping[str, AttributeValues]",
        *,
        replace: bool = False,
        queue: Collection[str] = (),
        added: Collection[str] = (),
        source: str = "",
        at: float | None = None,
    ) -> int:
        """See `ItemOverlay.put`; visible in this process at once, in others after their next refresh."""
        revision = self._source.put(items, replace=replace, queue=queue, added=added, source=source, at=at)
        self.refresh()
        return revision

    def page(self, after: str = "", limit: int = 100) -> "list[OverlayEntry]":
        """See `ItemOverlay.page`."""
        return self._source.page(after, limit)

    def queued(self, limit: int = 10_000) -> "list[OverlayEntry]":
        """See `ItemOverlay.queued`."""
        return self._source.queued(limit)

    def mark_embedded(self, entries: "Iterable[OverlayEntry]", published: bool = True) -> None:
        """See `ItemOverlay.mark_embedded`."""
        self._source.mark_embedded(entries, published)

    def requeue(self, after: int) -> int:
        """See `ItemOverlay.requeue`."""
        return self._source.requeue(after)

    def absorb(self, entries: "Iterable[OverlayEntry]", generation: str) -> None:
        """See `ItemOverlay.absorb`."""
        self._source.absorb(entries, generation)

    def restore(self, generation: str) -> int:
        """See `ItemOverlay.restore`."""
        return self._source.restore(generation)

    def purge(self, oldest: str) -> None:
        """See `ItemOverlay.purge`."""
        self._source.purge(oldest)

    def close(self) -> None:
        """See `ItemOverlay.close`."""
        self._source.close()


@dataclass(frozen=True)
class OverlayState:
    """An overlay at one revision and in one period between starts and ends of sales, over the bundle.

    Parameters
    ----------
    bundle
        Attributes of the bundle.
    row_times
        Moment of the catalogue's row of each product in POSIX seconds, (n,); NaN of products that the catalogue
        does not have. Changes that are older do not count.
    revision
        The overlay's.
    since, until
        The period in POSIX seconds in which all prices stay as they are.
    by_id
        Item id to its changed attributes, None if it was removed; products that the bundle lacks among them. The
        price is that in force.
    attributes
        Attributes of the bundle with the changes over them.
    listed
        Rows that were not removed, shape (n,); None if none was.
    in_stock
        Listed rows that are not known to be out of stock, shape (n,); None if that is all rows.
    fields
        Returns some attributes of a product of the bundle by its id, the overlay's values over the bundle's.
    version
        Of this state in this process, for caches.
    """

    bundle: Attributes
    row_times: Double
    revision: int
    since: float
    until: float
    by_id: LayeredMap[Mapping[str, Any] | None]
    attributes: Attributes
    listed: Mask | None
    in_stock: Mask | None
    fields: Fields
    version: int = 0
    _columns: Mapping[str, LiveColumn] = field(default_factory=dict, compare=False)
    _sales: "LayeredMap[tuple[float, OverlayEntry]]" = field(default_factory=LayeredMap, compare=False)
    _eligibility: dict[tuple[bool, bool], Eligibility] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, overlay: "ItemOverlay | None", attributes: Attributes, row_times: Double | None = None) -> Self:
        """Read an overlay; None is an empty one."""
        times = np.zeros(len(attributes)) if row_times is None else row_times
        listed = np.ones(len(attributes), dtype=bool)
        listed[attributes.ids.removed] = False
        since = sales.now()
        until = attributes.prices_until(since)
        none: LayeredMap[Mapping[str, Any] | None] = LayeredMap()
        fields = _cached_fields(attributes, none)
        empty = cls(attributes, times, 0, since, until, none, attributes, _none_if_all(listed), None, fields)
        empty = replace(empty, in_stock=empty._in_stock(attributes, empty.listed))
        if overlay is None:
            return empty
        revision = overlay.revision()
        return empty.changed(overlay.read(), revision)

    def updated(self, overlay: "ItemOverlay | None") -> "OverlayState":
        """Return the state of now: with the changes since, and the prices in force."""
        if overlay is None:
            return self.changed({}, self.revision)
        revision = overlay.revision()
        return self.changed(overlay.read(since=self.revision) if revision != self.revision else {}, revision)

    def changed(self, entries: "Mapping[str, OverlayEntry | None]", revision: int) -> Self:
        """Return the state with further changes; it costs what changed, not what the overlay has.

        Parameters
        ----------
        entries
            By item id; None for one that was absorbed.
        revision
            Of the overlay with them.
        """
        moment, until = sales.now(), self.until
        if not self.since <= moment < until:
            until = self.bundle.prices_until(moment)
            entries = {item_id: entry for item_id, (_, entry) in self._sales.items()} | {**entries}
        elif not entries:
            return replace(self, revision=revision)
        changes: dict[str, Mapping[str, Any] | None] = {}
        on_sale: dict[str, tuple[float, OverlayEntry]] = {}
        values: dict[str, dict[int, Any]] = {"price": {}} if "price" in self._columns else {}
        removed: dict[int, bool] = {}
        for item_id, entry in entries.items():
            row, before = self.bundle.row_of(item_id), self.by_id.get(item_id, {})
            now, end = self._current(entry, row, moment)
            changes[item_id] = now if now is None or now else ABSENT
            if entry is not None and end < np.inf:
                on_sale[item_id] = (end, entry)
                until = min(until, end)
            elif item_id in self._sales:
                on_sale[item_id] = ABSENT
            if row >= 0:
                removed[row] = now is None
                for name in {**(before or {}), **(now or {})}:
                    values.setdefault(name, {})[row] = (now or {}).get(name, OF_THE_BUNDLE)
        by_id = self.by_id.changed(changes)
        columns = changed_columns(self.bundle, self._columns, values)
        attributes, listed = with_live_columns(self.bundle, columns), self._listed(removed)
        same_stock = listed is self.listed and "availability" not in values
        return replace(
            self,
            revision=revision,
            since=moment,
            until=until,
            by_id=by_id,
            attributes=attributes,
            listed=listed,
            in_stock=self.in_stock if same_stock else self._in_stock(attributes, listed),
            fields=_cached_fields(attributes, by_id),
            version=_VERSIONS(),
            _columns=columns,
            _sales=self._sales.changed(on_sale),
            _eligibility=self._eligibility if same_stock else {},
        )

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

    def live_rows(self, names: Iterable[str]) -> Rows:
        """Return the rows with a live value in one of some columns, ascending."""
        rows = [self._columns[name].live_rows for name in names if name in self._columns]
        return np.unique(np.concatenate(rows)).astype(np.int32) if rows else NO_ROWS

    def row_time(self, row: int) -> float:
        """Return the moment of the catalogue's row of a product; NaN if the catalogue does not have it."""
        return float(self.row_times[row]) if row >= 0 else np.nan

    def _current(
        self, entry: "OverlayEntry | None", row: int, moment: float
    ) -> tuple[Mapping[str, Any] | None, float]:
        """Return the attributes of an entry that are newer than the catalogue's row, and until when they hold.

        Availability is canonical, and the price is that in force; None if the product was removed.
        """
        change, end = {} if entry is None else entry.since(self.row_time(row)), np.inf
        if not change:
            return change, end
        if not change.keys().isdisjoint(sales.OFFER):
            change, end = sales.current_offer(change, _offer(self.bundle, row), moment)
        if isinstance(word := change.get("availability"), str):
            change = {**change, "availability": canonical_availability(word) or word}
        return change, end

    def _listed(self, removed: Mapping[int, bool]) -> Mask | None:
        """Return which rows were not removed, with some that are or are not any more."""
        now = {row: is_removed for row, is_removed in removed.items() if is_removed is self._is_listed(row)}
        if not now:
            return self.listed
        listed = np.ones(len(self.bundle), dtype=bool) if self.listed is None else self.listed.copy()
        listed[[*now]] = [not is_removed for is_removed in now.values()]
        return _none_if_all(listed)

    def _is_listed(self, row: int) -> bool:
        return self.listed is None or bool(self.listed[row])

    def _in_stock(self, attributes: Attributes, listed: Mask | None) -> Mask | None:
        """Return which listed rows are not known to be out of stock."""
        known = "availability" in attributes.names and attributes.kind("availability") in _WORDS
        if not known:
            return listed
        in_stock = ~attributes.column("availability").any_of([OUT_OF_STOCK])
        return _none_if_all(in_stock if listed is None else in_stock & listed)


_VERSIONS = count(1).__next__
_WORDS = ("category", "text", "multi")


def _offer(attributes: Attributes, row: int) -> dict[str, Any]:
    """Return what the bundle knows of a product's regular and sale price."""
    names = [name for name in ("price", *sales.OFFER) if name in attributes.names]
    return attributes.fields(row, names) if row >= 0 else {}


def _cached_fields(attributes: Attributes, by_id: Mapping[str, Mapping[str, Any] | None]) -> Fields:
    @lru_cache(CACHED_PRODUCTS)
    def fields(item_id: str, names: tuple[str, ...]) -> Mapping[str, Any]:
        row = attributes.row_of(item_id)
        changed = by_id.get(item_id) or {}
        return {name: changed[name] if name in changed else attributes.value(name, row) for name in names}

    return fields


def _none_if_all(mask: Mask) -> Mask | None:
    return None if mask.all() else mask
