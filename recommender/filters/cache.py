"""An LRU cache of the rows that filters match."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

from recommender.core.blocks import Mask, Rows
from recommender.filters.compile import evaluate, resolve
from recommender.filters.conditions import Node, canonical
from recommender.filters.subset import Subset
from recommender.items import Attributes

_BYTES = 64 << 20
_ROW_BYTES = 5  # of a subset: its mask, and the row number of a match


class SubsetCache:
    """An LRU cache of the subsets of one bundle's products, thread-safe, of about 64 MiB at most.

    Filters that differ only in form, order or repetition share an entry.

    Parameters
    ----------
    attributes
        Of the n products.
    groups
        Variants of one product share a number, shape (n,).
    """

    def __init__(self, attributes: Attributes, groups: Rows) -> None:
        self._attributes, self._groups = attributes, groups
        self._capacity = max(8, _BYTES // max(_ROW_BYTES * len(attributes), 1))
        self._subsets: OrderedDict[Hashable, Subset] = OrderedDict()
        self._lock = Lock()

    def subset(
        self,
        node: Node,
        seed_row: int | None = None,
        attributes: Attributes | None = None,
        version: int = 0,
        *,
        within: Mask | None = None,
    ) -> Subset:
        """Return the rows that match a filter.

        Parameters
        ----------
        node
            The parsed filter.
        seed_row
            The seed item of ``same_as_seed``, if there is one.
        attributes
            Those of the bundle with live changes over them; by default without.
        version
            Of the live changes and of the prices in force, part of the cache key.
        within
            Rows to which matches are limited, shape (n,); the same array object for the same rows of one version.

        Raises
        ------
        RequestError
            If a field is unknown, an operand does not suit it, or there is no seed item.
        """
        attributes = self._attributes if attributes is None else attributes
        node = resolve(node, attributes, seed_row)
        key = (canonical(node), version, id(within))
        with self._lock:
            if key in self._subsets:
                self._subsets.move_to_end(key)
                return self._subsets[key]
        mask = evaluate(node, attributes)
        if within is not None:
            mask = mask & within
        mask.setflags(write=False)
        subset = Subset(mask, self._groups)
        with self._lock:
            self._subsets[key] = subset
            while len(self._subsets) > self._capacity:
                self._subsets.popitem(last=False)
        return subset
