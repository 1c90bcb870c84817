"""What a re-ranker is given, and what it returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from recommender.core.blocks import Double, Float, Rows


@dataclass(frozen=True)
class Pool:
    """More products than are to be shown, best first.

    Parameters
    ----------
    rows
        Shape (c,).
    scores
        Shape (c,), non-increasing.
    vectors
        Fused item vectors, shape (c, d).
    values
        Attribute name to what each product holds: a string, a number, a list of strings or None; length c.
    """

    rows: Rows
    scores: Double
    vectors: Float
    values: Callable[[str], Sequence[Any]]

    def take(self, positions: Sequence[int]) -> "Pool":
        """Return the pool in another order."""
        places = list(positions)

        def values(name: str) -> list[Any]:
            known = self.values(name)
            return [known[place] for place in places]

        return Pool(self.rows[places], self.scores[places], self.vectors[places], values)


class Order(NamedTuple):
    """Every position of a pool in its new order, and how many of the first satisfy the re-ranker."""

    positions: list[int]
    satisfied: int


class Reranker(Protocol):
    """Changes the order of a pool; knows nothing of what came before."""

    def order(self, pool: Pool, k: int) -> Order:
        """Return the new order; the first `k` will be shown.

        Where fewer than `k` satisfy it and there are more items, a larger pool is offered.
        """
