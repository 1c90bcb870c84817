"""The published arrays of the products: one immutable folder, opened by memory mapping."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from recommender.core.blocks import Double, Float, Layout, Mask, Rows
from recommender.core.cooccurrence import Cooccurrence
from recommender.items.delta import PatchedIds
from recommender.items.ids import Ids


@dataclass(frozen=True)
class Segment:
    """Everything the score of a product needs.

    Parameters
    ----------
    vectors
        Fused item vectors, shape (n, d), float32; a block has norm 1, or less where it was predicted.
    present
        Which blocks come from the product's own data, shape (n, M).
    prior
        Popularity and freshness in [0, 1], shape (n,).
    groups
        Variants of one product share a number, shape (n,).
    neighbours
        Per product, the best other products under the learned item weights, its own variants left out, best
        first and padded with −1, shape (n, T); None while a bundle is being built.
    cooccurrence
        The item→item table C.
    complements
        Strength of complementary pairs, observed or predicted, see `training.cooccurrence.complements`.
    layout
        Where the blocks lie in `vectors`.
    neighbour_scores
        The exact scores of `neighbours`, shape (n, T).
    places
        Place of each row in the order of ids, shape (n,), by which ties are broken; None where rows are in it.
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
    places: Rows | None = None

    @classmethod
    def open(
        cls, load: Callable[[str], np.ndarray], layout: Layout, neighbours: bool, ids: Ids | PatchedIds
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
            places=ids.places,
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
        """Rows sorted by group, and where each group starts: a group's rows in one slice."""
        order = np.argsort(self.groups, kind="stable").astype(np.int32)
        starts = np.searchsorted(self.groups[order], np.arange(self.groups.max(initial=-1) + 2))
        return order, starts.astype(np.int32)

    def variants(self, row: int) -> Rows:
        """Return the rows of the same product as `row`, itself among them."""
        order, starts = self.members
        group = int(self.groups[row])
        return order[starts[group] : starts[group + 1]]

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
