"""Events and overlay in one SQL database: SQLite on one machine, PostgreSQL for several."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from recommender.errors import StoreError
from recommender.events import Event
from recommender.stores.base import Store

SCHEMES = ("sqlite", "postgresql")


class _Utc(sa.TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite keeps no zone, so there the zone is taken off and put back."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


_METADATA = sa.MetaData()
_EVENTS = sa.Table(
    "events",
    _METADATA,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("event_name", sa.Text, nullable=False),
    sa.Column("timestamp", _Utc, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("recommendation_id", sa.Text, nullable=False),
    sa.Column("value", sa.Double),
    sa.Column("quantity", sa.Double),
    sa.Column("price", sa.Double),
    sa.Index("events_by_user", "user_id", "timestamp"),
    sa.Index("events_by_time", "timestamp"),
)
_OVERLAY = sa.Table(
    "item_overlay",
    _METADATA,
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("attributes", sa.JSON, nullable=False),
)
_REVISION = sa.Table(
    "overlay_revision",
    _METADATA,
    sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)
_EVENT_COLUMNS = [_EVENTS.c[field.name] for field in fields(Event)]
_OLDEST_FIRST = (_EVENTS.c.timestamp, _EVENTS.c.event_id, _EVENTS.c.item_id)
_TABLES_LOCK = 0x7265636F  # any number of our own
_key = attrgetter("event_id", "item_id")


class _Database:
    """An engine whose every failure is a `StoreError`."""

    def __init__(self, url: str) -> None:
        try:
            self._engine = sa.create_engine(_with_driver(url), pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise StoreError(_unopenable(url, error)) from error
        self.name = self._engine.url.render_as_string(hide_password=True)
        self.insert: Callable[[sa.Table], sqlite.Insert | postgresql.Insert] = postgresql.insert
        if self._engine.dialect.name == "sqlite":
            self.insert = sqlite.insert
            sa.event.listen(self._engine, "connect", _configure_sqlite)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise StoreError(f"the store {self.name} refuses: {reason}") from error

    def close(self) -> None:
        self._engine.dispose()


class SqlEvents:
    """`EventStore` on a SQL database."""

    def __init__(self, database: _Database) -> None:
        self._database = database

    def add(self, events: Sequence[Event]) -> list[bool]:
        """See `EventStore.add`."""
        rows = {_key(event): asdict(event) for event in reversed(events)}
        if not rows:
            return []
        insert = self._database.insert(_EVENTS).on_conflict_do_nothing()
        keys = insert.returning(_EVENTS.c.event_id, _EVENTS.c.item_id)
        with self._database.transaction() as connection:
            # sorted, so that two writers with the same events never wait for each other in a circle
            new = {tuple(key) for key in connection.execute(keys, [rows[key] for key in sorted(rows)])}
        answer = []
        for key in map(_key, events):
            answer.append(key in new)
            new.discard(key)  # the same event further on is not new any more
        return answer

    def history(self, user_id: str, limit: int = 200) -> list[Event]:
        """See `EventStore.history`."""
        latest = (
            sa.select(*_EVENT_COLUMNS)
            .where(_EVENTS.c.user_id == user_id)
            .order_by(*(column.desc() for column in _OLDEST_FIRST))
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return [Event(*row) for row in connection.execute(latest)][::-1]

    def scan(self, batch: int = 10_000) -> Iterator[Event]:
        """See `EventStore.scan`."""
        every = sa.select(*_EVENT_COLUMNS).order_by(*_OLDEST_FIRST)
        with (
            self._database.transaction() as connection,
            connection.execution_options(yield_per=batch).execute(every) as rows,
        ):
            for row in rows:
                yield Event(*row)

    def forget(self, user_id: str) -> int:
        """See `EventStore.forget`."""
        with self._database.transaction() as connection:
            return connection.execute(sa.delete(_EVENTS).where(_EVENTS.c.user_id == user_id)).rowcount

    def close(self) -> None:
        """See `EventStore.close`."""
        self._database.close()


class SqlOverlay:
    """`ItemOverlay` on a SQL database."""

    def __init__(self, database: _Database) -> None:
        self._database = database

    def revision(self) -> int:
        """See `ItemOverlay.revision`."""
        with self._database.transaction() as connection:
            return connection.scalar(sa.select(_REVISION.c.revision)) or 0

    def put(self, item_id: str, attributes: Mapping[str, object]) -> int:
        """See `ItemOverlay.put`."""
        with self._database.transaction() as connection:
            revision = self._raise_revision(connection)  # first, for its lock keeps other writers out
            row = sa.select(_OVERLAY.c.attributes).where(_OVERLAY.c.item_id == item_id)
            merged = {"attributes": {**(connection.scalar(row) or {}), **attributes}}
            upsert = self._database.insert(_OVERLAY).values(item_id=item_id, **merged)
            connection.execute(upsert.on_conflict_do_update(index_elements=["item_id"], set_=merged))
        return revision

    def _raise_revision(self, connection: sa.Connection) -> int:
        raised = {"revision": _REVISION.c.revision + 1}
        insert = self._database.insert(_REVISION).values(only=1, revision=1)
        upsert = insert.on_conflict_do_update(index_elements=["only"], set_=raised)
        return int(connection.execute(upsert.returning(_REVISION.c.revision)).scalar_one())

    def changes(self) -> dict[str, dict[str, Any]]:
        """See `ItemOverlay.changes`."""
        with self._database.transaction() as connection:
            rows = connection.execute(sa.select(_OVERLAY.c.item_id, _OVERLAY.c.attributes))
            return {row.item_id: row.attributes for row in rows}

    def close(self) -> None:
        """See `ItemOverlay.close`."""
        self._database.close()


def open_url(url: str) -> Store:
    """Open both stores on the database at `url`, making the tables where they are missing."""
    database = _Database(url)
    _create_tables(database)
    return Store(SqlEvents(database), SqlOverlay(database))


def _create_tables(database: _Database) -> None:
    """Make what is missing, whoever else does so at the same time."""
    with database.transaction() as connection:
        if connection.dialect.name == "postgresql":  # where IF NOT EXISTS alone does not keep two apart
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TABLES_LOCK)))
        for table in _METADATA.sorted_tables:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def _unopenable(url: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"{error}; PostgreSQL needs the extra: pip install 'hybrid-recommender[postgres]'"
    return f"no usable store URL: {error}; expected one such as sqlite:///events.sqlite"


def _configure_sqlite(connection: Any, record: object) -> None:
    """WAL: readers go on while one process writes. FULL: an acknowledged event outlives a power cut."""
    cursor = connection.cursor()
    for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
