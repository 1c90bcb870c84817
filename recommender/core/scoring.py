"""Score items: a weighted sum of terms, estimated over many rows and exact over few.

    score(q, x) = Σ_m w_m ⟨q_m, x_m⟩ + w_c Σ_t a_t C[x_t, x] + w_p prior(x)
                  + w_r repeat(u, x) + w_u ⟨profile(u), x⟩

The last two are terms of a bundle only where its training found a use for them.
`estimate` is one float32 matrix product; its error is bounded by `Scorer.slack`. `parts` computes in float64 with
a fixed order of summation: all returned scores come from it, so that they do not depend on the plan, the batch or
the number of threads.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from recommender.core.blocks import NO_ROWS, USER_TERMS, Double, Float, Layout, Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.retrieval.kernels import kernels

# Compiled loops pay off above so many rows, and small shops need not load them.
COMPILED_MIN_ROWS = 8_000
NO_VALUES: Double = np.empty(0)
NO_TABLE = Cooccurrence.empty(0)


@dataclass(frozen=True)
class Repeats:
    """What a user bought before: the repeat term of a query, and what it is explained by.

    Parameters
    ----------
    rows
        The products, ascending, shape (s,).
    values
        repeat(u, x) of each, at least 0, shape (s,).
    counts
        How often each was bought, shape (s,).
    ages
        Days since each was last bought, shape (s,).
    """

    rows: Rows
    values: Double
    counts: Double
    ages: Double


NO_REPEATS = Repeats(NO_ROWS, NO_VALUES, NO_VALUES, NO_VALUES)


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
    repeats
        What the user bought before.
    profile
        The vector of the user's attributes, shape (d,); None if nothing is known of them.
    found
        What was found for this query before, by the rules of the search; a copy of the query has its own.
    """

    vector: Float
    rows: Rows
    attention: Double
    block_scales: Double
    cooccurrence_rows: Rows
    cooccurrence: Double
    table: Cooccurrence
    repeats: Repeats = NO_REPEATS
    profile: Float | None = None
    found: dict[Hashable, Any] = field(init=False, default_factory=dict, repr=False, compare=False)

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
    extra
        Further terms of the request by name, such as "boost": what each adds to each product, shape (n,).
    id_ranks
        Rank of each row in the order of ids, shape (n,), which breaks ties; None where rows are in that order.
    """

    vectors: Float
    prior: Float
    layout: Layout
    weights: Mapping[str, float]
    extra: Mapping[str, Double] = field(default_factory=dict)
    id_ranks: Rows | None = None

    def weighted(self, query: Query) -> Double:
        """Return the query with each block scaled by its weight, and the profile added, shape (d,)."""
        weighted = query.vector * self._spread
        if query.profile is not None and (weight := self.weights.get("profile", 0.0)):
            weighted = weighted + weight * query.profile.astype(np.float64)
        return weighted

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
        if len(query.repeats.rows):
            size += float(np.abs(query.repeats.values).max()) * self.weights.get("repeat", 0.0)
        size += sum(float(np.abs(values).max(initial=0.0)) for values in self.extra.values())
        return 2 * (self.layout.d + 8) * 2.0**-24 * size

    def estimate(self, queries: list[Query], rows: Rows | None = None, out: Float | None = None) -> Float:
        """Return float32 scores, shape (b, n), or (b, c) over ascending `rows`; written to `out` if given."""
        matrix = np.array([self.weighted(query) for query in queries], dtype=np.float32)
        scores = self._products(matrix, rows, out)
        if weight := self.weights.get("prior", 0.0):
            scores += np.float32(weight) * (self.prior if rows is None else self.prior[rows])
        for line, query in zip(scores, queries, strict=True):
            self.add_sparse(line, query, rows)
        for values in self.extra.values():
            scores += (values if rows is None else values[rows]).astype(np.float32)
        return scores

    def _products(self, matrix: Float, rows: Rows | None, out: Float | None) -> Float:
        if not matrix.any():  # without block weights, as for popular items, the vectors need not be read
            return np.zeros((len(matrix), len(self.vectors) if rows is None else len(rows)), dtype=np.float32)
        used = np.flatnonzero(matrix.any(axis=0))  # blocks without weight at either end cost nothing
        columns = slice(used[0], used[-1] + 1)
        matrix, vectors = matrix[:, columns], self.vectors[:, columns]
        vectors = vectors if rows is None else vectors[rows]
        # one query: matrix–vector is the faster BLAS call
        return (vectors @ matrix[0])[None] if len(matrix) == 1 else np.matmul(matrix, vectors.T, out=out)

    def add_sparse(self, line: Float, query: Query, rows: Rows | None) -> None:
        """Add co-occurrence and repeats to estimated scores, shape (n,), or (c,) over `rows`, in place."""
        for term, columns, values in sparse_terms(query):
            weight = np.float32(self.weights.get(term, 0.0))
            if not weight or not len(columns):
                continue
            if rows is None:
                line[columns] += weight * values.astype(np.float32)
            else:
                line += weight * sparse_at(columns, values, rows).astype(np.float32)

    def parts(self, query: Query, rows: Rows) -> Double:
        """Return the terms of the exact scores, shape (c, number of `terms`)."""
        parts, position = np.zeros((len(rows), len(self.terms))), self._positions
        weighted = query.vector * self._spread
        if weighted.any():  # otherwise the vectors need not be read
            self._block_parts(weighted, rows, parts)
        for term, present, values in sparse_terms(query):
            if len(present) and (weight := self.weights.get(term, 0.0)):
                parts[:, position[term]] = weight * sparse_at(present, values, rows)
        if weight := self.weights.get("prior", 0.0):
            np.multiply(self.prior[rows], weight, out=parts[:, position["prior"]], dtype=np.float64)
        if query.profile is not None and (weight := self.weights.get("profile", 0.0)):
            of_profile = self.vectors[rows] * query.profile.astype(np.float64)
            parts[:, position["profile"]] = weight * of_profile.sum(axis=1)
        for term, extra in self.extra.items():
            parts[:, position[term]] = extra[rows]
        return parts

    def _block_parts(self, weighted: Double, rows: Rows, parts: Double) -> None:
        """Write the terms of the blocks to their columns; with numba or without, to the same bits."""
        loops = kernels() if len(self.vectors) > COMPILED_MIN_ROWS else None
        if loops is not None:
            loops.block_parts(self.vectors, rows, weighted, self._stops, parts)
            return
        products = self.vectors[rows] * weighted  # in float64
        for block, columns in enumerate(self.layout.slices.values()):
            products[:, columns].sum(axis=1, out=parts[:, block])

    @cached_property
    def _stops(self) -> np.ndarray:
        return np.cumsum([*self.layout.dims.values()])

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """Names of the columns of `parts`."""
        learned = (term for term in USER_TERMS if term in self.weights)
        return (*self.layout.names, "cooccurrence", "prior", *learned, *self.extra)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {term: column for column, term in enumerate(self.terms)}

    def total(self, parts: Double) -> Double:
        """Sum the terms in their fixed order, shape (c,)."""
        score: Double = np.cumsum(parts, axis=1)[:, -1]
        return score


def sparse_terms(query: Query) -> tuple[tuple[str, Rows, Double], ...]:
    """Return the name, the columns and the values of each term that is 0 for most products."""
    return (
        ("cooccurrence", query.cooccurrence_rows, query.cooccurrence),
        ("repeat", query.repeats.rows, query.repeats.values),
    )


def sparse_at(columns: Rows, values: Double, rows: Rows) -> Double:
    """Return the values of a sparse vector with ascending `columns` at `rows`; 0 where absent, shape (c,)."""
    out = np.zeros(len(rows))
    if len(columns):
        position = np.minimum(np.searchsorted(columns, rows), len(columns) - 1)
        present = columns[position] == rows
        out[present] = values[position[present]]
    return out
