"""Caps: at most so many products of one brand, or of one value of any other attribute."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recommender.errors import RequestError
from recommender.ranking.rerankers.base import Order, Pool, Reranker


@dataclass(frozen=True)
class Caps:
    """Passes over a product once enough of its kind are above it; a product without a value has no kind.

    Parameters
    ----------
    most
        Attribute name to how many products may share a value of it.
    """

    most: Mapping[str, int]

    def order(self, pool: Pool, k: int) -> Order:
        """See `Reranker.order`."""
        kinds = [(name, most, [_kinds(value) for value in pool.values(name)]) for name, most in self.most.items()]
        seen: Counter[tuple[str, Any]] = Counter()
        kept, over = [], []
        for place in range(len(pool.rows)):
            of = [(name, most, kind) for name, most, values in kinds for kind in values[place]]
            if any(seen[name, kind] >= most for name, most, kind in of):
                over.append(place)
                continue
            kept.append(place)
            seen.update((name, kind) for name, _, kind in of)
        return Order(kept + over, len(kept))


def _kinds(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def create(most: Any) -> Reranker:
    """Make the re-ranker; raises `RequestError` if `most` is no mapping of names to whole numbers."""
    if not isinstance(most, Mapping):
        raise RequestError(f"max_per is {most!r}; expected such as {{'brand': 3}}", "/diversity/max_per")
    for name, number in most.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise RequestError(
                f"max_per {name} is {number!r}; expected a whole number of at least 1",
                f"/diversity/max_per/{name}",
            )
    return Caps(most)
