"""Stage timings and loss curves of a training run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from torch import Tensor

from recommender.progress import notice

MAX_POINTS = 40  # of a published loss curve


@dataclass
class StageTimer:
    """Measures how long each stage of a fit takes.

    Parameters
    ----------
    seconds
        Stage name to seconds, in the order in which the stages ended.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage and time the body of the `with` statement."""
        notice(name)
        started = perf_counter()
        yield
        self.seconds[name] = round(perf_counter() - started, 2)


class LossCurve:
    """The mean training loss over at most `MAX_POINTS` equal parts of a training.

    Parameters
    ----------
    steps
        Number of optimizer steps of the whole training.
    """

    def __init__(self, steps: int) -> None:
        points = min(MAX_POINTS, steps)
        self.sums, self.counts = [0.0] * points, [0] * points
        self._steps = steps

    def add(self, loss: Tensor) -> None:
        """Record the loss of the next step."""
        point = sum(self.counts) * len(self.sums) // self._steps
        self.sums[point] += loss.item()
        self.counts[point] += 1

    def means(self) -> list[float]:
        """Return the mean loss of each part that has begun."""
        return [round(total / count, 4) for total, count in zip(self.sums, self.counts, strict=True) if count]
