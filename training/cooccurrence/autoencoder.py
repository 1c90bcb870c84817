"""The positive weights of a linear autoencoder, EASE, as a sparse item–item table."""

import numpy as np
import torch
from scipy import sparse

from recommender.catalog import Interactions
from recommender.evaluation.baselines import user_item_matrix
from recommender.evaluation.linear_autoencoder import CHUNK, LinearAutoencoder
from recommender.progress import progress
from training.cooccurrence.pairs import MAX_PARTNERS
from training.cooccurrence.sparse import Table

MAX_MODELLED = 8_000  # products, the most popular: the time grows with the cube, the memory with the square
PENALTY = 250.0


def autoencoder_table(interactions: Interactions, n: int) -> Table:
    """Return the largest positive weights of each product's row of EASE, at most 1, shape (n, n).

    Neighbours count a pair of products alone; a linear autoencoder explains a product by all of a user's products
    at once, so that what is bought with everything says little.
    """
    users = user_item_matrix(interactions, n)
    items = _most_popular(np.asarray(users.sum(axis=0)))
    if len(items) < 2:
        return sparse.csr_array((n, n))
    model = LinearAutoencoder(sparse.csr_array(users[:, items], dtype=np.float32), PENALTY)
    k = min(MAX_PARTNERS, len(items) - 1)
    parts = []
    chunks = range(0, len(items), CHUNK)
    for start in progress(chunks, "linear autoencoder", len(chunks), "chunk"):
        rows = np.arange(start, min(start + CHUNK, len(items)))
        ones = (np.ones(len(rows), np.float32), (np.arange(len(rows)), rows))
        weights = torch.from_numpy(model.scores(sparse.csr_array(ones, shape=(len(rows), len(items)))))
        weights[torch.arange(len(rows)), torch.from_numpy(rows)] = -torch.inf  # 0 but for rounding
        best, columns = weights.topk(k, dim=1, sorted=False)
        parts.append((np.repeat(items[rows], k), items[columns.numpy().ravel()], best.numpy().ravel()))
    row, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    positive = value > 0
    table = sparse.coo_array((value[positive], (row[positive], column[positive])), shape=(n, n)).tocsr()
    table.data = table.data.astype(np.float64) / table.data.max(initial=1e-12)
    return table


def _most_popular(counts: np.ndarray) -> np.ndarray:
    """Return the products with the most users, at most `MAX_MODELLED`, none without a user; ascending."""
    known = np.flatnonzero(counts)
    return np.sort(known[np.argsort(-counts[known], kind="stable")[:MAX_MODELLED]])
