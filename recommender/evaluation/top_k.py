"""Select the k best rows of a score matrix: full ranking, no sampled negatives."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.core.blocks import Mask, Rows


def top_k(
    scores: NDArray[np.floating], k: int, seen: csr_array | None = None, candidates: Mask | None = None
) -> Rows:
    """Return the k best rows of each query (b, k), ties by row, -1 where candidates run out.

    Parameters
    ----------
    scores
        (b, n), overwritten with -inf where a row may not be recommended.
    seen
        (b, n) rows left out for their query.
    candidates
        (n,) rows that may be recommended at all; None: every one.
    """
    if seen is not None:
        scores[np.repeat(np.arange(len(scores)), np.diff(seen.indptr)), seen.indices] = -np.inf
    if candidates is not None:
        scores[:, ~candidates] = -np.inf
    rows = np.full((len(scores), k), -1, np.int32)
    for query, row_scores in enumerate(scores):
        best = _top(row_scores, min(k, scores.shape[1]))
        rows[query, : len(best)] = best
    return rows


def _top(scores: NDArray[np.floating], k: int) -> NDArray[np.intp]:
    threshold = max(np.partition(scores, -k)[-k], np.finfo(scores.dtype).min)
    rows = np.flatnonzero(scores >= threshold)  # ascending, so that a stable sort breaks ties by row
    return rows[np.argsort(-scores[rows], kind="stable")][:k]
