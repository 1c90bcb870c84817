"""A cache that is bounded by the size of what it holds."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SizedCache(Generic[Value]):
    """An LRU cache, thread-safe, bounded by the sizes of its values together.

    Parameters
    ----------
    capacity
        The most that all its values together have.
    size_of
        Returns the size of a value, in the same unit.
    """

    def __init__(self, capacity: int, size_of: Callable[[Value], int]) -> None:
        self._capacity, self._size_of, self._size = capacity, size_of, 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Value | None:
        """Return a cached value; None if there is none."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Hashable, value: Value) -> None:
        """Cache a value, and evict those that were used least recently where it takes their room."""
        size = self._size_of(value)
        with self._lock:
            if key in self._values or size > self._capacity:
                return
            self._values[key] = value
            self._size += size
            while self._size > self._capacity:
                self._size -= self._size_of(self._values.popitem(last=False)[1])
