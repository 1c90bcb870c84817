"""What a generation has over its base: the counts of a refresh, and the delta of changed products."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from recommender.bundle import Bundle
from recommender.bundle.extended import extended_array
from recommender.core.blocks import Rows

DELTA = "delta"
# The arrays that a refresh has in the place of those of the base, see `training.refresh`.
REFRESH = "refresh"
# Arrays that the delta has for the rows of `rows.npy`, for those of `neighbour_rows.npy`, and as a whole.
BY_ROWS = (
    *("vectors.npy", "present.npy", "prior.npy", "codes.npy", "graph.npy"),
    *("neighbour_codes.npy", "neighbour_factors.npy"),
)
BY_NEIGHBOUR_ROWS = ("neighbours.npy", "neighbour_scores.npy")
WHOLE = ("groups.npy", "codes_scales.npy", "row_times.npy")


def array_loader(bundle: Bundle) -> Callable[[str], np.ndarray]:
    """Return a function that maps an array of the base by its file name, with the delta applied."""
    delta = Delta.of(bundle)
    return partial(base_array, bundle) if delta is None else delta.array


def base_path(bundle: Bundle, file: str) -> Path:
    """Return the path of an array of the base, or of the one that a refresh has in its place."""
    return bundle.path(REFRESH if bundle.has(REFRESH, file) else "base", file)


def base_array(bundle: Bundle, file: str) -> np.ndarray:
    """Map an array of the base, or the one that a refresh has in its place."""
    return bundle.array(REFRESH if bundle.has(REFRESH, file) else "base", file)


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
        if file.endswith("_indptr.npy"):  # of co-occurrence: products added since it was counted have none yet
            starts = base_array(self._bundle, file)
            without = self._bundle.manifest.base_n + self.added + 1 - len(starts)
            return np.append(starts, np.repeat(starts[-1], without))
        if file not in BY_ROWS + BY_NEIGHBOUR_ROWS:
            return base_array(self._bundle, file)
        rows = self.rows if file in BY_ROWS else self._bundle.array(DELTA, "neighbour_rows.npy")
        return extended_array(base_path(self._bundle, file), rows, self._bundle.array(DELTA, file))
