"""Annoy over shortened vectors: candidate rows for any query under any weights. Rows, never scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from annoy import AnnoyIndex

from recommender.blocks import Double, Float, Layout, Rows
from recommender.scoring import Query

# A block's leading dimensions are kept until they hold this share of its energy, but no more than so many.
ENERGY = 0.8
MOST_DIMS = 48
# Blocks enter the trees scaled by the root of their learned weight; none vanishes: a request may turn it up.
LEAST_SCALE = 0.2


@dataclass(frozen=True)
class Index:
    """An Annoy forest in which angular order is the order of the score's inner product.

    Each block is rotated to its principal axes (uncentred PCA, so that inner products survive) and cut; the
    prior is one more dimension; a last one brings every item to the same norm, which turns inner product into
    cosine (Bachrach et al., RecSys 2014).

    Parameters
    ----------
    forest
        The loaded Annoy index.
    axes
        Leading axes of each block, side by side on the diagonal, shape (d, p).
    scale
        Root of the weight that each block had at the build, per kept column, shape (p,).
    prior_scale
        The same for the prior.
    layout
        Where the blocks lie in a fused vector.
    """

    forest: AnnoyIndex
    axes: Float
    scale: Double
    prior_scale: float
    layout: Layout

    @classmethod
    def build(
        cls,
        folder: Path,
        vectors: Float,
        prior: Float,
        layout: Layout,
        weights: Mapping[str, float],
        trees: int,
        seed: int,
    ) -> None:
        """Write `index.ann` and what is needed to ask it into a part's folder.

        Parameters
        ----------
        vectors
            Shape (n, d).
        prior
            Shape (n,).
        weights
            The learned weights; they shape the trees, not the answers.
        """
        axes, owner = _leading_axes(vectors, layout)
        scale = np.array([max(weights.get(name, 0.0) ** 0.5, LEAST_SCALE) for name in owner])
        prior_scale = max(weights.get("prior", 0.0) ** 0.5, LEAST_SCALE)
        points = np.column_stack([(vectors @ axes) * scale, prior * prior_scale])
        norms = np.linalg.norm(points, axis=1)
        points = np.column_stack([points, np.sqrt(np.maximum(norms.max() ** 2 - norms**2, 0.0))])
        forest = AnnoyIndex(points.shape[1], "angular")
        forest.set_seed(seed)
        for row, point in enumerate(points.tolist()):
            forest.add_item(row, point)
        forest.build(trees, n_jobs=1)  # one job: the same file from the same seed
        forest.save(str(folder / "index.ann"))
        np.save(folder / "index_axes.npy", axes.astype(np.float32))
        np.save(folder / "index_scale.npy", np.append(scale, prior_scale))

    @classmethod
    def open(cls, path: Path, load: Callable[[str], np.ndarray], layout: Layout) -> "Index":
        """Map the forest; the bundle has checked its size, since Annoy itself crashes on a bad file."""
        axes, scale = load("index_axes.npy"), load("index_scale.npy")
        forest = AnnoyIndex(axes.shape[1] + 2, "angular")
        forest.load(str(path), prefault=True)
        return cls(forest, np.asarray(axes), np.asarray(scale[:-1]), float(scale[-1]), layout)

    def candidates(self, query: Query, weights: Mapping[str, float], count: int, search_k: int) -> Rows:
        """Return up to `count` rows near the query under `weights`, nearest first, shape (c,)."""
        block = (query.vector * self.layout.spread(weights)) @ self.axes / self.scale
        point = [*block.tolist(), weights.get("prior", 0.0) / self.prior_scale, 0.0]
        return np.array(self.forest.get_nns_by_vector(point, count, search_k), dtype=np.int32)


def _leading_axes(vectors: Float, layout: Layout) -> tuple[Float, list[str]]:
    """Principal axes of each block as one (d, p) matrix, and the block that owns each column."""
    columns, owner = [], []
    for name, place in layout.slices.items():
        block = np.asarray(vectors[:, place], dtype=np.float32)
        energy, axes = np.linalg.eigh((block.T @ block).astype(np.float64))
        share = np.cumsum(energy[::-1]) / max(energy.sum(), 1e-12)
        kept = min(int(np.searchsorted(share, ENERGY)) + 1, MOST_DIMS, len(energy))
        wide = np.zeros((layout.d, kept))
        wide[place] = axes[:, ::-1][:, :kept]
        columns.append(wide)
        owner += [name] * kept
    return np.concatenate(columns, axis=1).astype(np.float32), owner
