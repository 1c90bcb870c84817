"""The interface of re-rankers: a pool of products in, an order out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from recommender.core.blocks import Double, Float, Rows


@dataclass(frozen=True)
class Pool:
    """The best products, more than will be shown, best first.

    Parameters
    ----------
    rows
        Shape (c,).
    scores
        Shape (c,), non-increasing.
    vectors
        Fused item vectors, shape (c, d).
    values
        Returns the values of an attribute by its name: each a string, number, list of strings or None; length c.
    """

    rows: Rows
    scores: Double
    vectors: Float
    values: Callable[[str], Sequence[Any]]

    def take(self, positions: Sequence[int]) -> "Pool":
        """Return the pool in another order."""
        order = list(positions)

        def values(name: str) -> list[Any]:
            unordered = self.values(name)
            return [unordered[position] for position in order]

        return Pool(self.rows[order], self.scores[order], self.vectors[order], values)


class Order(NamedTuple):
    """All positions of a pool in their new order, and the number of leading ones that satisfy the re-ranker."""

    positions: list[int]
    satisfied: int


class Reranker(Protocol):
    """Changes the order of a pool; stateless."""

    def order(self, pool: Pool, k: int) -> Order:
        """Return the new order; the first `k` will be shown.

        Where fewer than `k` satisfy it and there are more items, a larger pool is offered.
        """
