"""How a training went: its loss over even parts of it, few enough to be published."""

import numpy as np
from torch import Tensor

POINTS = 40


class Curve:
    """The losses of a training, as they come.

    Parameters
    ----------
    steps
        How many there will be.
    """

    def __init__(self, steps: int) -> None:
        self._sums, self._counts = np.zeros(min(POINTS, steps)), np.zeros(min(POINTS, steps))
        self._steps, self._done = steps, 0

    def add(self, loss: Tensor) -> None:
        """Take the loss of the next step."""
        part = self._done * len(self._sums) // self._steps
        self._sums[part] += loss.item()
        self._counts[part] += 1
        self._done += 1

    def stated(self) -> list[float]:
        """Return the mean loss of each part that was begun."""
        begun = self._counts > 0
        means: list[float] = np.round(self._sums[begun] / self._counts[begun], 4).tolist()
        return means
