"""One-bit codes of each node's neighbours, in one block beside it, from which a walk estimates their scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recommender.core.blocks import Float, Layout, Rows
from recommender.retrieval.codes import Codes
from recommender.retrieval.kernels import walk_kernels

FILES = ("neighbour_codes.npy", "neighbour_factors.npy", "neighbour_rotation.npy")
WORD = 64  # the rotated dimensions are padded to a multiple of it
HALF = 16  # neighbours whose codes are read together
# Blocks are scaled by the root of their learned weight, at least by this: a request may raise the weight.
MIN_SCALE = 0.2


@dataclass(frozen=True)
class NeighbourCodes:
    """One-bit codes of the differences between neighbours, for unbiased estimates of inner products.

    The code of neighbour v of node u is the signs of R(v − u), where R is a rotation (RaBitQ: Gao and Long, SIGMOD
    2024); those of all neighbours of u lie together (SymphonyQG: Gou et al., SIGMOD 2025). With b the signs,
    ⟨q, v⟩ is estimated by ⟨q, u⟩ + |v − u|² / |R(v − u)|₁ · ⟨Rq, b⟩.

    Parameters
    ----------
    codes
        Shape (n, degree / 16, D / 8, 16), uint8: D rotated dimensions.
    factors
        |v − u|² / |R(v − u)|₁, shape (n, degree).
    scales
        Scale of each column of the vectors, shape (D,): the query is divided by it. 1 beyond d.
    signs
        Signs of each round of the rotation, shape (rounds, D).
    """

    codes: np.ndarray
    factors: Float
    scales: Float
    signs: Float

    @classmethod
    def empty(cls, rotation: Float, n: int, degree: int) -> "NeighbourCodes":
        """Return codes to be written by `encode`, for n nodes."""
        halves, padded = degree // HALF, rotation.shape[1]
        block = np.zeros((n, halves, padded // 8, HALF), np.uint8)
        return cls(block, np.zeros((n, degree), np.float32), rotation[0], rotation[1:])

    def save(self, folder: Path) -> None:
        """Write the arrays into a part's folder."""
        for file, array in zip(
            FILES, (self.codes, self.factors, np.vstack([self.scales, self.signs])), strict=True
        ):
            np.save(folder / file, array)

    @classmethod
    def open(cls, load: Callable[[str], np.ndarray]) -> "NeighbourCodes":
        """Map the arrays through `load`, a function from file name to array."""
        rotation = np.array(load(FILES[2]))
        return cls(load(FILES[0]), load(FILES[1]), rotation[0], rotation[1:])

    def encode(self, codes: Codes, nodes: Rows, edges: Rows, first: int, last: int) -> None:
        """Write codes and factors of the edges of nodes `first` to `last`; edges are (c, degree), nodes (c,)."""
        loops = walk_kernels()
        assert loops is not None
        d = codes.layout.d
        steps = (codes.scales[:d] * self.scales[:d]).astype(np.float32)
        loops.encode(codes.codes, steps, nodes, edges, self.signs, first, last, self.codes, self.factors)


def random_rotation(layout: Layout, weights: Mapping[str, float], seed: int) -> Float:
    """Return the scales of the columns, and below them the signs of a random rotation, shape (1 + rounds, D).

    Two rounds mix every column with every other where D is a power of two; otherwise each round mixes the first or
    the last columns, and four do.
    """
    padded = -(-layout.d // WORD) * WORD
    rounds = 2 if padded & (padded - 1) == 0 else 4
    out = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), (1 + rounds, padded))
    out[0] = 1
    out[0, : layout.d] = np.maximum(np.sqrt(layout.spread(weights)), MIN_SCALE)
    return out
