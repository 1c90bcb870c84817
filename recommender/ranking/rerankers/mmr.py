"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): relevant and diverse products."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.core.blocks import Double, unit
from recommender.errors import RequestError
from recommender.ranking.rerankers.base import Order, Pool, Reranker

# The best POOL_FACTOR * k products are re-ranked; the rest stay where they are.
POOL_FACTOR = 5


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
        vectors = unit(np.asarray(pool.vectors[:size]))
        relevance = _relevance(pool.scores[:size])
        chosen: list[int] = []
        similarity = np.full(size, -1.0)
        remaining = np.ones(size, dtype=bool)
        for _ in range(size):
            value = (1 - self.strength) * relevance - (self.strength * similarity if chosen else 0.0)
            best = int(np.argmax(np.where(remaining, value, -np.inf)))
            chosen.append(best)
            remaining[best] = False
            similarity = np.maximum(similarity, vectors @ vectors[best])
        return Order([*chosen, *range(size, c)], c)


def _relevance(scores: Double) -> Double:
    if not len(scores):
        return scores
    return (scores - scores.min()) / max(float(np.ptp(scores)), 1e-12)


def create(strength: Any) -> Reranker:
    """Make the re-ranker; raises `RequestError` if `strength` is no number from 0 to 1."""
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise RequestError(f"mmr is {strength!r}; expected a number from 0 to 1", "/diversity/mmr")
    return MaximalMarginalRelevance(float(strength))
