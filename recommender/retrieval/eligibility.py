"""What may be answered: the filter, the exclusions, and one row for all variants of a product."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Float, Mask, Rows
from recommender.core.segment import Segment
from recommender.filters.subset import Subset
from recommender.retrieval.selection import OUT

# Gathering rows costs about as much per row as scanning two.
GATHER_SHARE = 0.5
FEW = 16


@dataclass(frozen=True)
class Eligibility:
    """What a whole batch of questions has in common.

    Parameters
    ----------
    segment
        The products.
    subset
        What the filter keeps; None keeps all.
    collapse
        Whether only the best of a product's variants is answered.
    """

    segment: Segment
    subset: Subset | None = None
    collapse: bool = True

    @property
    def groups(self) -> Rows | None:
        """Variant groups if there are any to be collapsed, shape (n,)."""
        return self.segment.groups if self.collapse and self.segment.products < self.segment.n else None

    @property
    def count(self) -> int:
        """How many rows the filter keeps."""
        return self.segment.n if self.subset is None else len(self.subset.rows)

    def allows(self, row: int) -> bool:
        """Tell whether the filter keeps a row."""
        return self.subset is None or bool(self.subset.mask[row])

    def to_scan(self) -> Rows | None:
        """Return the rows to gather before scanning; None where scanning all of them is cheaper."""
        if self.subset is None or self.subset.share > GATHER_SHARE:
            return None
        return self.subset.rows

    def mask_out(self, line: Float, rows: Rows | None, excluded: Rows) -> None:
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
            place = np.searchsorted(rows, excluded)
            place = place[place < len(rows)]
            line[place[np.isin(rows[place], excluded)]] = OUT
            return
        line[excluded] = OUT
        if self.subset is not None:
            line[~self.subset.mask] = OUT

    def filter(self, rows: Rows, excluded: Rows) -> Rows:
        """Return those of `rows` that may be answered, in their order."""
        if self.subset is not None:
            rows = rows[self.subset.mask[rows]]
        return rows[~among(rows, excluded)] if len(excluded) else rows

    def eligible(self, excluded: Rows) -> int:
        """Count what may be answered: products where variants are collapsed, rows otherwise."""
        if self.subset is not None:
            excluded = excluded[self.subset.mask[excluded]]
        if self.groups is None:
            return self.count - len(excluded)
        kept = self.segment if self.subset is None else self.subset
        gone = Counter(self.segment.groups[excluded].tolist())
        return kept.products - sum(bool(count == kept.group_sizes[group]) for group, count in gone.items())


def among(rows: Rows, few: Rows) -> Mask:
    """Tell which of `rows` are in `few`; for a few, comparing all pairs is quicker than `isin`, shape (c,)."""
    if len(few) > FEW:
        return np.isin(rows, few)
    return (rows[:, None] == few).any(axis=1)
