"""Sparse item–item tables: the largest inner products, the top k of each row, and the published form."""

from typing import TypeAlias

import numpy as np
import torch
from scipy import sparse

from recommender.core.blocks import Double, Float
from recommender.core.cooccurrence import Cooccurrence
from recommender.progress import progress

CHUNK = 1_024  # rows of a matrix product

Table: TypeAlias = sparse.csr_array


def top_inner_products(
    left: Float | Double, right: Float | Double, k: int, label: str, words: Table | None = None
) -> Table:
    """Return the k largest inner products of each row with the other rows, shape (n, n).

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
    k = min(k, n - 1)
    rows, columns, values = [], [], []
    transposed = torch.from_numpy(right.astype(np.float32, copy=False)).T
    for start in progress(range(0, n, CHUNK), label, -(-n // CHUNK), "chunk"):
        products = torch.from_numpy(left[start : start + CHUNK].astype(np.float32, copy=False)) @ transposed
        if words is not None:
            products += torch.from_numpy((words[start : start + CHUNK] @ words.T).toarray())
        diagonal = torch.arange(len(products))
        products[diagonal, start + diagonal] = -torch.inf
        best, indices = products.topk(k, dim=1, sorted=False)
        rows.append(np.repeat(start + diagonal.numpy(), k))
        columns.append(indices.numpy().ravel())
        values.append(best.numpy().ravel().astype(np.float64))
    cells = (np.concatenate(rows), np.concatenate(columns))
    return sparse.coo_array((np.concatenate(values), cells), shape=(n, n)).tocsr()


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
