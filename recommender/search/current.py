"""The search index of an opened bundle, with the products as they are now."""

from collections.abc import Callable, Collection
from threading import Lock

import numpy as np

from recommender.core.blocks import Rows
from recommender.items.overlay import OverlayState
from recommender.items.products import Products
from recommender.search.index import SearchIndex
from recommender.search.postings import indexed_columns


class CurrentIndex:
    """The words of the products as they are now; thread-safe.

    The index of the bundle is opened, or made where an older bundle has none, by the first search.

    Parameters
    ----------
    open_index
        Opens or makes the index of the bundle's base.
    changed
        Rows that a delta changed or added since, ascending.
    products
        The products, with live changes.
    unsearched
        Columns that are not searched.
    """

    def __init__(
        self,
        open_index: Callable[[], SearchIndex],
        changed: Rows,
        products: Products,
        unsearched: Collection[str] = (),
    ) -> None:
        self._open, self._changed, self._products, self._unsearched = open_index, changed, products, unsearched
        self._lock = Lock()
        self._base: SearchIndex | None = None
        self._current: tuple[int, SearchIndex] | None = None

    def get(self) -> SearchIndex:
        """Return the index at the overlay's revision; indexes only the products whose words changed."""
        state = self._products.overlay_state()
        current = self._current
        if current is not None and current[0] == state.version:
            return current[1]
        with self._lock:
            if self._base is None:
                self._base = self._open()
            index = self._at(state, self._base)
            self._current = state.version, index
            return index

    def _at(self, state: OverlayState, base: SearchIndex) -> SearchIndex:
        attributes = state.attributes.without(self._unsearched)
        rows = np.union1d(self._changed, state.live_rows(indexed_columns(attributes))).astype(np.int32)
        before = None if self._current is None else self._current[1]
        if before is not None and not len(rows) and before.live is None:
            return before
        return base.with_changes(attributes, rows)
