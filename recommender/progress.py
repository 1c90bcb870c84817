"""Progress on stderr for anything longer than two seconds."""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
logger = logging.getLogger("recommender")


def progress(items: Iterable[T], label: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield `items`, drawing a bar on stderr once two seconds have passed."""
    from tqdm import tqdm

    pause = 0.1 if sys.stderr.isatty() else 30.0  # a log file wants a line now and then, not a film
    return iter(
        tqdm(items, desc=label, total=total, unit=unit, delay=2, mininterval=pause, file=sys.stderr, leave=False)
    )


def notice(message: str) -> None:
    """Say one thing that the user should know; goes to stderr through logging."""
    logger.info(message)
