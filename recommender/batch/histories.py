"""Group events by user into histories, out of core."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pyarrow as pa

from recommender.catalog.event_files import event_tables
from recommender.config import EventsConfig
from recommender.events import Event

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("event_name", pa.string()),
        ("timestamp", pa.timestamp("us")),
        ("value", pa.float64()),
    ]
)
MEMORY = "1GB"  # for sorting; beyond that, on disk
_BATCH = 100_000
_TABLE = """CREATE TABLE events
(user_id VARCHAR, item_id VARCHAR, event_name VARCHAR, timestamp TIMESTAMP, value DOUBLE)"""


def by_user(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Group events into histories, oldest first, in order of user id; events without a user are excluded."""
    histories: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.user_id:
            histories[event.user_id].append(event)
    return {
        user: sorted(history, key=lambda event: event.timestamp) for user, history in sorted(histories.items())
    }


def read_histories(tables: Iterable[pa.Table], memory: str = MEMORY) -> Iterator[tuple[str, list[Event]]]:
    """Yield each user with their history, as `by_user`, in bounded memory.

    Parameters
    ----------
    tables
        Events in the columns of `SCHEMA`, such as those of `tables_of_file`.
    memory
        Limit of sorting in memory, such as ``"1GB"``; beyond that, a temporary folder is used.
    """
    with by_user_and_time(tables, memory) as batches:
        yield from grouped(batches)


def tables_of_file(path: Path, config: EventsConfig) -> Iterator[pa.Table]:
    """Yield the valid events of a file in chunks, in the columns of `SCHEMA`.

    Parameters
    ----------
    path
        CSV, Parquet or JSON Lines.
    config
        Maps its columns.

    Raises
    ------
    DataError
        If the file cannot be read or lacks a column.
    """
    for table in event_tables(path, config):
        yield pa.Table.from_pandas(table.frame[SCHEMA.names], SCHEMA, preserve_index=False)


def tables_of_events(events: Iterable[Event]) -> Iterator[pa.Table]:
    """Yield events in chunks, in the columns of `SCHEMA`."""
    from recommender.batch.answers import chunks

    for chunk in chunks(events, _BATCH):
        columns = {
            "user_id": [event.user_id for event in chunk],
            "item_id": [event.item_id for event in chunk],
            "event_name": [event.event_name for event in chunk],
            "timestamp": [event.timestamp.astimezone(UTC).replace(tzinfo=None) for event in chunk],
            "value": [event.value for event in chunk],
        }
        yield pa.table(columns, SCHEMA)


@contextmanager
def by_user_and_time(tables: Iterable[pa.Table], memory: str = MEMORY) -> Iterator[Iterator[pa.RecordBatch]]:
    """Sort events by user and time, stably; events without a user are excluded.

    Parameters
    ----------
    tables
        In the columns of `SCHEMA`.
    memory
        See `read_histories`.
    """
    with TemporaryDirectory() as folder:
        settings = {"memory_limit": memory, "temp_directory": folder}
        with duckdb.connect(config={**settings}) as database:
            database.execute(_TABLE)
            for table in tables:
                database.register("incoming", table)
                database.execute("INSERT INTO events SELECT * FROM incoming WHERE user_id <> ''")
            ordered = database.sql("SELECT * FROM events ORDER BY user_id, timestamp, rowid")
            yield iter(ordered.to_arrow_reader(_BATCH))


def starts_of_users(batch: pa.RecordBatch, previous: str | None) -> np.ndarray:
    """Return the positions in a sorted batch where the user changes, ascending.

    Parameters
    ----------
    batch
        Sorted by user.
    previous
        The last user of the batch before; None for the first.
    """
    users = batch.column("user_id").to_numpy(zero_copy_only=False)
    first = np.empty(len(users), dtype=bool)
    first[0], first[1:] = users[0] != previous, users[1:] != users[:-1]
    return np.flatnonzero(first)


def grouped(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, list[Event]]]:
    """Yield each user with their history from batches sorted by user."""
    user: str | None = None
    history: list[Event] = []
    for batch in batches:
        for event in _events(batch):
            if event.user_id != user:
                if user is not None:
                    yield user, history
                user, history = event.user_id, []
            history.append(event)
    if user is not None:
        yield user, history


def _events(batch: pa.RecordBatch) -> Iterator[Event]:
    users, items, names, moments, values = (batch.column(name).to_pylist() for name in SCHEMA.names)
    for user, item, name, moment, value in zip(users, items, names, moments, values, strict=True):
        number = None if value is None or value != value else value
        yield Event(item, name, moment.replace(tzinfo=UTC), user, number)
