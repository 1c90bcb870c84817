"""How a training went: its loss over even parts of it, few enough to be published."""

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
        self.sums, self.counts = [0.0] * min(POINTS, steps), [0] * min(POINTS, steps)
        self._steps = steps

    def add(self, loss: Tensor) -> None:
        """Take the loss of the next step."""
        part = sum(self.counts) * len(self.sums) // self._steps
        self.sums[part] += loss.item()
        self.counts[part] += 1

    def stated(self) -> list[float]:
        """Return the mean loss of each part that was begun."""
        return [round(total / count, 4) for total, count in zip(self.sums, self.counts, strict=True) if count]
