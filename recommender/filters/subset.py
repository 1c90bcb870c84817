"""The rows that match a filter, with the numbers that the search needs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recommender.core.blocks import Mask, Rows

MAX_ENTRIES = 512


@dataclass(frozen=True)
class Subset:
    """The rows that match a filter, of n; derived numbers are computed once.

    Parameters
    ----------
    mask
        Shape (n,).
    groups
        Variants of one product share a number, shape (n,).
    """

    mask: Mask
    groups: Rows

    @cached_property
    def rows(self) -> Rows:
        """The matching rows, ascending, shape (c,)."""
        return np.flatnonzero(self.mask).astype(np.int32)

    @property
    def share(self) -> float:
        """Share of the rows that match."""
        return len(self.rows) / max(len(self.mask), 1)

    @cached_property
    def group_sizes(self) -> Rows:
        """Number of matching variants in each group, shape (number of groups,)."""
        return np.bincount(self.groups[self.rows], minlength=1).astype(np.int32)

    @cached_property
    def products(self) -> int:
        """Number of groups with a matching variant."""
        return int(np.count_nonzero(self.group_sizes))

    @cached_property
    def entries(self) -> Rows:
        """Rows spread evenly over the matching ones, as entry points of a walk."""
        return self.rows[:: -(-len(self.rows) // MAX_ENTRIES) or 1]
