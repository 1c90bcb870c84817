"""Progress on stderr for anything longer than two seconds."""

import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
logger = logging.getLogger("recommender")


def progress(items: Iterable[T], label: str, total: int | None = None, unit: str = "it") -> "tqdm[T]":
    """Return `items`, drawing a bar on stderr while they are iterated, once two seconds have passed.

    What is known on the way is put beside the bar with its ``set_postfix_str(text, refresh=False)``.
    """
    from tqdm import tqdm

    pause = 0.1 if sys.stderr.isatty() else 30.0  # a log file wants a line now and then, not a film
    return tqdm(
        items, desc=label, total=total, unit=unit, delay=2, mininterval=pause, file=sys.stderr, leave=False
    )


def notice(message: str) -> None:
    """Say one thing that the user should know; goes to stderr through logging."""
    logger.info(message)
