"""A database connection: transactions, locks and errors, on SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from recommender.errors import StoreError

METADATA = sa.MetaData()
# A request does not wait longer for PostgreSQL.
_CONNECT_SECONDS = 3


class Utc(sa.TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite stores no time zone, so that it is removed and added there."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return the value to store."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return the stored value in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Database:
    """A SQLAlchemy engine whose errors are raised as `StoreError`.

    Parameters
    ----------
    url
        See `open_store`.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url.replace("postgresql://", "postgresql+psycopg://", 1))
            self.is_sqlite = parsed.get_backend_name() == "sqlite"
            connect = {} if self.is_sqlite else {"connect_timeout": _CONNECT_SECONDS}
            self.engine = sa.create_engine(parsed, pool_pre_ping=not self.is_sqlite, connect_args=connect)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise StoreError(_unopenable(error)) from error
        self.name = self.engine.url.render_as_string(hide_password=True)
        self.insert: Callable[[sa.Table], sqlite.Insert | postgresql.Insert] = postgresql.insert
        if self.is_sqlite:
            self.insert = sqlite.insert
            sa.event.listen(self.engine, "connect", _configure_sqlite)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Begin a transaction; it is committed at the end, or rolled back on an error."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise StoreError(f"the store {self.name} refuses: {reason}") from error

    def lock(self, connection: sa.Connection, number: int, *, shared: bool = False) -> None:
        """Acquire an advisory lock until the end of the transaction.

        SQLite has one writer at a time: there the lock on the file is used.
        """
        if self.is_sqlite:
            if not shared:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        take = sa.func.pg_advisory_xact_lock_shared if shared else sa.func.pg_advisory_xact_lock
        connection.execute(sa.select(take(number)))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _unopenable(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"{error}; PostgreSQL needs the extra: pip install 'hybrid-recommender[postgres]'"
    return f"no usable store URL: {error}; expected one such as sqlite:///events.sqlite"


def _configure_sqlite(connection: Any, record: object) -> None:
    """Set WAL (readers do not wait for a writer) and FULL (acknowledged events survive a power failure)."""
    cursor = connection.cursor()
    for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
