"""Limit how many products may share a brand, or a value of any other attribute."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recommender.errors import RequestError
from recommender.ranking.rerankers.base import Order, Pool, Reranker


@dataclass(frozen=True)
class MaxPer:
    """Moves a product down once `max_per` others above it share a value; a null counts for nothing.

    Parameters
    ----------
    max_per
        Attribute name to the number of products that may share a value of it.
    """

    max_per: Mapping[str, int]

    def order(self, pool: Pool, k: int) -> Order:
        """See `Reranker.order`."""
        columns = [
            (most, Counter[Any](), [_as_list(value) for value in pool.values(name)])
            for name, most in self.max_per.items()
        ]
        satisfied, exceeding = [], []
        for position in range(len(pool.rows)):
            shared = ((counts.get(each, 0), most) for most, counts, values in columns for each in values[position])
            if any(count >= most for count, most in shared):
                exceeding.append(position)
                continue
            satisfied.append(position)
            for _, counts, values in columns:
                counts.update(values[position])
        return Order(satisfied + exceeding, len(satisfied))


def _as_list(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def create(max_per: Any) -> Reranker:
    """Make the re-ranker; raises `RequestError` if `max_per` does not map names to whole numbers."""
    if not isinstance(max_per, Mapping):
        raise RequestError(f"max_per is {max_per!r}; expected such as {{'brand': 3}}", "/diversity/max_per")
    for name, number in max_per.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise RequestError(
                f"max_per {name} is {number!r}; expected a whole number of at least 1",
                f"/diversity/max_per/{name}",
            )
    return MaxPer(max_per)
