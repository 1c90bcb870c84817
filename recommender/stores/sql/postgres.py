"""Connections to PostgreSQL that end with the deadline of the current thread, whatever the network does."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from threading import Thread
from time import monotonic
from typing import Any

import psycopg
import sqlalchemy as sa

from recommender.stores.deadlines import remaining

# Of the connection: found dead by the kernel within about 15 s, where nobody waits with a deadline.
NETWORK = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_IDLE_SECONDS = 10  # in a transaction, until the server rolls it back: its client may be gone
_INTERVAL = 0.1


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that closes itself when the deadline has passed: the server may answer too late."""

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for the server as `psycopg.Connection.wait` does, until the deadline."""
        seconds = remaining()
        if seconds is None:
            return super().wait(gen, *args, **options)
        try:
            return super().wait(_until(monotonic() + seconds, gen), interval=min(seconds, _INTERVAL))
        except psycopg.errors.ConnectionTimeout:
            self.close()
            raise


def _until(end: float, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Yield from `gen`, but raise an error instead of waiting after `end`."""
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and monotonic() >= end:
                raise psycopg.errors.ConnectionTimeout("no answer within the time allowed")
            state = gen.send(ready)
    except StopIteration as done:
        return done.value


class Connector:
    """Connects in a thread of its own where there is a deadline, since a lookup of a name has none.

    Parameters
    ----------
    connect
        Returns a new connection.
    """

    def __init__(self, connect: Callable[[], DeadlineConnection]) -> None:
        self._connect = connect
        self._late: deque[Future[DeadlineConnection]] = deque()  # for the next callers: a connection takes as long

    def __call__(self) -> DeadlineConnection:
        """Return a connection, or raise an error if there is none before the deadline."""
        seconds = remaining()
        if seconds is None:
            return self._connect()
        attempt = self._attempt()
        try:
            return attempt.result(seconds)
        except TimeoutError:
            self._late.append(attempt)
            raise psycopg.errors.ConnectionTimeout("no connection within the time allowed") from None

    def _attempt(self) -> "Future[DeadlineConnection]":
        """Return an attempt that nobody waits for any more, unless it failed, or else a new one."""
        try:
            late = self._late.popleft()
        except IndexError:
            return self._start()
        return self._start() if late.done() and late.exception() else late

    def _start(self) -> "Future[DeadlineConnection]":
        attempt: Future[DeadlineConnection] = Future()

        def run() -> None:
            try:
                attempt.set_result(self._connect())
            except BaseException as error:
                attempt.set_exception(error)

        Thread(target=run, name="store-connect", daemon=True).start()
        return attempt

    def close(self) -> None:
        """Close the connections that came late."""
        for attempt in self._late:
            attempt.add_done_callback(_close)


def _close(attempt: "Future[DeadlineConnection]") -> None:
    if attempt.exception() is None:
        attempt.result().close()


def limit_statements(connection: psycopg.Connection[Any], seconds: float) -> None:
    """Let the server end statements, and waits for locks, that take longer: their client has given up."""
    milliseconds = max(round(1000 * seconds), 1)
    connection.autocommit = True
    connection.execute(
        f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds};"
        f" SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'"
    )
    connection.autocommit = False


def copy_csv(connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: bytes) -> None:
    """Append rows in CSV to a table by COPY, in a fraction of the time of INSERT.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        If the database refuses, as from SQLAlchemy's own statements.
    """
    names = connection.dialect.identifier_preparer
    listed = ", ".join(names.quote(column) for column in columns)
    statement = f"COPY {names.format_table(table)} ({listed}) FROM STDIN (FORMAT csv)"
    try:
        with connection.connection.driver_connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[union-attr]
            copy.write(rows)
    except psycopg.Error as error:
        raise sa.exc.DBAPIError.instance(statement, None, error, psycopg.Error) from error
