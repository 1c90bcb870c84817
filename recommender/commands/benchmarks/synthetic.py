"""Synthetic product vectors that are as hard to search as real ones, from a seed."""

import numpy as np

from recommender.core.blocks import Float, Layout, Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment


def clustered(n: int, dim: int, seed: int, queries: int) -> tuple[Float, Float, Rows]:
    """Return unit vectors in clusters of clusters with a falling spectrum, queries of that kind, and the clusters.

    Returns
    -------
    vectors
        (n, dim) float32.
    queries
        (queries, dim) float32.
    clusters
        (n,): the large cluster of each vector.
    """
    generator = np.random.default_rng(seed)
    spectrum = (np.arange(1, dim + 1) ** -0.4).astype(np.float32)

    def around(centres: Float, spread: float) -> Float:
        return centres + spread * generator.standard_normal((len(centres), dim), dtype=np.float32) * spectrum

    small = max(n // 40, 1)
    large = around(np.zeros((max(small // 30, 1), dim), np.float32), 1.0)
    of_small = generator.integers(0, len(large), small)
    centres = around(large[of_small], 1.0)
    drawn = generator.integers(0, small, n + queries)
    vectors = np.concatenate([around(centres[part], 1.54) for part in np.array_split(drawn, 20)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[:n], vectors[n:], of_small[drawn[:n]].astype(np.int32)


def intrinsic_dimension(vectors: Float, queries: Float, near: int = 100) -> float:
    """Return the local intrinsic dimension by maximum likelihood (Levina and Bickel, NeurIPS 2004)."""
    scores = -np.sort(-(queries[:100] @ vectors.T), axis=1)[:, :near]
    distances = np.sqrt(np.maximum(2 - 2 * scores, 1e-12))
    return float(np.mean(-1 / np.log(distances[:, :-1] / distances[:, -1:]).mean(axis=1)))


def segment_of(vectors: Float) -> Segment:
    """Return a segment whose only block, image, has these vectors."""
    n, dim = vectors.shape
    return Segment(
        vectors=vectors,
        present=np.ones((n, 1), bool),
        prior=np.zeros(n, np.float32),
        groups=np.arange(n, dtype=np.int32),
        neighbours=None,
        cooccurrence=Cooccurrence.empty(n),
        complements=Cooccurrence.empty(n),
        layout=Layout({"image": dim}),
    )
