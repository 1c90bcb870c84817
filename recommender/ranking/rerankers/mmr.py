"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): good products, unlike those above them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.core.blocks import Double, unit
from recommender.errors import RequestError
from recommender.ranking.rerankers.base import Order, Pool, Reranker

# Among so many times k products a place is chosen; those further down stay where they are.
REACH = 5


@dataclass(frozen=True)
class MaximalMarginalRelevance:
    """Takes, place by place, the product of largest (1 − λ) · relevance − λ · likeness to what is above.

    Relevance is the score between the pool's worst, 0, and its best, 1; likeness is the cosine of fused vectors.

    Parameters
    ----------
    strength
        λ, in [0, 1]: 0 leaves the order by score, 1 looks at likeness alone after the first.
    """

    strength: float

    def order(self, pool: Pool, k: int) -> Order:
        """See `Reranker.order`."""
        c = len(pool.rows)
        near = min(c, REACH * k)
        vectors = unit(np.asarray(pool.vectors[:near]))
        relevance = _relevance(pool.scores[:near])
        chosen: list[int] = []
        likeness = np.full(near, -1.0)
        left = np.ones(near, dtype=bool)
        for _ in range(near):
            worth = (1 - self.strength) * relevance - (self.strength * likeness if chosen else 0.0)
            best = int(np.argmax(np.where(left, worth, -np.inf)))
            chosen.append(best)
            left[best] = False
            likeness = np.maximum(likeness, vectors @ vectors[best])
        return Order([*chosen, *range(near, c)], c)


def _relevance(scores: Double) -> Double:
    if not len(scores):
        return scores
    return (scores - scores.min()) / max(float(np.ptp(scores)), 1e-12)


def create(strength: Any) -> Reranker:
    """Make the re-ranker; raises `RequestError` if `strength` is no number from 0 to 1."""
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise RequestError(f"mmr is {strength!r}; expected a number from 0 to 1", "/diversity/mmr")
    return MaximalMarginalRelevance(float(strength))
