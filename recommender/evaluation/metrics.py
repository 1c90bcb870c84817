"""Ranking metrics as trec_eval defines them, vectorised over queries.

Lists are rows, int32 (b, k), best first, padded with -1. Relevance is a boolean sparse matrix (b, n). A query
without a relevant item has no value: NaN, left out of every mean.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.core.blocks import Rows

Floats = NDArray[np.float64]
Hits = NDArray[np.bool_]


def hits(rows: Rows, relevant: csr_array) -> Hits:
    """Mark the recommended rows (b, k) that are relevant (b, n); padding never is."""
    queries = np.broadcast_to(np.arange(rows.shape[0])[:, None], rows.shape)
    n = relevant.shape[1]
    cells = np.repeat(np.arange(rows.shape[0]), np.diff(relevant.indptr)) * n + relevant.indices
    return np.isin(queries * n + rows, cells) & (rows >= 0)


def counts(relevant: csr_array) -> Floats:
    """Count the relevant rows of each query (b,)."""
    return np.diff(relevant.indptr).astype(np.float64)


def hit_rate(hit: Hits, count: Floats) -> Floats:
    """Return 1 where at least one of the k is relevant (HR@k, trec_eval's success_k)."""
    return _where_any(hit.any(axis=1).astype(np.float64), count)


def precision(hit: Hits, count: Floats) -> Floats:
    """Return the share of the k that are relevant, over k even where the list is shorter (P_k)."""
    return _where_any(hit.sum(axis=1) / hit.shape[1], count)


def recall(hit: Hits, count: Floats) -> Floats:
    """Return the share of the relevant that is among the k (recall_k: over all relevant, not over min(k, all))."""
    return _where_any(hit.sum(axis=1) / np.maximum(count, 1), count)


def ndcg(hit: Hits, count: Floats) -> Floats:
    """Return the discounted cumulative gain over the ideal one at k, discount log2(rank + 1) (ndcg_cut_k)."""
    discount = 1 / np.log2(np.arange(2, hit.shape[1] + 2))
    ideal = np.concatenate([[np.inf], np.cumsum(discount)])[np.minimum(count, hit.shape[1]).astype(int)]
    return _where_any(hit @ discount / ideal, count)


def reciprocal_rank(hit: Hits, count: Floats) -> Floats:
    """Return one over the rank of the first relevant item, 0 if none; its mean is the MRR (recip_rank)."""
    return _where_any(hit.any(axis=1) / (hit.argmax(axis=1) + 1), count)


def average_precision(hit: Hits, count: Floats) -> Floats:
    """Return the sum of precision at each relevant item over their count; its mean is the MAP (map_cut_k)."""
    precision_at = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
    return _where_any((precision_at * hit).sum(axis=1) / np.maximum(count, 1), count)


RANKING: dict[str, Callable[[Hits, Floats], Floats]] = {
    "hit_rate": hit_rate,
    "recall": recall,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
}


def measure(rows: Rows, relevant: csr_array) -> Floats:
    """Return every metric of `RANKING` for each query, (b, len(RANKING)); NaN where nothing is relevant."""
    hit, count = hits(rows, relevant), counts(relevant)
    return np.column_stack([metric(hit, count) for metric in RANKING.values()])


def _where_any(values: NDArray[np.float64] | np.float64, count: Floats) -> Floats:
    return np.where(count > 0, values, np.nan)
