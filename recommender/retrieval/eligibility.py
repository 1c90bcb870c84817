"""Eligibility: which rows may be returned, by filter, exclusions and variants."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

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
    """The rows that may be returned; queries under the same rules share it.

    Parameters
    ----------
    segment
        The items.
    subset
        The rows that match the filter; None is all rows.
    collapse
        Whether only the best variant of a product is returned.
    """

    segment: Segment
    subset: Subset | None = None
    collapse: bool = True

    @cached_property
    def groups(self) -> Rows | None:
        """Variant groups if there are any to be collapsed, shape (n,)."""
        return self.segment.groups if self.collapse and self.segment.products < self.segment.n else None

    @cached_property
    def count(self) -> int:
        """Number of rows that match the filter."""
        return self.segment.n if self.subset is None else len(self.subset.rows)

    def allows(self, row: int) -> bool:
        """Return whether a row matches the filter."""
        return self.subset is None or bool(self.subset.mask[row])

    def to_scan(self) -> Rows | None:
        """Return the rows to gather before a scan; None where scanning all rows is cheaper."""
        if self.subset is None or self.subset.share > GATHER_SHARE:
            return None
        return self.subset.rows

    def mask_out(self, scores: Float, rows: Rows | None, excluded: Rows) -> None:
        """Set the estimated scores of ineligible rows to `OUT`, in place.

        Parameters
        ----------
        scores
            Shape (c,).
        rows
            Their rows, ascending, as from `to_scan`; None if they are all rows.
        excluded
            Ascending.
        """
        if rows is not None:
            positions = np.searchsorted(rows, excluded)
            positions = positions[positions < len(rows)]
            scores[positions[np.isin(rows[positions], excluded)]] = OUT
            return
        scores[excluded] = OUT
        if self.subset is not None:
            scores[~self.subset.mask] = OUT

    def filter(self, rows: Rows, excluded: Rows) -> Rows:
        """Return the eligible ones of `rows`, in their order."""
        if self.subset is not None:
            rows = rows[self.subset.mask[rows]]
        return rows[~among(rows, excluded)] if len(excluded) else rows

    def eligible(self, excluded: Rows) -> int:
        """Return the number of eligible products where variants are collapsed, of eligible rows otherwise."""
        if self.subset is not None:
            excluded = excluded[self.subset.mask[excluded]]
        if self.groups is None:
            return self.count - len(excluded)
        matching = self.segment if self.subset is None else self.subset
        count, sizes = matching.products, matching.group_sizes
        for group, excluded_variants in Counter(self.segment.groups[excluded].tolist()).items():
            count -= bool(excluded_variants == sizes[group])
        return count


def among(rows: Rows, few: Rows) -> Mask:
    """Return which of `rows` are in `few`, shape (c,); for a few, comparing all pairs is faster than `isin`."""
    if len(few) > FEW:
        return np.isin(rows, few)
    return (rows[:, None] == few).any(axis=1)
