"""The products that a filter keeps, and what the search wants to know of them; worked out once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recommender.core.blocks import Mask, Rows

ENTRIES = 512


@dataclass(frozen=True)
class Subset:
    """Some of the n products.

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
        """The rows kept, ascending, shape (c,)."""
        return np.flatnonzero(self.mask).astype(np.int32)

    @property
    def share(self) -> float:
        """Share of the products that is kept."""
        return len(self.rows) / max(len(self.mask), 1)

    @cached_property
    def group_sizes(self) -> Rows:
        """Number of variants kept in each group, shape (number of groups,)."""
        return np.bincount(self.groups[self.rows], minlength=1).astype(np.int32)

    @cached_property
    def products(self) -> int:
        """Number of groups of which a variant is kept."""
        return int(np.count_nonzero(self.group_sizes))

    @cached_property
    def entries(self) -> Rows:
        """Rows spread evenly over those kept, for a walk to begin from."""
        return self.rows[:: -(-len(self.rows) // ENTRIES) or 1]
