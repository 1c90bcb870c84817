"""Masks kept between questions: the same filters come again and again."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

import numpy as np

from recommender.attributes import Attributes
from recommender.filters.compile import Overlay, evaluate, resolve
from recommender.filters.conditions import canonical
from recommender.filters.parse import parse

_BYTES = 64 << 20


class MaskCache:
    """The least recently used masks of one bundle's attributes, thread-safe, in at most 64 MiB.

    Filters that differ in form, order or repetition only share a mask.

    Parameters
    ----------
    attributes
        Of the n items; a mask takes n bytes.
    """

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._room = max(8, _BYTES // max(len(attributes), 1))
        self._masks: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def mask(
        self,
        filter: Any,
        seed_row: int | None = None,
        overlay: Overlay | None = None,
        revision: int = 0,
        *,
        trusted: bool = False,
    ) -> np.ndarray:
        """Return what `compile` returns, read-only.

        Parameters
        ----------
        filter, seed_row, overlay, trusted
            See `compile`.
        revision
            The overlay's; another revision is another overlay.
        """
        node = resolve(parse(filter, trusted=trusted), self._attributes, seed_row, overlay)
        key = (canonical(node), revision)
        with self._lock:
            if key in self._masks:
                self._masks.move_to_end(key)
                return self._masks[key]
        mask = evaluate(node, self._attributes, overlay)
        mask.setflags(write=False)
        with self._lock:
            self._masks[key] = mask
            while len(self._masks) > self._room:
                self._masks.popitem(last=False)
        return mask
