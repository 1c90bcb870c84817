"""Select the k best rows of a score matrix: full ranking, no sampled negatives."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.core.blocks import Mask, Rows

NO_ROW = np.int32(-1)


def top_k(
    scores: NDArray[np.floating], k: int, seen: csr_array | None = None, candidates: Mask | None = None
) -> Rows:
    """Return the k best rows of each query (b, k), ties by row, -1 where candidates run out.

    Parameters
    ----------
    scores
        (b, n), overwritten with -inf where a row was seen.
    seen
        (b, n) rows left out for their query.
    candidates
        (n,) rows that may be recommended at all; None: every one.
    """
    if seen is not None:
        mask_out(scores, seen)
    if candidates is not None:
        columns = np.flatnonzero(candidates).astype(np.int32)
        best = top_k(scores[:, columns], k)
        return np.where(best < 0, NO_ROW, columns[best]) if len(columns) else best
    width = min(k, scores.shape[1])
    rows = np.full((len(scores), k), NO_ROW)
    if not width or not len(scores):
        return rows
    mask = _best(scores, width)
    query, row = np.nonzero(mask)  # ascending rows, so that a stable sort breaks ties by row
    order = np.lexsort((-scores[query, row], query))
    count = mask.sum(axis=1)
    rank = np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count)
    rows[query, rank] = row[order]
    return rows


def mask_out(scores: NDArray[np.floating], seen: csr_array) -> NDArray[np.floating]:
    """Overwrite the scores of seen rows with -inf, (b, n)."""
    scores[np.repeat(np.arange(len(scores)), np.diff(seen.indptr)), seen.indices] = -np.inf
    return scores


def _best(scores: NDArray[np.floating], k: int) -> Mask:
    """Mask the k largest scores of each line, of equal ones the first; fewer where others are -inf, (b, n)."""
    cut = np.partition(scores, -k, axis=1)[:, -k, None]
    cut = np.maximum(cut, np.finfo(scores.dtype).min)
    best: Mask = scores > cut
    tied = scores == cut
    missing = k - best.sum(axis=1)
    for query in np.flatnonzero(tied.sum(axis=1) > missing).tolist():
        tied[query, np.flatnonzero(tied[query])[missing[query] :]] = False
    best |= tied
    return best
