"""Learns item vectors from events: ELSA, a linear autoencoder whose user is the sum of unit item vectors."""

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional as F

from recommender.blocks import Float
from recommender.catalog import Interactions
from recommender.progress import progress

DIM = 64
BATCH = 256
STEPS = 1_500
LEAST_ITEMS = 3


def fit_behaviour(interactions: Interactions, n: int, seed: int) -> tuple[Float, np.ndarray]:
    """Train ELSA (Vančura et al., RecSys 2022) on the positive events.

    Parameters
    ----------
    n
        Number of products.

    Returns
    -------
    tuple
        Item vectors, shape (n, DIM), norm 1 for products with events and 0 without; and the number of users of
        each product, shape (n,).
    """
    frame = interactions.frame[interactions.event_weights() > 0]
    frame = frame.drop_duplicates(["user_id", "row"])
    counts = np.bincount(frame["row"].to_numpy(), minlength=n)
    seen = np.flatnonzero(counts)
    vectors = np.zeros((n, DIM), dtype=np.float32)
    if len(seen) < LEAST_ITEMS:
        return vectors, counts
    vectors[seen] = _train(
        _matrix(frame["user_id"].to_numpy(), np.searchsorted(seen, frame["row"]), len(seen)), seed
    )
    return vectors, counts


def _matrix(users: np.ndarray, items: np.ndarray, size: int) -> sparse.csr_array:
    """Users by items, only users with two items or more: one item alone has nothing to be predicted from."""
    user = np.unique(users, return_inverse=True)[1]
    matrix = sparse.coo_array((np.ones(len(user), dtype=np.float32), (user, items)), shape=(user.max() + 1, size))
    matrix = matrix.tocsr()
    return matrix[np.flatnonzero(np.diff(matrix.indptr) >= 2)]


def _train(matrix: sparse.csr_array, seed: int) -> Float:
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    weights = torch.nn.Parameter(torch.randn(matrix.shape[1], DIM) * DIM**-0.5)
    optimizer = torch.optim.NAdam([weights], lr=0.02)
    steps = min(STEPS, max(100, 40 * matrix.shape[0] // BATCH)) if matrix.shape[0] else 0
    for _ in progress(range(steps), "behaviour vectors", steps, "step"):
        users = matrix[generator.integers(0, matrix.shape[0], min(BATCH, matrix.shape[0]))]
        x = torch.from_numpy(users.toarray())
        unit = F.normalize(weights, dim=1)
        guess = torch.relu(x @ unit @ unit.T - x)
        loss = F.mse_loss(F.normalize(guess, dim=1), F.normalize(x, dim=1), reduction="sum") / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return F.normalize(weights.detach(), dim=1).numpy()
