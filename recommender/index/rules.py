"""What may be answered: the filter, the exclusions, and one row for all variants of a product."""

from dataclasses import dataclass

import numpy as np

from recommender.blocks import Float, Mask, Rows
from recommender.index.select import OUT
from recommender.segment import Segment

# Gathering rows costs about as much per row as scanning two.
GATHER_SHARE = 0.5


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

    @property
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
            line[np.isin(rows, excluded, assume_unique=True)] = OUT
            return
        line[excluded] = OUT
        if self.mask is not None:
            line[~self.mask] = OUT

    def keep(self, rows: Rows, excluded: Rows) -> Rows:
        """Return those of `rows` that may be answered, in their order."""
        if self.mask is not None:
            rows = rows[self.mask[rows]]
        return rows[~np.isin(rows, excluded)] if len(excluded) else rows

    def eligible(self, excluded: Rows) -> int:
        """Count what may be answered: products where variants are collapsed, rows otherwise."""
        if self.mask is not None:
            excluded = excluded[self.mask[excluded]]
        if not self.collapse:
            kept = self.segment.n if self.mask is None else int(np.count_nonzero(self.mask))
            return kept - len(excluded)
        sizes = self.segment.group_sizes
        if self.mask is not None:
            sizes = np.bincount(self.segment.groups[self.mask], minlength=len(sizes)).astype(np.int32)
        hit, gone = np.unique(self.segment.groups[excluded], return_counts=True)
        return int(np.count_nonzero(sizes)) - int(np.count_nonzero(gone == sizes[hit]))
