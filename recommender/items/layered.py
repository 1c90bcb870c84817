"""An immutable mapping of which a changed version costs what changed: copying a large dict takes milliseconds."""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

Value = TypeVar("Value")
# In the place of a value: the key is not there.
ABSENT: Any = object()


class LayeredMap(Mapping[str, Value], Generic[Value]):
    """Dicts over each other, the newest first; each is more than twice as large as the one over it.

    A change merges layers of similar size, so that there are few and each entry is copied seldom.

    Parameters
    ----------
    layers
        The dicts, which are not changed.
    """

    def __init__(self, layers: tuple[dict[str, Value], ...] = ()) -> None:
        self._layers = layers

    def changed(self, values: Mapping[str, Value]) -> "LayeredMap[Value]":
        """Return the mapping with other values; `ABSENT` removes a key."""
        new, older = dict(values), [*self._layers]
        while older and len(older[0]) <= 2 * len(new):
            new = older.pop(0) | new
        if not older:
            new = {key: value for key, value in new.items() if value is not ABSENT}
        return LayeredMap((new, *older) if new else tuple(older))

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key."""
        for layer in self._layers:
            if key in layer:
                return default if (value := layer[key]) is ABSENT else value
        return default

    def __getitem__(self, key: str) -> Value:
        if (value := self.get(key, ABSENT)) is ABSENT:
            raise KeyError(key)
        return cast(Value, value)

    def __contains__(self, key: object) -> bool:
        return self.get(cast(str, key), ABSENT) is not ABSENT

    def __iter__(self) -> Iterator[str]:
        merged: dict[str, Value] = {}
        for layer in reversed(self._layers):
            merged |= layer
        return (key for key, value in merged.items() if value is not ABSENT)

    def __len__(self) -> int:
        return sum(1 for _ in self)
