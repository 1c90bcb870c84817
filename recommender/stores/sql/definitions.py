"""The revisions of placements and collections in a SQL database."""

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from recommender.errors import RevisionConflictError
from recommender.stores.base import Definition
from recommender.stores.sql.database import METADATA, Database

_DEFINITIONS = sa.Table(
    "definitions",
    METADATA,
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("value", sa.JSON(none_as_null=True)),  # null once it is removed
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("changed_at", sa.Double, nullable=False),
    sa.Column("restores", sa.BigInteger),
)
_REVISION = sa.Table(
    "definitions_revision",
    METADATA,
    sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)
_LATEST = sa.select(sa.func.max(_DEFINITIONS.c.revision)).group_by(_DEFINITIONS.c.kind, _DEFINITIONS.c.name)


class SqlDefinitions:
    """`DefinitionStore` on a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self) -> int:
        """See `DefinitionStore.revision`."""
        with self._database.transaction() as connection:
            return connection.scalar(sa.select(_REVISION.c.revision)) or 0

    def read(self, since: int = 0) -> list[Definition]:
        """See `DefinitionStore.read`."""
        latest = sa.select(_DEFINITIONS).where(_DEFINITIONS.c.revision.in_(_LATEST))
        latest = latest.where(_DEFINITIONS.c.revision > since).order_by(_DEFINITIONS.c.revision)
        with self._database.transaction() as connection:
            return [Definition(**row._mapping) for row in connection.execute(latest)]

    def revisions(self, kind: str, name: str, limit: int = 100, before: int | None = None) -> list[Definition]:
        """See `DefinitionStore.revisions`."""
        with self._database.transaction() as connection:
            return _revisions(connection, kind, name, limit, before)

    def put(
        self,
        kind: str,
        name: str,
        value: Mapping[str, Any] | None,
        *,
        author: str,
        expected: int | None = None,
        restores: int | None = None,
    ) -> Definition:
        """See `DefinitionStore.put`."""
        with self._database.transaction() as connection:
            revision = self._raise_revision(connection)  # first, since its lock excludes other writers
            current = next(iter(_revisions(connection, kind, name, 1)), None)
            if expected is not None and expected != (0 if current is None else current.revision):
                raise RevisionConflictError(kind, name, expected, 0 if current is None else current.revision)
            stored = None if value is None else dict(value)
            new = Definition(revision, kind, name, stored, author, time.time(), restores)
            connection.execute(sa.insert(_DEFINITIONS).values(**new._asdict()))
        return new

    def _raise_revision(self, connection: sa.Connection) -> int:
        raised = {"revision": _REVISION.c.revision + 1}
        insert = self._database.insert(_REVISION).values(only=1, revision=1)
        upsert = insert.on_conflict_do_update(index_elements=["only"], set_=raised)
        return int(connection.execute(upsert.returning(_REVISION.c.revision)).scalar_one())

    def close(self) -> None:
        """See `DefinitionStore.close`."""
        self._database.close()


def _revisions(
    connection: sa.Connection, kind: str, name: str, limit: int, before: int | None = None
) -> list[Definition]:
    named = sa.select(_DEFINITIONS).where(_DEFINITIONS.c.kind == kind, _DEFINITIONS.c.name == name)
    if before is not None:
        named = named.where(_DEFINITIONS.c.revision < before)
    rows = connection.execute(named.order_by(_DEFINITIONS.c.revision.desc()).limit(limit))
    return [Definition(**row._mapping) for row in rows]
