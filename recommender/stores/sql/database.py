"""A database connection: transactions, locks, deadlines and errors, on SQLite and PostgreSQL."""

import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from recommender.errors import StoreError, StoreUnavailableError
from recommender.stores.deadlines import remaining

if TYPE_CHECKING:
    from recommender.stores.sql.postgres import Connector

METADATA = sa.MetaData()
# How long SQLite waits for the lock of another writer where there is no deadline.
_BUSY_SECONDS = 5.0


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
    """A SQLAlchemy engine that keeps to deadlines, and whose errors are raised as `StoreError`.

    Parameters
    ----------
    url
        See `open_store`.
    timeout
        See `open_store`.
    """

    def __init__(self, url: str, timeout: float | None = None) -> None:
        self._timeout = timeout
        self._connector: Connector | None = None
        try:
            parsed = sa.make_url(url.replace("postgresql://", "postgresql+psycopg://", 1))
            self.is_sqlite = parsed.get_backend_name() == "sqlite"
            self.engine = sa.create_engine(parsed, pool_pre_ping=not self.is_sqlite)
            if not self.is_sqlite:
                self._connector = self._postgres_connector()
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise StoreError(_unopenable(error)) from error
        self.name = self.engine.url.render_as_string(hide_password=True)
        self.insert: Callable[[sa.Table], sqlite.Insert | postgresql.Insert] = postgresql.insert
        if self.is_sqlite:
            self.insert = sqlite.insert
            sa.event.listen(self.engine, "connect", _configure_sqlite)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Begin a transaction; it is committed at the end, or rolled back on an error or after the deadline.

        Raises
        ------
        StoreUnavailableError
            The database does not answer, or not before the deadline.
        StoreError
            It refuses the data.
        """
        seconds = self._seconds()
        with self._as_store_errors(), self.engine.begin() as connection:
            self._limit(connection, seconds)
            yield connection

    def rows(self, query: sa.Select[Any] | sa.CompoundSelect[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        """Return the rows of a query; their moments are texts in SQLite, see `moment_of`.

        SQLite is asked without SQLAlchemy's connection and result, which take four times as long as the query.
        Raises as `transaction` does.
        """
        if not self.is_sqlite:
            with self.transaction() as connection:
                return connection.execute(query, values).all()
        statement, names, defaults = _compiled(query)
        seconds, given = self._seconds(), {**defaults, **values}
        with self._as_store_errors(), closing(self.engine.raw_connection()) as connection:
            _limit_sqlite(connection, seconds)
            return connection.cursor().execute(statement, [_stored(given[name]) for name in names]).fetchall()

    def _seconds(self) -> float | None:
        """Return how many seconds are left; None if there is no deadline."""
        seconds = remaining()
        if seconds == 0:
            raise StoreUnavailableError(f"no time is left to ask the store {self.name}")
        return seconds

    @contextmanager
    def _as_store_errors(self) -> Iterator[None]:
        """Raise the errors of the database as `StoreError`."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            if isinstance(error, DataError | IntegrityError):
                raise StoreError(f"the store {self.name} refuses: {reason}") from error
            raise StoreUnavailableError(f"the store {self.name} refuses: {reason}") from error

    def _limit(self, connection: sa.Connection, seconds: float | None) -> None:
        """Let the database itself keep to the deadline as far as it can."""
        if self.is_sqlite:
            _limit_sqlite(connection.connection, seconds)
        elif self._timeout is not None and seconds is not None and seconds > self._timeout:
            wait = math.ceil(1000 * seconds)
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {wait}; SET LOCAL lock_timeout = {wait}")

    def _postgres_connector(self) -> "Connector":
        """Let the engine connect by a `Connector`."""
        from recommender.stores.sql.postgres import NETWORK, Connector, DeadlineConnection, limit_statements

        arguments, options = self.engine.dialect.create_connect_args(self.engine.url)

        def connect() -> DeadlineConnection:
            connection = DeadlineConnection.connect(*arguments, **{**NETWORK, **options})
            if self._timeout is not None:
                limit_statements(connection, self._timeout)
            return connection

        connector = Connector(connect)
        sa.event.listen(self.engine, "do_connect", lambda *_: connector())
        return connector

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
        """Close all connections; those in use as soon as they are given back."""
        sa.event.listen(self.engine.pool, "checkin", lambda connection, _: connection and connection.close())
        self.engine.dispose()
        if self._connector is not None:
            self._connector.close()


def _unopenable(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"{error}; PostgreSQL needs the extra: pip install 'hybrid-recommender[postgres]'"
    return f"no usable store URL: {error}; expected one such as sqlite:///events.sqlite"


def moment_of(value: datetime | str) -> datetime:
    """Return a moment of `Database.rows` in UTC."""
    return datetime.fromisoformat(f"{value}+00:00") if isinstance(value, str) else value


@cache
def _compiled(query: sa.Select[Any] | sa.CompoundSelect[Any]) -> tuple[str, Sequence[str], Mapping[str, Any]]:
    """Return a query in SQLite's words, the names of its parameters in order, and the values that it has."""
    compiled = query.compile(dialect=sqlite.dialect())
    return str(compiled), compiled.positiontup or (), compiled.params


def _stored(value: Any) -> Any:
    """Return a value as SQLite stores it."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value


def _limit_sqlite(connection: sa.PoolProxiedConnection, seconds: float | None) -> None:
    """Let SQLite wait for the lock of another writer until the deadline."""
    wait = math.ceil(1000 * (_BUSY_SECONDS if seconds is None else seconds))
    if connection.info.get("busy") != wait:
        connection.cursor().execute(f"PRAGMA busy_timeout = {wait}")
        connection.info["busy"] = wait


def _configure_sqlite(connection: Any, record: object) -> None:
    """Set WAL (readers do not wait for a writer) and FULL (acknowledged events survive a power failure)."""
    cursor = connection.cursor()
    busy = f"busy_timeout = {round(1000 * _BUSY_SECONDS)}"
    for pragma in (busy, "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
