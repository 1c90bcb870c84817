"""Sparse item–item tables: the largest inner products, the top k of each row, and the published form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from annoy import AnnoyIndex
from scipy import sparse

from recommender.core.blocks import Float, Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.evaluation.ranking_task import MapFunction
from recommender.progress import progress

CHUNK = 1_024  # rows of a matrix product
# Above this many rows the products of all pairs would take too long (it grows with the square): Annoy's nearest
# rows are compared, so many times as many as are kept, by trees of so many dimensions.
MAX_COMPARED_ROWS = 60_000
CANDIDATES, TREES, TREE_DIMS, SEARCH = 2, 10, 64, 10  # SEARCH: nodes to inspect for each candidate
CANDIDATE_CHUNK = 256

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

    def table(self, label: str, run: MapFunction = map) -> Table:
        """Return those of all rows, shape (n, n).

        Exact up to `MAX_COMPARED_ROWS` rows; beyond, exact products of the rows that an index finds without the
        words, in this process.

        Parameters
        ----------
        label
            Of the progress bar.
        run
            Maps a function over blocks of rows, in their order, as `map` does.
        """
        n = len(self.left)
        if n <= MAX_COMPARED_ROWS:
            starts = range(0, n, CHUNK)
            blocks = [*progress(run(self.block, starts), label, len(starts), "chunk")]
        else:
            blocks = [*progress(self._nearest_blocks(), label, -(-n // CANDIDATE_CHUNK), "chunk")]
        columns, values = (np.concatenate(part) for part in zip(*blocks, strict=True))
        found = np.isfinite(values)
        cells = (np.repeat(np.arange(n), found.sum(axis=1)), columns[found])
        return sparse.coo_array((values[found].astype(np.float64), cells), shape=(n, n)).tocsr()

    def block(self, start: int) -> tuple[Rows, Float]:
        """Return columns and inner products of `CHUNK` rows from one on, unordered, shape (c, k) each."""
        products = torch.from_numpy(self.left[start : start + CHUNK]) @ torch.from_numpy(self.right).T
        if self.words is not None:
            products += torch.from_numpy((self.words[start : start + CHUNK] @ self.words.T).toarray())
        diagonal = torch.arange(len(products))
        products[diagonal, start + diagonal] = -torch.inf
        best, columns = products.topk(min(self.k, len(self.left) - 1), dim=1, sorted=False)
        return columns.numpy().astype(np.int32), best.numpy()

    def _nearest_blocks(self) -> Iterator[tuple[Rows, Float]]:
        """Yield the same of `CANDIDATE_CHUNK` rows after others, by an index; −inf where it finds fewer."""
        n, k = len(self.left), min(self.k, len(self.left) - 1)
        count = max(CANDIDATES * k, k + 1)
        axes, forest = _forest(self.right)
        points = np.pad(self.left @ axes, ((0, 0), (0, 1)))
        for start in range(0, n, CANDIDATE_CHUNK):
            rows = np.arange(start, min(start + CANDIDATE_CHUNK, n))
            compared = np.full((len(rows), count), -1, dtype=np.int32)
            for line, point in zip(compared, points[rows].tolist(), strict=True):
                near = forest.get_nns_by_vector(point, count, SEARCH * count)
                line[: len(near)] = near
            products = np.einsum("cf,cmf->cm", self.left[rows], self.right[compared])
            if self.words is not None:
                each = self.words[np.repeat(rows, count)].multiply(self.words[compared.ravel()])
                products += each.sum(axis=1).reshape(products.shape)
            products[(compared < 0) | (compared == rows[:, None])] = -np.inf
            best, positions = torch.from_numpy(products).topk(k, dim=1, sorted=False)
            yield np.take_along_axis(compared, positions.numpy(), 1), best.numpy()


def _forest(right: Float) -> tuple[Float, AnnoyIndex]:
    """Return the leading axes of rows, shape (f, q), and trees in which the order is that of inner products.

    A further coordinate gives all rows one norm (Bachrach et al., RecSys 2014); it is 0 in a query.
    """
    axes = np.linalg.eigh((right.T @ right).astype(np.float64))[1][:, ::-1][:, :TREE_DIMS].astype(np.float32)
    points = right @ axes
    norms = np.square(points).sum(axis=1)
    forest = AnnoyIndex(points.shape[1] + 1, "angular")
    forest.set_seed(0)
    for row, point in enumerate(np.column_stack([points, np.sqrt(norms.max() - norms)])):
        forest.add_item(row, point.tolist())
    forest.build(TREES, n_jobs=1)  # one job: the same trees each time
    return axes, forest


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
