"""The attributes of users in a SQL database."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from recommender.stores.sql.database import METADATA, Database

USERS = sa.Table(
    "user_attributes",
    METADATA,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("attributes", sa.JSON, nullable=False),
)
_OF_USER = sa.select(USERS.c.attributes).where(USERS.c.user_id == sa.bindparam("user_id"))


class SqlUsers:
    """`UserStore` on a SQL database; `SqlEvents.erase` deletes from its table, too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, user_id: str, attributes: Mapping[str, Any]) -> None:
        """See `UserStore.put`."""
        insert = self._database.insert(USERS).values(user_id=user_id, attributes=dict(attributes))
        replaced = {"attributes": insert.excluded.attributes}
        with self._database.transaction() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["user_id"], set_=replaced))

    def get(self, user_id: str) -> dict[str, Any] | None:
        """See `UserStore.get`."""
        with self._database.transaction() as connection:
            attributes: dict[str, Any] | None = connection.scalar(_OF_USER, {"user_id": user_id})
        return attributes

    def scan(self, batch: int = 10_000) -> Iterator[tuple[str, dict[str, Any]]]:
        """See `UserStore.scan`."""
        every = sa.select(USERS.c.user_id, USERS.c.attributes).order_by(USERS.c.user_id)
        with (
            self._database.transaction() as connection,
            connection.execution_options(yield_per=batch).execute(every) as rows,
        ):
            for row in rows:
                yield row.user_id, row.attributes

    def close(self) -> None:
        """See `UserStore.close`."""
        self._database.close()
