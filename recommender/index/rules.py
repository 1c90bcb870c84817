"""What may be answered: the filter, the exclusions, and one row for all variants of a product."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recommender.blocks import Float, Mask, Rows
from recommender.index.select import OUT
from recommender.segment import Segment

# Gathering rows costs about as much per row as scanning two.
GATHER_SHARE = 0.5
FEW = 16


@dataclass(frozen=True)
class Rules:
    """What a whole batch of questions has in common.

    Parameters
    ----------
    segment
        The products.
    mask
        Rows that the filter keeps, shape (n,); None keeps all.
    collapse
        Whether only the best of a product's variants is answered.
    """

    segment: Segment
    mask: Mask | None = None
    collapse: bool = True

    @property
    def groups(self) -> Rows | None:
        """Variant groups if they are to be collapsed, shape (n,)."""
        return self.segment.groups if self.collapse else None

    @cached_property
    def share(self) -> float:
        """Share of the products that the filter keeps."""
        return 1.0 if self.mask is None else float(np.count_nonzero(self.mask)) / len(self.mask)

    def to_scan(self) -> Rows | None:
        """Return the rows to gather before scanning; None where scanning all of them is cheaper."""
        if self.mask is None or self.share > GATHER_SHARE:
            return None
        return np.flatnonzero(self.mask).astype(np.int32)

    def strike(self, line: Float, rows: Rows | None, excluded: Rows) -> None:
        """Set the estimates of rows that may not be answered to `OUT`, in place.

        Parameters
        ----------
        line
            Estimates, shape (c,).
        rows
            Their rows, ascending, as `to_scan` gave them; None if they are all rows.
        excluded
            Ascending.
        """
        if rows is not None:
            line[among(rows, excluded)] = OUT
            return
        line[excluded] = OUT
        if self.mask is not None:
            line[~self.mask] = OUT

    def keep(self, rows: Rows, excluded: Rows) -> Rows:
        """Return those of `rows` that may be answered, in their order."""
        if self.mask is not None:
            rows = rows[self.mask[rows]]
        return rows[~among(rows, excluded)] if len(excluded) else rows

    def first_of_group(self, rows: Rows, k: int) -> Rows:
        """Return the first `k` of `rows`, of each product only its first variant where they are collapsed."""
        if not self.collapse:
            return rows[:k]
        best: dict[int, int] = {}
        for row, group in zip(rows.tolist(), self.segment.groups[rows].tolist(), strict=True):
            best.setdefault(group, row)
            if len(best) == k:
                break
        return np.fromiter(best.values(), dtype=np.int32, count=len(best))

    def eligible(self, excluded: Rows) -> int:
        """Count what may be answered: products where variants are collapsed, rows otherwise."""
        if self.mask is not None:
            excluded = excluded[self.mask[excluded]]
        if not self.collapse:
            kept = self.segment.n if self.mask is None else int(np.count_nonzero(self.mask))
            return kept - len(excluded)
        sizes, products = self._products
        gone = Counter(self.segment.groups[excluded].tolist())
        whole = sum(bool(count == sizes[group]) for group, count in gone.items())
        return products - whole

    @cached_property
    def _products(self) -> tuple[Rows, int]:
        """Number of variants of each product that the filter keeps, and of products of which it keeps any."""
        sizes = self.segment.group_sizes
        if self.mask is not None:
            sizes = np.bincount(self.segment.groups[self.mask], minlength=len(sizes)).astype(np.int32)
        return sizes, int(np.count_nonzero(sizes))


def among(rows: Rows, few: Rows) -> Mask:
    """Tell which of `rows` are in `few`; for a few, comparing all pairs is quicker than `isin`, shape (c,)."""
    if len(few) > FEW:
        return np.isin(rows, few)
    return (rows[:, None] == few).any(axis=1)
