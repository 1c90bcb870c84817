"""The sparse item-to-item co-occurrence table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import NO_ROWS, Double, Float, Rows

DENSE_CELLS = 8  # products that are passed in the time in which an entry is sorted
ARRAYS = ("indptr", "indices", "values")


@dataclass(frozen=True)
class Cooccurrence:
    """The co-occurrence matrix C in CSR form; C[i, j] in [0, 1] is the strength of product j for product i.

    Parameters
    ----------
    indptr
        Shape (n + 1,), int64.
    indices
        Column indices, int32, sorted within a row.
    values
        Strengths, float32.
    removed
        Columns of removed products, ascending; they are skipped.
    """

    indptr: np.ndarray
    indices: Rows
    values: Float
    removed: Rows = field(default_factory=lambda: NO_ROWS)

    @classmethod
    def empty(cls, n: int) -> "Cooccurrence":
        """Return a table without entries, as of a shop without events."""
        return cls(np.zeros(n + 1, dtype=np.int64), NO_ROWS, np.empty(0, dtype=np.float32))

    @classmethod
    def open(cls, load: Callable[[str], np.ndarray], name: str, removed: Rows) -> "Cooccurrence":
        """Read the three arrays of a table through `load`, a function from file name to array."""
        indptr, indices, values = (load(f"{name}_{array}.npy") for array in ARRAYS)
        return cls(indptr, indices, values, removed)

    def save(self, folder: Path, name: str) -> None:
        """Write the three arrays of a table into a part's folder."""
        for array in ARRAYS:
            np.save(folder / f"{name}_{array}.npy", getattr(self, array))

    def row(self, row: int) -> tuple[Rows, Float]:
        """Return the columns and strengths of one row."""
        start, end = self.indptr[row], self.indptr[row + 1]
        columns, values = self.indices[start:end], self.values[start:end]
        if not len(self.removed):
            return columns, values
        retained = np.isin(columns, self.removed, invert=True)
        return columns[retained], values[retained]

    def combine(self, rows: Rows, attention: Double) -> tuple[Rows, Double]:
        """Return Σ_t a_t C[x_t, ·] as (columns, sums), columns ascending.

        The sum runs over t in the given order, so that a single query and a batch agree to the last bit.

        Parameters
        ----------
        rows
            Shape (t,).
        attention
            a_t, shape (t,).
        """
        seeds, columns, values = self._entries(rows)
        if not len(columns):
            return NO_ROWS, np.empty(0)
        weights: Double = values * attention[seeds]
        if DENSE_CELLS * len(columns) > len(self.indptr):  # a sort takes longer than a pass over all products
            distinct = np.flatnonzero(np.bincount(columns))
            sums = np.bincount(columns, weights)[distinct]
        else:
            distinct, inverse = np.unique(columns, return_inverse=True)
            sums = np.bincount(inverse, weights)
        return distinct.astype(np.int32), sums.astype(np.float64, copy=False)

    def cells(self, rows: Rows, columns: Rows) -> Double:
        """Return C[rows, columns], shape (t, c)."""
        cells = np.zeros((len(rows), len(columns)))
        seeds, present, values = self._entries(rows)
        for position, column in enumerate(columns.tolist()):
            hits = np.flatnonzero(present == column)
            cells[seeds[hits], position] = values[hits]
        return cells

    def _entries(self, rows: Rows) -> tuple[NDArray[np.intp], Rows, Float]:
        """Return the entries of rows one after the other: the position of the row, column and strength of each."""
        found = [self.row(row) for row in rows.tolist()]
        seeds = np.repeat(np.arange(len(found)), [len(columns) for columns, _ in found])
        if not len(seeds):
            return seeds, NO_ROWS, np.empty(0, dtype=np.float32)
        return seeds, np.concatenate([each for each, _ in found]), np.concatenate([each for _, each in found])
