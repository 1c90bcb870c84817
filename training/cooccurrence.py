"""Counts what is chosen together: shrunk cosine over pairs, the nearer in time the heavier."""

import numpy as np
from scipy import sparse

from recommender.catalog import Interactions
from recommender.cooccurrence import Cooccurrence
from training.pairs import Pairs

HALF_LIFE_DAYS = 60.0
SHRINK = 1.0
KEPT = 200  # strongest partners of a product


def fit_cooccurrence(interactions: Interactions, pairs: Pairs, n: int) -> Cooccurrence:
    """Count pairs into C.

    C[i, j] = c_ij / (√(c_i c_j) + shrink), where c_ij sums 0.5^(days apart / half-life) over the pairs of one
    user and c_i counts the users of i (item-based nearest neighbours: Deshpande and Karypis, TOIS 2004).

    Parameters
    ----------
    n
        Number of products.
    """
    if not len(pairs):
        return Cooccurrence.empty(n)
    strength = 0.5 ** (pairs.days / HALF_LIFE_DAYS)
    counts = sparse.coo_array((strength, (pairs.first, pairs.second)), shape=(n, n)).tocsr()
    counts = (counts + counts.T).tocoo()
    frame = interactions.frame[interactions.event_weights() > 0]
    users = frame.drop_duplicates(["user_id", "row"])["row"].to_numpy()
    popularity = np.bincount(users, minlength=n).astype(np.float64)
    i, j = counts.coords
    values = np.minimum(counts.data / (np.sqrt(popularity[i] * popularity[j]) + SHRINK), 1.0)
    return _strongest(i, j, values, n)


def _strongest(i: np.ndarray, j: np.ndarray, values: np.ndarray, n: int) -> Cooccurrence:
    order = np.lexsort((j, -values, i))
    i, j, values = i[order], j[order], values[order]
    place = np.arange(len(i)) - np.searchsorted(i, i)
    kept = np.flatnonzero(place < KEPT)
    kept = kept[np.lexsort((j[kept], i[kept]))]
    indptr = np.searchsorted(i[kept], np.arange(n + 1)).astype(np.int64)
    return Cooccurrence(indptr, j[kept].astype(np.int32), values[kept].astype(np.float32))
