"""Sparse item–item tables: the largest inner products, the top k of each row, and the published form."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch
from annoy import AnnoyIndex
from scipy import sparse

from recommender.core.blocks import Double, Float, Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.progress import progress

CHUNK = 1_024  # rows of a matrix product
# Above this many rows the products of all pairs would take too long (it grows with the square): Annoy's nearest
# rows are compared, so many times as many as are kept, by trees of so many dimensions.
MAX_COMPARED_ROWS = 60_000
CANDIDATES, TREES, TREE_DIMS, SEARCH = 2, 10, 64, 10  # SEARCH: nodes to inspect for each candidate
CANDIDATE_CHUNK = 256

Table: TypeAlias = sparse.csr_array


def top_inner_products(
    left: Float | Double, right: Float | Double, k: int, label: str, words: Table | None = None
) -> Table:
    """Return the k largest inner products of each row with the other rows, shape (n, n).

    Exact up to `MAX_COMPARED_ROWS` rows; beyond, exact products of the rows that an index finds without the words.

    Parameters
    ----------
    left, right
        Shape (n, f).
    k
        Entries of a row; fewer where there are fewer other rows.
    label
        Of the progress bar.
    words
        Sparse vectors of the rows, shape (n, w), whose inner products are added.
    """
    n = len(left)
    left, right = left.astype(np.float32, copy=False), right.astype(np.float32, copy=False)
    k, products = min(k, n - 1), _of_all if n <= MAX_COMPARED_ROWS else _of_nearest
    rows, columns, values = [], [], []
    for first, compared, chunk in products(left, right, k, label, words):
        best, indices = chunk.topk(k, dim=1, sorted=False)
        found = indices.numpy() if compared is None else np.take_along_axis(compared, indices.numpy(), 1)
        finite = np.isfinite(best.numpy())
        rows.append(np.repeat(first + np.arange(len(chunk)), finite.sum(axis=1)))
        columns.append(found[finite])
        values.append(best.numpy()[finite].astype(np.float64))
    cells = (np.concatenate(rows), np.concatenate(columns))
    return sparse.coo_array((np.concatenate(values), cells), shape=(n, n)).tocsr()


Products: TypeAlias = Iterator[tuple[int, Rows | None, torch.Tensor]]


def _of_all(left: Float, right: Float, k: int, label: str, words: Table | None) -> Products:
    """Yield the first row of each chunk and its products with all rows, -inf with itself."""
    n, transposed = len(left), torch.from_numpy(right).T
    for start in progress(range(0, n, CHUNK), label, -(-n // CHUNK), "chunk"):
        products = torch.from_numpy(left[start : start + CHUNK]) @ transposed
        if words is not None:
            products += torch.from_numpy((words[start : start + CHUNK] @ words.T).toarray())
        diagonal = torch.arange(len(products))
        products[diagonal, start + diagonal] = -torch.inf
        yield start, None, products


def _of_nearest(left: Float, right: Float, k: int, label: str, words: Table | None) -> Products:
    """Yield the first row of each chunk, the rows that an index finds, and the products with them."""
    n, count = len(left), max(CANDIDATES * k, 1)
    axes, forest = _forest(right)
    points = np.pad(left @ axes, ((0, 0), (0, 1)))
    for start in progress(range(0, n, CANDIDATE_CHUNK), label, -(-n // CANDIDATE_CHUNK), "chunk"):
        rows = np.arange(start, min(start + CANDIDATE_CHUNK, n))
        compared = np.full((len(rows), count), -1, dtype=np.int32)
        for line, point in zip(compared, points[rows].tolist(), strict=True):
            near = forest.get_nns_by_vector(point, count, SEARCH * count)
            line[: len(near)] = near
        products = np.einsum("cf,cmf->cm", left[rows], right[compared])
        if words is not None:
            each = words[np.repeat(rows, count)].multiply(words[compared.ravel()])
            products += each.sum(axis=1).reshape(products.shape)
        products[(compared < 0) | (compared == rows[:, None])] = -np.inf
        yield start, compared, torch.from_numpy(products)


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
