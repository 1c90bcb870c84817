"""Learns what goes with a product: what was chosen with it, and with what is like it."""

from scipy import sparse

from recommender.cooccurrence import Cooccurrence
from training.cooccurrence import KEPT, Table, exported, strongest

ALIKE = 16  # most alike products that lend a product their partners
CHUNK = 2_048


def complements(counted: Table, like: Table) -> Cooccurrence:
    """Return counted + R counted Rᵀ, each scaled to a largest value of 1: pairs, smoothed by likeness.

    R is the likeness of each product to itself and its most alike, rows summing to 1. A lamp goes with a table
    where lamps like it were chosen with tables like that one, so that what is new or rare goes with something
    too. Unlike in C, likeness alone counts for nothing: more of the same is no complement.

    Parameters
    ----------
    counted, like
        The two parts of C, see `count_pairs` and `liken`, shape (n, n).
    """
    n = counted.shape[0]
    if not counted.nnz:
        return Cooccurrence.empty(n)
    lent = strongest(like, ALIKE) + sparse.eye_array(n, format="csr")
    lent = sparse.diags_array(1 / lent.sum(axis=1)) @ lent
    smoothed = _product(_product(lent, counted), lent.T.tocsr())
    smoothed.setdiag(0)
    return exported(strongest(counted / counted.max() + smoothed / smoothed.max(), KEPT))


def _product(left: Table, right: Table) -> Table:
    """Multiply, and keep the strongest of each row: all of them would not fit."""
    starts = range(0, left.shape[0], CHUNK)
    return sparse.vstack([strongest(left[start : start + CHUNK] @ right, KEPT) for start in starts], format="csr")
