"""The segment: the immutable arrays of a bundle's products, memory-mapped."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from recommender.core.blocks import BLOCKS, Double, Float, Layout, Mask, Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.scoring import Query
from recommender.items.delta import DeltaIds
from recommender.items.ids import Ids

_ONES = np.ones(len(BLOCKS))
_ONES.setflags(write=False)


@dataclass(frozen=True)
class Segment:
    """The arrays from which products are scored.

    Parameters
    ----------
    vectors
        Fused item vectors, shape (n, d), float32; a block has norm 1, or less if it was predicted.
    present
        Which blocks come from the product's own data, shape (n, M).
    prior
        Popularity and freshness in [0, 1], shape (n,).
    groups
        Group of each row, shape (n,): variants of one product share a number.
    neighbours
        Neighbour table, shape (n, T): of each product the best others under the learned item weights, without its
        variants, best first, padded with −1; None while a bundle is being built.
    cooccurrence
        The item→item table C.
    complements
        Strength of complementary pairs, observed or predicted, see `training.cooccurrence.complements`.
    layout
        The columns of each block in `vectors`.
    neighbour_scores
        The exact scores of `neighbours`, shape (n, T).
    id_ranks
        Rank of each row in the order of ids, shape (n,), which breaks ties; None where rows are in that order.
    """

    vectors: Float
    present: Mask
    prior: Float
    groups: Rows
    neighbours: Rows | None
    cooccurrence: Cooccurrence
    complements: Cooccurrence
    layout: Layout
    neighbour_scores: Double | None = None
    id_ranks: Rows | None = None

    @classmethod
    def open(
        cls, load: Callable[[str], np.ndarray], layout: Layout, neighbours: bool, ids: Ids | DeltaIds
    ) -> "Segment":
        """Map the arrays through `load`, a function from file name to array."""
        return cls(
            vectors=load("vectors.npy"),
            present=load("present.npy"),
            prior=load("prior.npy"),
            groups=load("groups.npy"),
            neighbours=load("neighbours.npy") if neighbours else None,
            cooccurrence=Cooccurrence.open(load, "cooccurrence", ids.removed),
            complements=Cooccurrence.open(load, "complements", ids.removed),
            layout=layout,
            neighbour_scores=load("neighbour_scores.npy") if neighbours else None,
            id_ranks=ids.id_ranks,
        )

    def save(self, folder: Path) -> None:
        """Write the arrays into a part's folder."""
        for name in ("vectors", "present", "prior", "groups"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        if self.neighbours is not None and self.neighbour_scores is not None:
            np.save(folder / "neighbours.npy", self.neighbours)
            np.save(folder / "neighbour_scores.npy", self.neighbour_scores)
        self.cooccurrence.save(folder, "cooccurrence")
        self.complements.save(folder, "complements")

    @cached_property
    def n(self) -> int:
        """Number of rows."""
        return len(self.vectors)

    @cached_property
    def members(self) -> tuple[Rows, Rows]:
        """Rows sorted by group, and the start of each group: the rows of a group are one slice."""
        order = np.argsort(self.groups, kind="stable").astype(np.int32)
        starts = np.searchsorted(self.groups[order], np.arange(self.groups.max(initial=-1) + 2))
        return order, starts.astype(np.int32)

    def variants(self, row: int) -> Rows:
        """Return the rows of the same product as `row`, including itself."""
        order, starts = self.members
        group = int(self.groups[row])
        return order[starts[group] : starts[group + 1]]

    def item_query(self, row: int) -> Query:
        """Return the query of one product: its blocks and its row of C."""
        table = self.cooccurrence
        co_occurring, strengths = table.row(row)
        seed, block_scales = np.array([row], dtype=np.int32), _ONES[: len(self.layout.dims)]
        values = strengths.astype(np.float64)
        return Query(self.vectors[row], seed, _ONES[:1], block_scales, co_occurring, values, table)

    @cached_property
    def group_sizes(self) -> Rows:
        """Number of variants in each group, shape (number of groups,)."""
        return np.diff(self.members[1])

    @cached_property
    def products(self) -> int:
        """Number of groups."""
        return int(np.count_nonzero(self.group_sizes))

    @cached_property
    def popular(self) -> Rows:
        """All rows by prior, best first, ties by row, shape (n,)."""
        return np.argsort(-self.prior, kind="stable").astype(np.int32)
