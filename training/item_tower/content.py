"""Fits the image and text blocks: means and principal axes."""

import numpy as np
from scipy.linalg import eigh

from recommender.core.blocks import Float, Mask
from recommender.towers.content import ContentBlock

RAW_DIMS = 192
# Share of a block's energy in its aligned part.
ALIGNED_SHARE = 0.3
# The axes are estimated on at most this many items.
SAMPLE = 50_000


def fit_content(encoded: Float, has: Mask, projected: Float | None, seed: int) -> ContentBlock:
    """Fit one modality's block.

    Parameters
    ----------
    encoded
        Encoder vectors, shape (n, d_e).
    has
        Which items have the modality, shape (n,).
    projected
        The aligned projection of `encoded`, shape (n, d_a), if one was trained.
    """
    rows = np.flatnonzero(has)
    if len(rows) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
    known = encoded[rows].astype(np.float64)
    mean = known.mean(axis=0)
    centred = known - mean
    # each item counts the same, as it does once its block has norm 1
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    d = centred.shape[1]
    kept = [max(d - RAW_DIMS, 0), d - 1]  # eigenvalues ascend
    axes = eigh(centred.T @ centred, subset_by_index=kept, overwrite_a=True)[1][:, ::-1]
    axes = np.ascontiguousarray(axes)  # a file keeps no strides
    if projected is None:
        aligned_mean, share = np.empty(0, dtype=np.float32), 0.0
    else:
        aligned_mean, share = projected[rows].mean(axis=0).astype(np.float32), ALIGNED_SHARE
    return ContentBlock(mean.astype(np.float32), axes.astype(np.float32), aligned_mean, share)
