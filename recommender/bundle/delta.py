"""What a generation changes of its base: products changed, added and removed since, in one small part."""

from collections.abc import Callable
from functools import partial
from typing import Self

import numpy as np

from recommender.bundle import Bundle
from recommender.bundle.extended import grown
from recommender.core.blocks import Rows

PART = "delta"
# Arrays of which the part has the rows that `rows.npy` names, those of `neighbour_rows.npy`, and all.
BY_ROWS = ("vectors.npy", "present.npy", "prior.npy", "codes.npy", "graph.npy")
BY_NEIGHBOUR_ROWS = ("neighbours.npy", "neighbour_scores.npy")
WHOLE = ("groups.npy", "codes_scales.npy")


def arrays_of(bundle: Bundle) -> Callable[[str], np.ndarray]:
    """Return what maps an array of the base by its file's name, patched where the bundle has a delta."""
    delta = Delta.of(bundle)
    return partial(bundle.array, "base") if delta is None else delta.array


class Delta:
    """The part of a bundle that patches its base.

    A product that was changed keeps its row, one that was added has a row beyond the base's end, one that was
    removed leaves a row that is never answered. The part says all that has changed since the base was built, so
    that a generation needs but the latest.

    Parameters
    ----------
    bundle
        An opened generation that has one.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.rows: Rows = bundle.array(PART, "rows.npy")
        self.removed: Rows = bundle.array(PART, "removed.npy")
        self.added = int(np.count_nonzero(self.rows >= bundle.manifest.base_n))

    @classmethod
    def of(cls, bundle: Bundle) -> Self | None:
        """Return the delta of a generation; None if it is a base and nothing else."""
        return cls(bundle) if PART in bundle.manifest.parts else None

    @property
    def fresh(self) -> Rows:
        """Rows of which the index knows nothing, or nothing right, shape (c,): they are scanned."""
        return np.setdiff1d(self.rows, self.removed)

    def array(self, file: str) -> np.ndarray:
        """Map an array of the base as it is now."""
        if file in WHOLE and self._bundle.has(PART, file):
            return self._bundle.array(PART, file)
        if file.endswith("_indptr.npy"):  # of C: what was added goes together with nothing yet
            starts = self._bundle.array("base", file)
            return np.append(starts, np.repeat(starts[-1], self.added))
        if file not in BY_ROWS + BY_NEIGHBOUR_ROWS:
            return self._bundle.array("base", file)
        rows = self.rows if file in BY_ROWS else self._bundle.array(PART, "neighbour_rows.npy")
        return grown(self._bundle.path("base", file), rows, self._bundle.array(PART, file))
