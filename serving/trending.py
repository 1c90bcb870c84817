"""The trending products, counted every minute, and the expiry of old events."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

from recommender.stores import EventStore, deadline

COUNT_SECONDS = 60.0
EXPIRE_SECONDS = 3600.0
EXPIRE_TIMEOUT = 900.0  # the first time, events of years are deleted


class Trending:
    """The products with the highest weight of recent events.

    Parameters
    ----------
    events
        The store.
    days
        The window of the trending strategy.
    retention_days
        Events older than this are deleted; None retains them.
    """

    def __init__(self, events: EventStore, days: int, retention_days: int | None = None) -> None:
        self._events, self._days, self._retention = events, days, retention_days
        self._count_at = self._expire_at = 0.0
        self.products: Sequence[tuple[str, float]] = ()

    def refresh(self) -> None:
        """Count trending products and delete old events, if it is time to."""
        now = monotonic()
        if now >= self._count_at:
            self.products = self._events.trending(datetime.now(UTC) - timedelta(days=self._days))
            self._count_at = now + COUNT_SECONDS
        if self._retention is not None and now >= self._expire_at:
            with deadline(EXPIRE_TIMEOUT):
                self._events.expire(datetime.now(UTC) - timedelta(days=self._retention))
            self._expire_at = now + EXPIRE_SECONDS
