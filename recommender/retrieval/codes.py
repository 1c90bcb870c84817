"""Item vectors quantized to int8: a quarter of the memory traffic, with a bound on the error."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recommender.core.blocks import Double, Float, Layout, Rows
from recommender.core.scoring import Query, Scorer
from recommender.retrieval.kernels import kernels

CACHE_LINE = 64  # bytes; rows of codes are aligned to it
CHUNK = 8192


@dataclass(frozen=True)
class Codes:
    """Vectors quantized to integers from −127 to 127, with a scale per column.

    The d columns of the vectors are followed by two: the prior, and the augmentation that gives all items the same
    norm under the weights of the build, so that inner products between items order as distances do (Bachrach et
    al., RecSys 2014). Queries are 0 in the augmentation.

    Parameters
    ----------
    codes
        Shape (n, p), int8; p is d + 2, padded with zeros to whole cache lines.
    scales
        Scale of each column, shape (p,): value = code · scale.
    error
        The largest norm of an item's rounding error, over vector and prior.
    layout
        The columns of each block in a fused vector.
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
            The weights under which all items get the same norm.
        """
        n, d = vectors.shape
        weight = np.append(layout.spread(weights), weights.get("prior", 0.0))
        columns = np.zeros(-(-(d + 2) // CACHE_LINE) * CACHE_LINE)
        largest, norms = np.zeros(d + 1), np.empty(n)
        for start in range(0, n, CHUNK):
            chunk = _with_prior(vectors, prior, start)
            largest = np.maximum(largest, np.abs(chunk).max(axis=0))
            norms[start : start + CHUNK] = (chunk**2) @ weight
        lift = np.sqrt(norms.max(initial=0.0) - norms)
        columns[: d + 2] = np.append(largest, lift.max(initial=0.0)) / 127
        codes = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.int8, (n, len(columns)))
        step, error = np.where(columns > 0, columns, 1.0), 0.0
        for start in range(0, n, CHUNK):
            chunk = np.column_stack([_with_prior(vectors, prior, start), lift[start : start + CHUNK]])
            rounded = np.rint(chunk / step[: d + 2])
            codes[start : start + CHUNK, : d + 2] = rounded
            residual = (rounded * columns[: d + 2] - chunk)[:, : d + 1]
            error = max(error, float(np.linalg.norm(residual, axis=1).max()))
        codes.flush()
        np.save(folder / "codes_scales.npy", np.append(columns, error))

    @classmethod
    def open(cls, load: Callable[[str], np.ndarray], layout: Layout) -> "Codes":
        """Map the arrays through `load`, a function from file name to array."""
        scales = np.array(load("codes_scales.npy"))
        return cls(load("codes.npy"), scales[:-1], float(scales[-1]), layout)

    def quantize(self, vectors: Float, prior: Float) -> tuple[np.ndarray, float]:
        """Quantize other items: return their codes, shape (c, p), and the largest norm of a rounding error.

        Parameters
        ----------
        vectors
            Shape (c, d).
        prior
            Shape (c,).
        """
        size = self.layout.d + 1
        exact = np.column_stack([vectors, prior]).astype(np.float64)
        step = np.where(self.scales > 0, self.scales, 1.0)[:size]
        codes = np.zeros((len(vectors), len(self.scales)), dtype=np.int8)
        codes[:, :size] = np.clip(np.rint(exact / step), -127, 127)
        residual = codes[:, :size] * self.scales[:size] - exact
        return codes, float(np.linalg.norm(residual, axis=1).max(initial=0.0))

    def query(self, scorer: Scorer, query: Query) -> Float:
        """Return the query of the kernels, multiplied by weights and scales, shape (p,)."""
        d = self.layout.d
        out = np.zeros(len(self.scales), dtype=np.float32)
        np.multiply(scorer.weighted(query), self.scales[:d], out=out[:d], casting="same_kind")
        out[d] = scorer.weights.get("prior", 0.0) * self.scales[d]
        return out

    def neighbour_query_factors(self, weights: Mapping[str, float]) -> Float:
        """Return the factors that turn a row of codes into the query for its neighbours, shape (p,)."""
        factors = np.zeros(len(self.scales))
        d = self.layout.d
        factors[:d], factors[d], factors[d + 1] = self.layout.spread(weights), weights.get("prior", 0.0), 1.0
        return (factors * self.scales**2).astype(np.float32)

    def estimate(self, query: Float, rows: Rows | None) -> Float:
        """Return estimated scores, without co-occurrence, of `rows` or all, shape (c,); needs the kernels."""
        loops = kernels()
        assert loops is not None
        out = np.empty(len(self.codes) if rows is None else len(rows), dtype=np.float32)
        loops.scan(self.codes, query, rows, out)
        return out

    def slack(self, scorer: Scorer, query: Query) -> float:
        """Return twice the largest error of `estimate` from quantization (Cauchy–Schwarz)."""
        weighted = scorer.weighted(query)
        return 2 * math.hypot(math.sqrt(weighted @ weighted), scorer.weights.get("prior", 0.0)) * self.error


def _with_prior(vectors: Float, prior: Float, start: int) -> Double:
    rows = slice(start, start + CHUNK)
    return np.column_stack([vectors[rows], prior[rows]]).astype(np.float64)
