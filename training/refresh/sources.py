"""The events that a refresh counts: those of the fit and of earlier refreshes, read again, and new ones.

They are read again, instead of counts being continued, since a bundle has no user's history: what a new event is
paired with, which purchase a return cancels and who is a bot can only be said with the events of its user.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recommender.catalog import Catalog, Interactions
from recommender.catalog.event_files import event_table
from recommender.catalog.files.tables import Table, frame_table, read_table
from recommender.catalog.images.web import UrlImages
from recommender.catalog.influence import bound_influence
from recommender.catalog.interactions import table_of_events
from recommender.catalog.report import DataReport
from recommender.catalog.values.ids import is_alias
from recommender.config import Config, EventsConfig
from recommender.core.blocks import Rows
from recommender.encoders.cache import cache_location
from recommender.errors import DataError
from recommender.events import PLAYED
from recommender.recommender import Recommender
from recommender.stores.base import EventStore

# What stands for the path of events that were given as a frame: those of the fit, and new ones.
LOG_FRAME, NEW_FRAME = "events frame", "new events frame"
UNKNOWN_PRODUCT = "event of an unknown product"


@dataclass(frozen=True)
class CountedFile:
    """A file of new events that a generation has counted.

    Parameters
    ----------
    path
        Absolute; the name of a frame.
    events, until
        Number of its events, and the moment of the latest.
    """

    path: str
    events: int
    until: str

    @classmethod
    def of(cls, path: str, table: Table) -> "CountedFile":
        """Describe a file that was read."""
        times = table.frame["timestamp"]
        return cls(path, len(times), str(times.max()) if len(times) else "")

    def check(self, table: Table) -> None:
        """Raise a `DataError` if events that were counted are missing from the file as it is now."""
        found = int((table.frame["timestamp"] <= pd.Timestamp(self.until)).sum()) if self.until else 0
        if found < self.events:
            raise DataError(
                f"{self.path} had {self.events:,} events until {self.until} when they were counted, and has "
                f"{found:,} of them now: was it overwritten by newer ones? Keep each export in a file of its own, "
                "or one that grows, or fit again"
            )


@dataclass(frozen=True)
class CountedEvents:
    """Which events a generation has counted, for its manifest.

    Parameters
    ----------
    count, until
        Their number, and the moment of the latest.
    digest
        Of all of them, in any order: as long as it is equal, a refresh changes nothing.
    log
        Absolute path of the file of the fit, the name of a frame; None where it had none.
    files
        Of refreshes.
    store
        Whether events of a store are among them.
    """

    count: int
    until: str
    digest: str
    log: str | None = None
    files: tuple[CountedFile, ...] = ()
    store: bool = False

    @classmethod
    def of(
        cls, interactions: Interactions, log: str | None, store: bool, files: Sequence[CountedFile] = ()
    ) -> "CountedEvents":
        """Describe events."""
        frame = interactions.frame[["user_id", "item_id", "event_name", "timestamp", "value"]]
        digest = int(pd.util.hash_pandas_object(frame, index=False).to_numpy().sum(dtype=np.uint64))
        until = str(frame["timestamp"].max()) if len(frame) else ""
        return cls(len(frame), until, f"{digest:016x}", log, tuple(files), store)

    @classmethod
    def from_dict(cls, exported: Mapping[str, Any]) -> "CountedEvents":
        """Return what `asdict` exported."""
        return cls(**{**exported, "files": tuple(CountedFile(**file) for file in exported["files"])})


@dataclass(frozen=True)
class ReadEvents:
    """All events of a shop.

    Parameters
    ----------
    interactions
        By rows of the bundle.
    counted
        Their description.
    unknown
        Number of new events whose product is unknown.
    """

    interactions: Interactions
    counted: CountedEvents
    unknown: int


@dataclass
class EventSources:
    """Reads the events that were counted, and new ones; keeps the tables of files until they change.

    Parameters
    ----------
    config
        Columns and weights of the events.
    log
        A file or frame in the place of that of the fit, which was a frame or has moved.
    events
        A file or frame of new events.
    store
        Its events are counted, too.
    """

    config: Config
    log: Path | pd.DataFrame | None = None
    events: Path | pd.DataFrame | None = None
    store: EventStore | None = None
    _tables: dict[str, tuple[float, Table]] = field(default_factory=dict)

    def read(self, recommender: Recommender, counted: CountedEvents) -> ReadEvents:
        """Return all events.

        Parameters
        ----------
        recommender
            Of the current generation: its products.
        counted
            What it has counted.

        Raises
        ------
        DataError
            If a file cannot be read, or lacks events that were counted, or the store is missing.
        """
        if counted.store and self.store is None:
            raise DataError(
                "events of a store are counted in this generation; give its URL with --store, or fit again"
            )
        catalog, rows = catalog_of(recommender)
        log, log_name = self._log(counted)
        files = self._files(counted)
        tables = [] if log is None else [self._table(log, log_name)]
        for name, (file, source) in files.items():
            tables.append(self._table(source, name))
            if file is not None:
                file.check(tables[-1])
        if not tables and self.store is None:
            raise DataError("there are no events to count; give --events FILE, --store URL or both")
        of_files = [CountedFile.of(name, self._tables[name][1]) for name in files]
        if self.store is not None:
            tables.append(self._stored(self.store))
        sources_of_new = (self.events is not None) + (self.store is not None)  # the last tables
        new = tables[len(tables) - sources_of_new :]
        unknown = unknown_products(new, catalog, self._mapping)
        interactions = bound_influence(Interactions.from_tables(tables, catalog, self._mapping))
        interactions = replace(interactions, frame=interactions.frame.assign(row=rows[interactions.frame["row"]]))
        described = CountedEvents.of(interactions, log_name, self.store is not None, of_files)
        return ReadEvents(interactions, described, unknown)

    @property
    def _mapping(self) -> EventsConfig:
        """The columns of events; their circumstances are not counted, and may be missing from a new file."""
        events = self.config.events
        return EventsConfig(path=Path()) if events is None else events.model_copy(update={"context": []})

    def _log(self, counted: CountedEvents) -> tuple[Path | pd.DataFrame | None, str | None]:
        """Return the events of the fit, and what the manifest names them."""
        if isinstance(self.log, Path):
            return self.log, str(self.log.absolute())
        if self.log is not None:
            return self.log, counted.log or LOG_FRAME
        return None if counted.log is None else Path(counted.log), counted.log

    def _files(self, counted: CountedEvents) -> dict[str, tuple[CountedFile | None, Path | pd.DataFrame]]:
        """Return the files of refreshes by name, each with what was counted of it; the new one is the last."""
        files: dict[str, tuple[CountedFile | None, Path | pd.DataFrame]]
        files = {file.path: (file, Path(file.path)) for file in counted.files}
        if self.events is not None:
            name = str(self.events.absolute()) if isinstance(self.events, Path) else NEW_FRAME
            known = files.pop(name, None)
            files[name] = (None if known is None else known[0], self.events)
        return files

    def _table(self, source: Path | pd.DataFrame, name: str | None) -> Table:
        """Return the valid events of a file or frame; a file is read again when it has changed."""
        name = name or LOG_FRAME
        if isinstance(source, Path) and source is not self.events and not source.exists():
            raise DataError(
                f"the events of {name} are counted in this generation, and are not there any more: put the file "
                "back, name the events of the fit with --config (log= in Python), or fit again"
            )
        stamp = modified(source) if isinstance(source, Path) and source.exists() else 0.0
        if name not in self._tables or self._tables[name][0] != stamp:
            report = DataReport()
            if isinstance(source, Path):
                table = read_table(source, report)
            else:
                ids = (self._mapping.user_id, self._mapping.item_id)
                table = frame_table(source, name, ids, 'user_id="customer"', report)
            self._tables[name] = stamp, event_table(table, self._mapping, report)
            if source is self.events:
                report.print_summary()
        return self._tables[name][1]

    def _stored(self, store: EventStore) -> Table:
        """Return the events of a store as they are now, so that those of erased users are in no new count."""
        shoppers = (event for event in store.scan() if not event.user_id.startswith(PLAYED))
        plain = EventsConfig.model_validate({"path": "", "weights": self._mapping.weights})
        return event_table(table_of_events(shoppers), plain, DataReport())


def log_path(config: Config) -> str | None:
    """Return the absolute path of a config's events; the name of a frame; None without events."""
    if config.events is None:
        return None
    path = config.events.path
    return str(path) if str(path) == LOG_FRAME else str(config.resolve(path).absolute())


def modified(path: Path) -> float:
    """Return when a file, or the newest of a folder, was modified."""
    return max(each.stat().st_mtime for each in (path, *path.rglob("*")))


def unknown_products(tables: Sequence[Table], catalog: Catalog, mapping: EventsConfig) -> int:
    """Return how many events of some tables are of unknown products, and print these."""
    unknown = 0
    for table in tables:
        report = Interactions.from_tables([table], catalog, mapping).report
        report.print_summary()
        unknown += report.counts[UNKNOWN_PRODUCT]
    return unknown


def catalog_of(recommender: Recommender) -> tuple[Catalog, Rows]:
    """Return the products of a bundle as events are matched with them, and the row of each in the bundle."""
    attributes, ids = recommender.attributes, recommender.ids
    rows: Rows = np.asarray(attributes.rows_of(ids), dtype=np.int32)
    frame = pd.DataFrame({"id": pd.Series([*ids], dtype=object)})
    for name in filter(is_alias, attributes.names):
        frame[name] = pd.Series([attributes.value(name, row) for row in rows.tolist()], dtype=object).fillna("")
    return Catalog(frame, (), UrlImages(cache_location() / "photos")), rows
