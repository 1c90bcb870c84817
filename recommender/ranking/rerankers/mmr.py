"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): relevant and diverse products."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.core.blocks import Double, Float, unit
from recommender.errors import RequestError
from recommender.ranking.rerankers.base import Order, Pool, Reranker

# The best POOL_FACTOR * k products are re-ranked; the rest stay where they are.
POOL_FACTOR = 5
# Up to so many, one matrix product gives all similarities; more would take too much memory.
MAX_MATRIX = 2_000


@dataclass(frozen=True)
class MaximalMarginalRelevance:
    """Fills each rank with the product of the largest (1 − λ) · relevance − λ · similarity to those above.

    Relevance is the score, scaled to [0, 1] over the pool; similarity is the cosine of fused vectors, the largest
    over the products above.

    Parameters
    ----------
    strength
        λ, in [0, 1]: 0 leaves the order by score, 1 ranks by dissimilarity alone after the first.
    """

    strength: float

    def order(self, pool: Pool, k: int) -> Order:
        """See `Reranker.order`."""
        c = len(pool.rows)
        size = min(c, POOL_FACTOR * k)
        similarities = _similarities(unit(np.asarray(pool.vectors[:size])))
        relevance = (1 - self.strength) * _relevance(pool.scores[:size])
        chosen: list[int] = []
        nearest = np.full(size, -1.0)
        for _ in range(size):
            best = int(np.argmax(relevance - self.strength * nearest))
            chosen.append(best)
            relevance[best] = -np.inf
            np.maximum(nearest, similarities(best), out=nearest)
        return Order([*chosen, *range(size, c)], c)


def _similarities(vectors: Float) -> Callable[[int], Float]:
    """Return a function from a position to the similarities of all vectors to that one, shape (size,)."""
    if len(vectors) > MAX_MATRIX:
        return lambda position: vectors @ vectors[position]
    matrix = vectors @ vectors.T
    return lambda position: matrix[position]


def _relevance(scores: Double) -> Double:
    if not len(scores):
        return scores
    return (scores - scores.min()) / max(float(np.ptp(scores)), 1e-12)


def create(strength: Any) -> Reranker:
    """Make the re-ranker; raises `RequestError` if `strength` is no number from 0 to 1."""
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise RequestError(f"mmr is {strength!r}; expected a number from 0 to 1", "/diversity/mmr")
    return MaximalMarginalRelevance(float(strength))
