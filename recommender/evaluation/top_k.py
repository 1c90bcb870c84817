"""Select the k best rows of a score matrix: full ranking, no sampled negatives."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.core.blocks import Mask, Rows
from recommender.retrieval.selection import largest

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
    columns = None if candidates is None else np.flatnonzero(candidates).astype(np.int32)
    width = min(k, scores.shape[1] if columns is None else len(columns))
    rows = np.full((len(scores), k), NO_ROW)
    for best, line in zip(rows, scores, strict=True):
        among = line if columns is None else line[columns]
        found = largest(among, width)
        best[: len(found)] = found if columns is None else columns[found]
    return rows


def mask_out(scores: NDArray[np.floating], seen: csr_array) -> NDArray[np.floating]:
    """Overwrite the scores of seen rows with -inf, (b, n)."""
    scores[np.repeat(np.arange(len(scores)), np.diff(seen.indptr)), seen.indices] = -np.inf
    return scores
