"""Blocks: the named parts of an item vector, and their layout."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Double = NDArray[np.float64]
Rows = NDArray[np.int32]
Mask = NDArray[np.bool_]
NO_ROWS: Rows = np.empty(0, dtype=np.int32)

BLOCKS = ("image", "text", "category", "behaviour")
# Terms of users' queries alone, where training found a use for them.
USER_TERMS = ("repeat", "profile")
# The term of a search: how well a product matches the words of the query.
WORDS = "words"
TERMS = (*BLOCKS, "cooccurrence", "prior", *USER_TERMS, WORDS)


@dataclass(frozen=True)
class Layout:
    """The blocks of a bundle, in order, and their columns in the fused vector.

    Parameters
    ----------
    dims
        Block name to its dimension d_m, in the order of the fused vector.
    """

    dims: Mapping[str, int]
    slices: dict[str, slice] = field(init=False)
    _block_of_column: NDArray[np.intp] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ends = np.cumsum([0, *self.dims.values()]).tolist()
        pairs = zip(self.dims, pairwise(ends), strict=True)
        object.__setattr__(self, "slices", {name: slice(start, end) for name, (start, end) in pairs})
        object.__setattr__(self, "_block_of_column", np.repeat(np.arange(len(self.dims)), [*self.dims.values()]))

    @property
    def d(self) -> int:
        """Dimension of the fused vector."""
        return sum(self.dims.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks present in this bundle, in order."""
        return tuple(self.dims)

    def index(self, name: str) -> int:
        """Position of a block: its column in a (n, M) matrix of present blocks."""
        return self.names.index(name)

    def spread(self, weights: Mapping[str, float]) -> Double:
        """Repeat each block's weight over its columns, shape (d,)."""
        return self.repeat(np.array([weights[name] for name in self.dims], dtype=np.float64))

    def repeat(self, values: Double) -> Double:
        """Repeat the value of each block, shape (..., M), over its columns, shape (..., d)."""
        return values[..., self._block_of_column]

    def norms(self, vectors: Double) -> Double:
        """Return the norm of each block of fused vectors of shape (..., d), shape (..., M)."""
        starts = [columns.start for columns in self.slices.values()]
        return np.sqrt(np.add.reduceat(np.square(vectors), starts, axis=-1))


def unit(x: NDArray[np.floating]) -> Float:
    """Scale each row to norm 1; a zero row stays zero.

    Parameters
    ----------
    x
        Shape (..., d).
    """
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros(x.shape, dtype=np.float32), where=norm > 0, casting="unsafe")
