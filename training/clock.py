"""Seconds that the stages of a fit take."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from recommender.progress import notice


@dataclass
class Clock:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is inside, and say that it begins."""
        notice(name)
        started = perf_counter()
        yield
        self.seconds[name] = round(perf_counter() - started, 2)
