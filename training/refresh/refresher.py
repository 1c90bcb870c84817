"""Refreshes a bundle with new events, in seconds and without training."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, sleep

import numpy as np

from recommender.bundle import pull
from recommender.bundle.delta import REFRESH
from recommender.core.segment import Segment
from recommender.errors import DataError, RecommenderError
from recommender.progress import notice
from recommender.recommender import load
from training.new_products.factors import with_events
from training.refresh.publish import publish_refresh
from training.refresh.sources import CountedEvents, EventSources
from training.refresh.statistics import CountStatistics


@dataclass(frozen=True)
class RefreshResult:
    """The result of one refresh.

    Parameters
    ----------
    generation
        The new generation; None if no event was new.
    events
        Number of all events that are counted now.
    added
        How many more than before.
    unknown
        How many events of the new file and the store are of unknown products; they are not counted.
    until
        Moment of the latest event.
    seconds
        Until the counts were published.
    """

    generation: str | None = None
    events: int = 0
    added: int = 0
    unknown: int = 0
    until: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        unknown = f"; {self.unknown:,} events of unknown products are not counted" if self.unknown else ""
        if self.generation is None:
            return f"no event is new{unknown}"
        counts = f"{self.added:+,} events, {self.events:,} in all until {self.until}, in {self.seconds} s"
        return f"published {self.generation}: {counts}{unknown}"


@dataclass
class Refresher:
    """Refreshes one folder of bundles; keeps the tables of events between refreshes.

    Parameters
    ----------
    root
        The bundle's folder.
    sources
        Of the events.
    """

    root: Path
    sources: EventSources

    def refresh(self) -> RefreshResult:
        """Count all events again and publish the counts, if any event is new or gone.

        Raises
        ------
        DataError, BundleError
            If events cannot be read, the bundle cannot be refreshed, or another was published meanwhile.
        """
        started = perf_counter()
        pull(self.root)
        recommender = load(self.root)
        statistics = CountStatistics.open(recommender.bundle)
        before = CountedEvents.from_dict(recommender.manifest.extra[REFRESH]["events"])
        read = self.sources.read(recommender, before)
        interactions, now = read.interactions, read.counted
        if not np.any(interactions.event_weights() > 0):
            raise DataError("no event of positive weight is of a product of this bundle; nothing can be counted")
        if now.digest == before.digest:
            return RefreshResult(events=now.count, unknown=read.unknown, until=now.until)
        notice("counting events")
        segment = recommender.segment
        tables = statistics.count(interactions, segment.n)
        refreshed, prior = statistics.with_counts(segment, tables, interactions)
        refreshed = _without_removed(replace(refreshed, neighbours=None, neighbour_scores=None), segment)
        counted = with_events(interactions, segment.n)
        tower, refreshed = statistics.new_products.applied_to_counts(
            recommender.item_tower, refreshed, counted, recommender.manifest.seed
        )
        generation = publish_refresh(recommender, tower, refreshed, counted, now, prior)
        seconds = round(perf_counter() - started, 2)
        return RefreshResult(generation, now.count, now.count - before.count, read.unknown, now.until, seconds)

    def watch(self, seconds: float) -> Iterator[RefreshResult]:
        """Refresh every so many seconds and yield each published result; errors are logged and retried."""
        while True:
            try:
                result = self.refresh()
            except (RecommenderError, OSError) as error:
                notice(f"not refreshed: {error}")
                result = RefreshResult()
            if result.generation is not None:
                yield result
            sleep(seconds)


def _without_removed(segment: Segment, before: Segment) -> Segment:
    """Return the segment with the removed products of another, whose columns of C are skipped."""
    removed = before.cooccurrence.removed
    return replace(
        segment,
        cooccurrence=replace(segment.cooccurrence, removed=removed),
        complements=replace(segment.complements, removed=removed),
    )
