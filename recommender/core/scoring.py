"""Score items: a weighted sum of terms, estimated over many rows and exact over few.

    score(q, x) = Σ_m w_m ⟨q_m, x_m⟩ + w_c Σ_t a_t C[x_t, x] + w_p prior(x)

`estimate` is one float32 matrix product; its error is bounded by `Scorer.slack`. `parts` computes in float64 with
a fixed order of summation: all returned scores come from it, so that they do not depend on the plan, the batch or
the number of threads.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from recommender.core.blocks import NO_ROWS, Double, Float, Layout, Rows
from recommender.core.cooccurrence import Cooccurrence

NO_VALUES: Double = np.empty(0)
NO_TABLE = Cooccurrence.empty(0)


@dataclass(frozen=True)
class Query:
    """The vector and seeds of one query.

    Parameters
    ----------
    vector
        The query's blocks, unweighted, shape (d,).
    rows
        Rows of the seeds, such as the items of a history, shape (t,).
    attention
        a_t of each seed, shape (t,); sums to 1 in absolute value.
    block_scales
        Factor between each block of Σ_t a_t x_t and `vector`, shape (M,); NaN where a sequence model made the
        block.
    cooccurrence_rows, cooccurrence
        Σ_t a_t C[x_t, ·] in sparse form: columns ascending, shape (s,), and their sums, shape (s,).
    table
        C.
    """

    vector: Float
    rows: Rows
    attention: Double
    block_scales: Double
    cooccurrence_rows: Rows
    cooccurrence: Double
    table: Cooccurrence

    @classmethod
    def free(cls, vector: Float) -> "Query":
        """Return a query without seeds."""
        return cls(vector, NO_ROWS, NO_VALUES, NO_VALUES, NO_ROWS, NO_VALUES, NO_TABLE)

    def plus(self, vector: Float) -> "Query":
        """Return the query with the blocks of another added to its own."""
        return replace(self, vector=self.vector + vector)

    def with_table(self, table: Cooccurrence) -> "Query":
        """Return the query with another co-occurrence table."""
        rows, cooccurrence = table.combine(self.rows, self.attention)
        return replace(self, cooccurrence_rows=rows, cooccurrence=cooccurrence, table=table)


@dataclass(frozen=True)
class Scorer:
    """Scores rows for queries under one set of weights.

    Parameters
    ----------
    vectors
        The fused item vectors, shape (n, d).
    prior
        Shape (n,), in [0, 1].
    layout
        The columns of each block.
    weights
        Term name to weight, see `recommender.core.weights.resolve`.
    boost
        Boost that the request adds to each product, shape (n,); None for no such term.
    id_ranks
        Rank of each row in the order of ids, shape (n,), which breaks ties; None where rows are in that order.
    """

    vectors: Float
    prior: Float
    layout: Layout
    weights: Mapping[str, float]
    boost: Double | None = None
    id_ranks: Rows | None = None

    def weighted(self, query: Query) -> Double:
        """Return the query with each block scaled by its weight, shape (d,)."""
        return query.vector * self._spread

    @cached_property
    def _spread(self) -> Double:
        return self.layout.spread(self.weights)

    def slack(self, query: Query) -> float:
        """Return twice the largest error of `estimate` against `parts`.

        The bound of a float32 dot product of length d: γ_d |q|·|x| with γ_d = d u / (1 − d u), u = 2⁻²⁴
        (Higham, Accuracy and Stability of Numerical Algorithms, 2002, eq. 3.5); blocks have norm at most 1.
        """
        weighted = self.weighted(query)
        size = math.sqrt(weighted @ weighted * len(self.layout.dims)) + self.weights.get("prior", 0.0)
        if len(query.cooccurrence):
            size += float(np.abs(query.cooccurrence).max()) * self.weights.get("cooccurrence", 0.0)
        size += 0.0 if self.boost is None else float(np.abs(self.boost).max(initial=0.0))
        return 2 * (self.layout.d + 8) * 2.0**-24 * size

    def estimate(self, queries: list[Query], rows: Rows | None = None, out: Float | None = None) -> Float:
        """Return float32 scores, shape (b, n), or (b, c) over ascending `rows`; written to `out` if given."""
        matrix = np.array([self.weighted(query) for query in queries], dtype=np.float32)
        scores = self._products(matrix, rows, out)
        if weight := self.weights.get("prior", 0.0):
            scores += np.float32(weight) * (self.prior if rows is None else self.prior[rows])
        for line, query in zip(scores, queries, strict=True):
            self.add_cooccurrence(line, query, rows)
        if self.boost is not None:
            scores += (self.boost if rows is None else self.boost[rows]).astype(np.float32)
        return scores

    def _products(self, matrix: Float, rows: Rows | None, out: Float | None) -> Float:
        if not matrix.any():  # without block weights, as for popular items, the vectors need not be read
            return np.zeros((len(matrix), len(self.vectors) if rows is None else len(rows)), dtype=np.float32)
        vectors = self.vectors if rows is None else self.vectors[rows]
        # one query: matrix–vector is the faster BLAS call
        return (vectors @ matrix[0])[None] if len(matrix) == 1 else np.matmul(matrix, vectors.T, out=out)

    def add_cooccurrence(self, line: Float, query: Query, rows: Rows | None) -> None:
        """Add the co-occurrence to estimated scores, shape (n,), or (c,) over `rows`, in place."""
        weight = self.weights.get("cooccurrence", 0.0)
        if not weight or not len(query.cooccurrence_rows):
            return
        if rows is None:
            line[query.cooccurrence_rows] += np.float32(weight) * query.cooccurrence.astype(np.float32)
            return
        line += np.float32(weight) * sparse_at(query.cooccurrence_rows, query.cooccurrence, rows).astype(
            np.float32
        )

    def parts(self, query: Query, rows: Rows) -> Double:
        """Return the terms of the exact scores, shape (c, M + 2), or (c, M + 3) with a boost; see `terms`."""
        products = self.vectors[rows] * self.weighted(query)  # in float64
        parts = np.zeros((len(rows), len(self.terms)))
        for block, columns in enumerate(self.layout.slices.values()):
            products[:, columns].sum(axis=1, out=parts[:, block])
        cooccurrence, prior = len(self.layout.dims), len(self.layout.dims) + 1
        if len(query.cooccurrence_rows):
            parts[:, cooccurrence] = sparse_at(query.cooccurrence_rows, query.cooccurrence, rows)
            parts[:, cooccurrence] *= self.weights.get("cooccurrence", 0.0)
        if weight := self.weights.get("prior", 0.0):
            np.multiply(self.prior[rows], weight, out=parts[:, prior], dtype=np.float64)
        if self.boost is not None:
            parts[:, -1] = self.boost[rows]
        return parts

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the columns of `parts`."""
        boost = () if self.boost is None else ("boost",)
        return (*self.layout.names, "cooccurrence", "prior", *boost)

    def total(self, parts: Double) -> Double:
        """Sum the terms in their fixed order, shape (c,)."""
        score: Double = np.cumsum(parts, axis=1)[:, -1]
        return score


def sparse_at(columns: Rows, values: Double, rows: Rows) -> Double:
    """Return the values of a sparse vector with ascending `columns` at `rows`; 0 where absent, shape (c,)."""
    out = np.zeros(len(rows))
    if len(columns):
        position = np.minimum(np.searchsorted(columns, rows), len(columns) - 1)
        present = columns[position] == rows
        out[present] = values[position[present]]
    return out
