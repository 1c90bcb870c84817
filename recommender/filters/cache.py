"""Subsets kept between questions: the same filters come again and again."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

from recommender.core.blocks import Mask, Rows
from recommender.filters.compile import Overlay, evaluate, resolve
from recommender.filters.conditions import canonical
from recommender.filters.parse import parse
from recommender.filters.subset import Subset
from recommender.items import Attributes

_BYTES = 64 << 20
_ROW_BYTES = 5  # of a subset: its mask, and a row number where the product is kept


class SubsetCache:
    """The least recently used subsets of one bundle's products, thread-safe, in at most some 64 MiB.

    Filters that differ in form, order or repetition only share a subset.

    Parameters
    ----------
    attributes
        Of the n products.
    groups
        Variants of one product share a number, shape (n,).
    """

    def __init__(self, attributes: Attributes, groups: Rows) -> None:
        self._attributes, self._groups = attributes, groups
        self._room = max(8, _BYTES // max(_ROW_BYTES * len(attributes), 1))
        self._subsets: OrderedDict[Hashable, Subset] = OrderedDict()
        self._lock = Lock()

    def subset(
        self,
        filter: Any,
        seed_row: int | None = None,
        overlay: Overlay | None = None,
        revision: int = 0,
        *,
        within: Mask | None = None,
        trusted: bool = False,
    ) -> Subset:
        """Return the products of which `compile` gives the mask.

        Parameters
        ----------
        filter, seed_row, overlay, trusted
            See `compile`.
        revision
            The overlay's; another revision is another overlay.
        within
            Rows beside which nothing is kept, shape (n,); the same array for the same rows of one revision.
        """
        node = resolve(parse(filter, trusted=trusted), self._attributes, seed_row, overlay)
        key = (canonical(node), revision, id(within))
        with self._lock:
            if key in self._subsets:
                self._subsets.move_to_end(key)
                return self._subsets[key]
        mask = evaluate(node, self._attributes, overlay)
        if within is not None:
            mask = mask & within
        mask.setflags(write=False)
        subset = Subset(mask, self._groups)
        with self._lock:
            self._subsets[key] = subset
            while len(self._subsets) > self._room:
                self._subsets.popitem(last=False)
        return subset
