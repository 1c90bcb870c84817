"""The item vectors in 8 bits: a quarter of the memory to read, and a bound on what that costs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recommender.core.blocks import Double, Float, Layout, Rows
from recommender.core.scoring import Query, Scorer
from recommender.retrieval.kernels import kernels

LINE = 64  # bytes; rows of codes begin on cache lines
CHUNK = 8192


@dataclass(frozen=True)
class Codes:
    """Vectors as whole numbers from −127 to 127, each column with a scale of its own.

    Beside the d columns of the vectors there are two: the prior, and the augmentation that brings every item to
    one norm under the weights of the build, which makes inner products between items order as distances do
    (Bachrach et al., RecSys 2014). Queries have 0 there.

    Parameters
    ----------
    codes
        Shape (n, p), int8; p is d + 2, made up to whole cache lines by zeros.
    scales
        What 1 stands for in each column, shape (p,).
    error
        The largest norm of what an item lost by rounding, over vectors and prior.
    layout
        Where the blocks lie in a fused vector.
    """

    codes: np.ndarray
    scales: Double
    error: float
    layout: Layout

    @classmethod
    def build(
        cls, folder: Path, vectors: Float, prior: Float, layout: Layout, weights: Mapping[str, float]
    ) -> None:
        """Write `codes.npy` and `codes_scales.npy` into a part's folder, a chunk of rows at a time.

        Parameters
        ----------
        vectors
            Shape (n, d).
        prior
            Shape (n,).
        weights
            The weights under which items are to have one norm.
        """
        n, d = vectors.shape
        shape = np.append(layout.spread(weights), weights.get("prior", 0.0))
        columns = np.zeros(-(-(d + 2) // LINE) * LINE)
        most, norms = np.zeros(d + 1), np.empty(n)
        for start in range(0, n, CHUNK):
            chunk = _with_prior(vectors, prior, start)
            most = np.maximum(most, np.abs(chunk).max(axis=0))
            norms[start : start + CHUNK] = (chunk**2) @ shape
        lift = np.sqrt(norms.max(initial=0.0) - norms)
        columns[: d + 2] = np.append(most, lift.max(initial=0.0)) / 127
        codes = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.int8, (n, len(columns)))
        step, error = np.where(columns > 0, columns, 1.0), 0.0
        for start in range(0, n, CHUNK):
            chunk = np.column_stack([_with_prior(vectors, prior, start), lift[start : start + CHUNK]])
            rounded = np.rint(chunk / step[: d + 2])
            codes[start : start + CHUNK, : d + 2] = rounded
            lost = (rounded * columns[: d + 2] - chunk)[:, : d + 1]
            error = max(error, float(np.linalg.norm(lost, axis=1).max()))
        codes.flush()
        np.save(folder / "codes_scales.npy", np.append(columns, error))

    @classmethod
    def open(cls, load: Callable[[str], np.ndarray], layout: Layout) -> "Codes":
        """Map the arrays through `load`, a function from file name to array."""
        scales = np.array(load("codes_scales.npy"))
        return cls(load("codes.npy"), scales[:-1], float(scales[-1]), layout)

    def rounded(self, vectors: Float, prior: Float) -> tuple[np.ndarray, float]:
        """Return the codes of other items, shape (c, p), and the largest norm of what they lost.

        Parameters
        ----------
        vectors
            Shape (c, d).
        prior
            Shape (c,).
        """
        known = self.layout.d + 1
        exact = np.column_stack([vectors, prior]).astype(np.float64)
        step = np.where(self.scales > 0, self.scales, 1.0)[:known]
        codes = np.zeros((len(vectors), len(self.scales)), dtype=np.int8)
        codes[:, :known] = np.clip(np.rint(exact / step), -127, 127)
        lost = codes[:, :known] * self.scales[:known] - exact
        return codes, float(np.linalg.norm(lost, axis=1).max(initial=0.0))

    def query(self, scorer: Scorer, query: Query) -> Float:
        """Return the query as the kernels read it, weights and scales in it, shape (p,)."""
        d = self.layout.d
        out = np.zeros(len(self.scales), dtype=np.float32)
        np.multiply(scorer.weighted(query), self.scales[:d], out=out[:d], casting="same_kind")
        out[d] = scorer.weights.get("prior", 0.0) * self.scales[d]
        return out

    def between(self, weights: Mapping[str, float]) -> Float:
        """Return what turns a row of codes into the query that finds its neighbours, shape (p,)."""
        shape = np.zeros(len(self.scales))
        d = self.layout.d
        shape[:d], shape[d], shape[d + 1] = self.layout.spread(weights), weights.get("prior", 0.0), 1.0
        return (shape * self.scales**2).astype(np.float32)

    def estimate(self, query: Float, rows: Rows | None) -> Float:
        """Return estimated scores, without co-occurrence, of some rows or all, shape (c,); needs the kernels."""
        loops = kernels()
        assert loops is not None
        out = np.empty(len(self.codes) if rows is None else len(rows), dtype=np.float32)
        loops.scan(self.codes, query, rows, out)
        return out

    def slack(self, scorer: Scorer, query: Query) -> float:
        """Return twice the largest error that rounding brings into `estimate` (Cauchy and Schwarz)."""
        weighted = scorer.weighted(query)
        return 2 * math.hypot(math.sqrt(weighted @ weighted), scorer.weights.get("prior", 0.0)) * self.error


def _with_prior(vectors: Float, prior: Float, start: int) -> Double:
    rows = slice(start, start + CHUNK)
    return np.column_stack([vectors[rows], prior[rows]]).astype(np.float64)
