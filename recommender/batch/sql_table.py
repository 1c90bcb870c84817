"""Deliver a batch to a table of a SQL database: staged, then swapped in one transaction."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa

from recommender.batch.answers import chunks
from recommender.batch.folder import Folder
from recommender.errors import RequestError, StoreError
from recommender.progress import progress
from recommender.stores.sql.database import Database

_ROWS = 5_000
_TYPES: dict[pa.DataType, Any] = {pa.string(): sa.Text, pa.int32(): sa.Integer, pa.float64(): sa.Double}


def is_sql(out: str) -> bool:
    """Return whether an output is the URL of a database."""
    return out.partition(":")[0].partition("+")[0] in ("sqlite", "postgresql")


class SqlTable:
    """A table of recommendations, with the columns of the files and a key of seed and rank.

    Readers see the answers of the run before until all new ones are there.

    Parameters
    ----------
    url
        Of the database, see `recommender.stores.open_store`.
    name
        Of the table; created if missing.
    columns
        See `recommender.batch.answers.schema`.

    Raises
    ------
    StoreError
        If the database cannot be opened.
    """

    def __init__(self, url: str, name: str, columns: pa.Schema) -> None:
        if not name.isidentifier():
            raise RequestError(f"the table is {name!r}; expected a name of letters, digits and _", "/table")
        self._database, self._seed = Database(url), columns.names[0]
        self._table, self._staged = (_table(each, columns) for each in (name, f"{name}__staged"))
        self._seeds = sa.Table(f"{name}__seeds", sa.MetaData(), sa.Column("id", sa.Text, primary_key=True))

    def deliver(self, folder: Folder, seeds: Sequence[str] | None) -> None:
        """Replace the answers of some users or products, or of all, by those of partitions.

        Parameters
        ----------
        folder
            The partitions.
        seeds
            Ids whose rows are replaced, and deleted where the partitions have none; None replaces all.

        Raises
        ------
        StoreError
            If the database refuses; the table is as it was.
        """
        try:
            with self._database.transaction() as connection:
                self._table.create(connection, checkfirst=True)
                for each in (self._staged, self._seeds):
                    each.drop(connection, checkfirst=True)
                    each.create(connection)
            for batch in _batches(folder):
                self._stage(self._staged, batch)
            for some in chunks(seeds or (), _ROWS):
                self._stage(self._seeds, pa.record_batch({"id": pa.array(some, pa.string())}))
            with self._database.transaction() as connection:
                self._check(connection)
                self._swap(connection, everything=seeds is None)
        finally:
            self._database.close()

    def _stage(self, table: sa.Table, batch: pa.RecordBatch) -> None:
        with self._database.transaction() as connection:
            if self._database.is_sqlite:
                connection.execute(sa.insert(table), batch.to_pylist())
            else:
                from recommender.stores.sql.postgres import copy_csv

                copy_csv(connection, table, batch.schema.names, _csv(batch))

    def _check(self, connection: sa.Connection) -> None:
        there = {column["name"] for column in sa.inspect(connection).get_columns(self._table.name)}
        names = [column.name for column in self._table.columns]
        if missing := [name for name in names if name not in there]:
            expected = f"expected {', '.join(names)}: name another table, or drop it"
            raise StoreError(f"the table {self._table.name} has no column {missing[0]!r}; {expected}")

    def _swap(self, connection: sa.Connection, everything: bool) -> None:
        """Replace rows, in the caller's transaction."""
        old = sa.delete(self._table)
        if not everything:
            old = old.where(self._table.c[self._seed].in_(sa.select(self._seeds.c.id)))
        connection.execute(old)
        names = [column.name for column in self._table.columns]
        connection.execute(sa.insert(self._table).from_select(names, sa.select(self._staged)))
        for each in (self._staged, self._seeds):
            each.drop(connection)


def _table(name: str, columns: pa.Schema) -> sa.Table:
    key = (columns.names[0], "rank")
    parts = [sa.Column(each.name, _TYPES[each.type], primary_key=each.name in key) for each in columns]
    return sa.Table(name, sa.MetaData(), *parts)


def _csv(batch: pa.RecordBatch) -> bytes:
    """Return rows as CSV in which, as PostgreSQL reads it, an empty text is in quotes and a null is nothing."""
    rows = BytesIO()
    pa.csv.write_csv(batch, rows, pa.csv.WriteOptions(include_header=False))
    return rows.getvalue()


def _batches(folder: Folder) -> Iterator[pa.RecordBatch]:
    names = folder.names()
    for name in progress(names, "rows to the database", len(names), "partition"):
        for batch in folder.read(name):
            for start in range(0, len(batch), _ROWS):
                yield batch.slice(start, _ROWS)
