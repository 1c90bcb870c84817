"""Impute missing blocks from the present ones; the norm of an imputed block is its confidence."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Float, Layout, Mask


@dataclass(frozen=True)
class BlockPredictor:
    """One ridge regression per missing block and pattern of present ones.

    The least-squares prediction of a unit vector is its conditional mean, so its norm is at most about 1 and
    falls with the uncertainty: the confidence comes with the estimate.

    Parameters
    ----------
    maps
        From (missing block, present blocks in layout order) to a matrix (Σ d_present, d_missing). Blocks are
        centred, so there is no intercept.
    layout
        The blocks of a vector.
    """

    maps: Mapping[tuple[str, tuple[str, ...]], Float]
    layout: Layout

    def fill(self, vectors: Float, present: Mask) -> Float:
        """Return a copy of `vectors` with missing blocks imputed, norm at most 1.

        Parameters
        ----------
        vectors
            Fused vectors, zero where a block is missing, shape (b, d).
        present
            Shape (b, M).
        """
        filled = vectors.copy()
        for pattern in np.unique(present, axis=0):
            rows = np.flatnonzero((present == pattern).all(axis=1))
            for missing in np.flatnonzero(~pattern):
                name = self.layout.names[missing]
                filled[rows, self.layout.slices[name]] = self.predict(name, vectors[rows], pattern)
        return filled

    def predict(self, name: str, vectors: Float, pattern: Mask) -> Float:
        """Predict one block from the present ones, shape (b, d_m); zeros for a pattern that was not trained.

        Parameters
        ----------
        vectors
            Shape (b, d).
        pattern
            Which blocks to use, shape (M,).
        """
        # behaviour predicts content poorly, and has its own predictor
        known_blocks = zip(self.layout.names, pattern, strict=True)
        used = tuple(other for other, on in known_blocks if on and other not in (name, "behaviour"))
        matrix = self.maps.get((name, used))
        if matrix is None:
            return np.zeros((len(vectors), self.layout.dims[name]), dtype=np.float32)
        known = np.concatenate([vectors[:, self.layout.slices[other]] for other in used], axis=1)
        predicted = known @ matrix
        norm = np.linalg.norm(predicted, axis=1, keepdims=True)
        return (predicted / np.maximum(norm, 1.0)).astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the maps by names such as 'behaviour<image+text'."""
        return {f"{name}<{'+'.join(used)}": matrix for (name, used), matrix in self.maps.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], layout: Layout) -> "BlockPredictor":
        """Return the predictor of exported arrays."""
        maps = {}
        for key, matrix in arrays.items():
            name, _, used = key.partition("<")
            maps[(name, tuple(used.split("+")))] = matrix
        return cls(maps, layout)
