"""Held-out retrieval: how often a text finds its own photo, and a photo its own text."""

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Float, Mask

CUTS = (1, 5, 10)
_AT_ONCE = 1024


def hold_out(groups: NDArray[np.integer], share: float, rng: np.random.Generator) -> Mask:
    """Return the mask (p,) of a share of the groups, whole ones, drawn at random."""
    names, group = np.unique(groups, return_inverse=True)
    chosen = np.zeros(len(names), dtype=bool)
    chosen[rng.permutation(len(names))[: round(share * len(names))]] = True
    return chosen[group]


def recall(queries: Float, answers: Float) -> dict[str, float]:
    """Return the share of queries whose own answer is among the first 1, 5 and 10 of all; ties count against it.

    Parameters
    ----------
    queries, answers
        Vectors of norm 1, rows paired, shape (p, d).
    """
    ranks = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(queries), _AT_ONCE):
        scores = queries[start : start + _AT_ONCE] @ answers.T
        own = scores[np.arange(len(scores)), start + np.arange(len(scores))]
        ranks.append((~(scores < own[:, None])).sum(axis=1))  # not a number counts against it too
    rank = np.concatenate(ranks)
    return {f"recall@{k}": round(float((rank <= k).mean()), 4) if len(rank) else 0.0 for k in CUTS}


def mean_recall(image: Float, text: Float) -> dict[str, float]:
    """Return the recall of texts asked for their photo, and the mean of both directions at the three cuts.

    The mean is what models of image–text retrieval are chosen by (the "rsum" of Faghri et al., VSE++, BMVC 2018);
    one cut alone is 0 or 1 on a small catalogue.
    """
    found = recall(text, image)
    both = [*found.values(), *recall(image, text).values()]
    return {**found, "mean_recall": round(float(np.mean(both)), 4)}
