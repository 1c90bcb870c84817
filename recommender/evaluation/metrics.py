"""How good ranked lists are, as trec_eval counts: every measure is vectorised over queries.

Lists are rows, int32 (b, k), best first, padded with -1. What is right is a boolean sparse matrix (b, n).
A query with nothing right has no value: NaN, left out of every mean.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Rows = NDArray[np.int32]
Hits = NDArray[np.bool_]


def hits(rows: Rows, relevant: csr_array) -> Hits:
    """Mark which recommended rows (b, k) are right (b, n); padding never is."""
    queries = np.broadcast_to(np.arange(rows.shape[0])[:, None], rows.shape)
    n = relevant.shape[1]
    right = np.repeat(np.arange(rows.shape[0]), np.diff(relevant.indptr)) * n + relevant.indices
    return np.isin(queries * n + rows, right) & (rows >= 0)


def counts(relevant: csr_array) -> Floats:
    """Count the right rows of each query (b,)."""
    return np.diff(relevant.indptr).astype(np.float64)


def hit_rate(hit: Hits, count: Floats) -> Floats:
    """Return 1 where at least one of the k is right (HR@k, trec_eval's success_k)."""
    return _where_any(hit.any(axis=1).astype(np.float64), count)


def precision(hit: Hits, count: Floats) -> Floats:
    """Share of the k that are right; a short list is not forgiven (P_k)."""
    return _where_any(hit.sum(axis=1) / hit.shape[1], count)


def recall(hit: Hits, count: Floats) -> Floats:
    """Share of what is right that is among the k (recall_k: over all of it, not over min(k, all))."""
    return _where_any(hit.sum(axis=1) / np.maximum(count, 1), count)


def ndcg(hit: Hits, count: Floats) -> Floats:
    """Discounted gain over the best that k places allow, discount log2(rank + 1) (ndcg_cut_k)."""
    discount = 1 / np.log2(np.arange(2, hit.shape[1] + 2))
    ideal = np.concatenate([[np.inf], np.cumsum(discount)])[np.minimum(count, hit.shape[1]).astype(int)]
    return _where_any(hit @ discount / ideal, count)


def reciprocal_rank(hit: Hits, count: Floats) -> Floats:
    """One over the rank of the first right one, 0 if none; its mean is the MRR (recip_rank)."""
    return _where_any(hit.any(axis=1) / (hit.argmax(axis=1) + 1), count)


def average_precision(hit: Hits, count: Floats) -> Floats:
    """Precision at each right one, summed, over all that is right; its mean is the mAP (map_cut_k)."""
    at = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
    return _where_any((at * hit).sum(axis=1) / np.maximum(count, 1), count)


RANKING: dict[str, Callable[[Hits, Floats], Floats]] = {
    "hit_rate": hit_rate,
    "recall": recall,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
}


def measure(rows: Rows, relevant: csr_array) -> Floats:
    """Every measure of `RANKING` for each query, (b, len(RANKING)); NaN where nothing is right."""
    hit, count = hits(rows, relevant), counts(relevant)
    return np.column_stack([metric(hit, count) for metric in RANKING.values()])


def coverage(rows: Rows, n: int) -> float:
    """Share of the n items that stand in at least one list."""
    return np.unique(rows[rows >= 0]).size / n


def novelty(rows: Rows, popularity: Floats) -> float:
    """Mean surprise -log2 p of what is recommended, in bits, p = (count + 1) / (all counts + n).

    The self-information of Zhou et al., "Solving the apparent diversity-accuracy dilemma", PNAS 2010; one event
    is added to each item so that a new one is finite.
    """
    bits = -np.log2((popularity + 1) / (popularity.sum() + popularity.size))
    return float(bits[rows[rows >= 0]].mean()) if (rows >= 0).any() else float("nan")


def _where_any(values: NDArray[np.float64] | np.float64, count: Floats) -> Floats:
    return np.where(count > 0, values, np.nan)
