"""Sparse item–item tables: the largest inner products, the top k of each row, and the published form."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from scipy import sparse

from recommender.core.blocks import Float, Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.evaluation.ranking_task import MapFunction
from recommender.progress import progress

CHUNK = 1_024  # rows of a matrix product

Table: TypeAlias = sparse.csr_array


@dataclass(frozen=True)
class InnerProducts:
    """Finds the k largest inner products of rows with the other rows, block by block.

    Parameters
    ----------
    left, right
        Shape (n, f).
    k
        Entries of a row; fewer where there are fewer other rows.
    words
        Sparse vectors of the rows, shape (n, w), whose inner products are added.
    """

    left: Float
    right: Float
    k: int
    words: Table | None = None

    def block(self, start: int) -> tuple[Rows, Float]:
        """Return columns and inner products of `CHUNK` rows from one on, unordered, shape (c, k) each."""
        products = torch.from_numpy(self.left[start : start + CHUNK]) @ torch.from_numpy(self.right).T
        if self.words is not None:
            products += torch.from_numpy((self.words[start : start + CHUNK] @ self.words.T).toarray())
        diagonal = torch.arange(len(products))
        products[diagonal, start + diagonal] = -torch.inf
        best, columns = products.topk(min(self.k, len(self.left) - 1), dim=1, sorted=False)
        return columns.numpy().astype(np.int32), best.numpy()

    def table(self, label: str, run: MapFunction = map) -> Table:
        """Return those of all rows, shape (n, n).

        Parameters
        ----------
        label
            Of the progress bar.
        run
            Maps a function over blocks of rows, in their order, as `map` does.
        """
        n = len(self.left)
        starts = range(0, n, CHUNK)
        blocks = [*progress(run(self.block, starts), label, len(starts), "chunk")]
        columns, values = (np.concatenate(part) for part in zip(*blocks, strict=True))
        cells = (np.repeat(np.arange(n), columns.shape[1]), columns.ravel())
        return sparse.coo_array((values.ravel().astype(np.float64), cells), shape=(n, n)).tocsr()


def to_cooccurrence(table: Table) -> Cooccurrence:
    """Return a table, at most 1, in the form in which it is published."""
    table.eliminate_zeros()
    if not table.nnz:
        return Cooccurrence.empty(table.shape[0])
    table.sort_indices()
    values = table.data.astype(np.float32)
    return Cooccurrence(table.indptr.astype(np.int64), table.indices.astype(np.int32), values)


def top_k(table: sparse.coo_array | Table, k: int) -> Table:
    """Keep the k largest positive values of each row, of equal ones the first; columns ascending."""
    result = sparse.csr_array(table, copy=True)
    result.sort_indices()
    mask = result.data > 0
    for row in np.flatnonzero(np.diff(result.indptr) > k):
        cells = slice(result.indptr[row], result.indptr[row + 1])
        mask[cells] &= _largest(result.data[cells], k)
    result.data = np.where(mask, result.data, 0)
    result.eliminate_zeros()
    return result


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Mask the k largest values; of those equal to the smallest of them, the first."""
    smallest = np.partition(values, -k)[-k]
    mask = values > smallest
    ties = np.flatnonzero(values == smallest)
    mask[ties[: k - np.count_nonzero(mask)]] = True
    return mask
