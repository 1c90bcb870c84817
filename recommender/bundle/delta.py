"""The delta of a generation: the products changed, added and removed since its base, in one small part."""

from collections.abc import Callable
from functools import partial
from typing import Self

import numpy as np

from recommender.bundle import Bundle
from recommender.bundle.extended import extended_array
from recommender.core.blocks import Rows

DELTA = "delta"
# Arrays that the delta has for the rows of `rows.npy`, for those of `neighbour_rows.npy`, and as a whole.
BY_ROWS = ("vectors.npy", "present.npy", "prior.npy", "codes.npy", "graph.npy")
BY_NEIGHBOUR_ROWS = ("neighbours.npy", "neighbour_scores.npy")
WHOLE = ("groups.npy", "codes_scales.npy", "row_times.npy")


def array_loader(bundle: Bundle) -> Callable[[str], np.ndarray]:
    """Return a function that maps an array of the base by its file name, with the delta applied."""
    delta = Delta.of(bundle)
    return partial(bundle.array, "base") if delta is None else delta.array


class Delta:
    """The delta of an opened generation.

    A changed product keeps its row, an added one has a row beyond the end of the base, the row of a removed one is
    never returned. A delta has all changes since the base was built, so that a generation has one at most.

    Parameters
    ----------
    bundle
        An opened generation that has a delta.

    Attributes
    ----------
    rows
        Changed and added rows, shape (c,).
    removed
        Rows of removed products.
    added
        Number of rows beyond the end of the base.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.rows: Rows = bundle.array(DELTA, "rows.npy")
        self.removed: Rows = bundle.array(DELTA, "removed.npy")
        self.added = int(np.count_nonzero(self.rows >= bundle.manifest.base_n))

    @classmethod
    def of(cls, bundle: Bundle) -> Self | None:
        """Return the delta of a generation; None if it has none."""
        return cls(bundle) if DELTA in bundle.manifest.parts else None

    @property
    def unindexed(self) -> Rows:
        """Rows that the index lacks or has outdated, shape (c,): they are scanned."""
        return np.setdiff1d(self.rows, self.removed)

    def array(self, file: str) -> np.ndarray:
        """Map an array of the base with the delta applied."""
        if file in WHOLE and self._bundle.has(DELTA, file):
            return self._bundle.array(DELTA, file)
        if file.endswith("_indptr.npy"):  # of co-occurrence: added products have none yet
            starts = self._bundle.array("base", file)
            return np.append(starts, np.repeat(starts[-1], self.added))
        if file not in BY_ROWS + BY_NEIGHBOUR_ROWS:
            return self._bundle.array("base", file)
        rows = self.rows if file in BY_ROWS else self._bundle.array(DELTA, "neighbour_rows.npy")
        return extended_array(self._bundle.path("base", file), rows, self._bundle.array(DELTA, file))
