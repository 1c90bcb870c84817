"""What users have chosen lately, counted now and then, and the events that have become too old deleted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

from recommender.stores import EventStore

COUNT_SECONDS = 60.0
EXPIRE_SECONDS = 3600.0


class Trending:
    """The products that late events weigh most for.

    Parameters
    ----------
    events
        The store.
    days
        What counts as lately.
    retention_days
        Events older than this are deleted; None keeps them.
    """

    def __init__(self, events: EventStore, days: int, retention_days: int | None = None) -> None:
        self._events, self._days, self._retention = events, days, retention_days
        self._count_at = self._expire_at = 0.0
        self.products: Sequence[tuple[str, float]] = ()

    def refresh(self) -> None:
        """Do what is due."""
        now = monotonic()
        if now >= self._count_at:
            self.products = self._events.trending(datetime.now(UTC) - timedelta(days=self._days))
            self._count_at = now + COUNT_SECONDS
        if self._retention is not None and now >= self._expire_at:
            self._events.expire(datetime.now(UTC) - timedelta(days=self._retention))
            self._expire_at = now + EXPIRE_SECONDS
