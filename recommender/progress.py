"""Progress bars and notices on stderr; lines now and then instead of bars where there is no terminal."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

T = TypeVar("T")
logger = logging.getLogger("recommender")

_BAR_DELAY = 2.0  # seconds; what takes less shows nothing
_BAR_INTERVAL = 0.1
_LINE_INTERVAL = 30.0


def progress(items: Iterable[T], label: str, total: int | None = None, unit: str = "item") -> "ProgressBar[T]":
    """Return `items`, showing progress while they are iterated.

    Parameters
    ----------
    items
        What is iterated.
    label
        The work, such as "texts".
    total
        The number of items, where known.
    unit
        One item, in the singular.
    """
    return ProgressBar(items, label, total, unit)


class ProgressBar(Generic[T]):
    """An iterable that shows how much of it is done; see `progress`."""

    def __init__(self, items: Iterable[T], label: str, total: int | None, unit: str) -> None:
        self._items, self._label, self._total, self._unit = items, label, total, unit
        self._done = self._resumed = 0
        self._note, self._started = "", 0.0
        self._task: TaskID | None = None

    def update(self, done: int) -> None:
        """Count items that an earlier run has done."""
        self._done = self._resumed = done

    def note(self, text: str) -> None:
        """Show a text beside the progress, such as the latest loss."""
        self._note = text

    def __iter__(self) -> Iterator[T]:
        """Yield the items."""
        self._started = time.monotonic()
        due = self._started + (_BAR_DELAY if sys.stderr.isatty() else _LINE_INTERVAL)
        try:
            for item in self._items:
                yield item
                self._done += 1
                if time.monotonic() >= due:
                    due = time.monotonic() + self._show()
        finally:
            self._hide()

    def _show(self) -> float:
        """Show how much is done; return the seconds until it is to be shown again."""
        if not _console().is_terminal:
            _print(f"{self._label}: {self._state()}")
            return _LINE_INTERVAL
        bars = _bars()
        if self._task is None:
            self._task = bars.add_task(self._label, total=self._total, state="")
            bars.start()
        bars.update(self._task, completed=self._done, state=self._state())
        return _BAR_INTERVAL

    def _state(self) -> str:
        of = f"/{self._total:,}" if self._total else ""
        rate = (self._done - self._resumed) / (time.monotonic() - self._started)
        note = f", {self._note}" if self._note else ""
        return f"{self._done:,}{of}, {rate:,.1f} {self._unit}/s{note}"

    def _hide(self) -> None:
        if self._task is not None:
            _bars().remove_task(self._task)
            if not _bars().tasks:
                _bars().stop()


def notice(message: str) -> None:
    """Log one thing that the user should know; the command line prints it to stderr."""
    logger.info(message)


def print_notices() -> None:
    """Print notices to stderr from now on, above a progress bar if there is one."""
    logger.setLevel(logging.INFO)
    logger.handlers = [_NoticeHandler()]


class _NoticeHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _print(record.getMessage())


def _print(text: str) -> None:
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


@cache
def _console() -> "Console":
    from rich.console import Console

    return Console(stderr=True, force_jupyter=False)


@cache
def _bars() -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    label, state = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[state]}"))
    return Progress(label, BarColumn(), state, TimeRemainingColumn(), console=_console(), transient=True)
