"""Deadlines: how long the calls of a store may take, set by their caller for the current thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

_END: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit the calls of stores within the block to `seconds` altogether, or to what is left of an outer limit.

    A call that takes longer raises `StoreUnavailableError`. What it was writing may be stored even so.
    """
    outer, end = _END.get(), monotonic() + seconds
    token = _END.set(end if outer is None else min(outer, end))
    try:
        yield
    finally:
        _END.reset(token)


def remaining() -> float | None:
    """Return the seconds until the deadline, at least 0; None if there is no deadline."""
    end = _END.get()
    return None if end is None else max(end - monotonic(), 0.0)
