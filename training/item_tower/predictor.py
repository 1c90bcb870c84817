"""Learns to predict each block from every pattern of the others, by dropping blocks."""

from itertools import combinations

import numpy as np

from recommender.core.blocks import Float, Layout, Mask
from recommender.towers.predictor import BlockPredictor

RIDGE = 0.01  # times the mean energy of a column
LEAST_ITEMS = 30


def fit_predictor(vectors: Float, present: Mask, layout: Layout) -> BlockPredictor:
    """Fit one ridge regression per missing block and pattern of present ones.

    Dropping blocks at random and regressing has a closed form here: for each pattern the Gram matrix of the
    items that have all of its blocks.

    Parameters
    ----------
    vectors
        Own blocks, zero where missing, shape (n, d).
    present
        Shape (n, M).
    """
    maps = {}
    for name in layout.names:
        others = [other for other in layout.names if other != name]
        for size in range(1, len(others) + 1):
            for used in combinations(others, size):
                matrix = _fit(vectors, present, layout, name, used)
                if matrix is not None:
                    maps[(name, used)] = matrix
    return BlockPredictor(maps, layout)


def _fit(vectors: Float, present: Mask, layout: Layout, name: str, used: tuple[str, ...]) -> Float | None:
    needed = [layout.index(block) for block in (name, *used)]
    rows = np.flatnonzero(present[:, needed].all(axis=1))
    if len(rows) < LEAST_ITEMS:
        return None
    x = np.concatenate([vectors[rows, layout.slices[block]] for block in used], axis=1)
    y = vectors[rows, layout.slices[name]]
    gram = (x.T @ x).astype(np.float64)
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram) + 1e-6
    return np.linalg.solve(gram, (x.T @ y).astype(np.float64)).astype(np.float32)
