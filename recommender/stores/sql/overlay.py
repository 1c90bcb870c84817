"""The item overlay in a SQL database."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from recommender.stores.base import AttributeValues, QueuedItem
from recommender.stores.sql.database import METADATA, Database

_OVERLAY = sa.Table(
    "item_overlay",
    METADATA,
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("attributes", sa.JSON(none_as_null=True)),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("queued", sa.BigInteger),  # the revision; negative once a generation has the product
)
_REVISION = sa.Table(
    "overlay_revision",
    METADATA,
    sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)


class SqlOverlay:
    """`ItemOverlay` on a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self) -> int:
        """See `ItemOverlay.revision`."""
        with self._database.transaction() as connection:
            return connection.scalar(sa.select(_REVISION.c.revision)) or 0

    def put(
        self, items: Mapping[str, AttributeValues], *, replace: bool = False, queue: Collection[str] = ()
    ) -> int:
        """See `ItemOverlay.put`."""
        with self._database.transaction() as connection:
            revision = self._raise_revision(connection)  # first, since its lock excludes other writers
            known = {} if replace else _known(connection, items)
            rows: list[dict[str, Any]] = [
                {
                    "item_id": item_id,
                    "attributes": None if values is None else {**(known.get(item_id) or {}), **values},
                    "revision": revision,
                    "queued": revision if item_id in queue else None,
                }
                for item_id, values in items.items()
            ]
            if rows:
                self._upsert(connection, rows)
        return revision

    def _raise_revision(self, connection: sa.Connection) -> int:
        raised = {"revision": _REVISION.c.revision + 1}
        insert = self._database.insert(_REVISION).values(only=1, revision=1)
        upsert = insert.on_conflict_do_update(index_elements=["only"], set_=raised)
        return int(connection.execute(upsert.returning(_REVISION.c.revision)).scalar_one())

    def _upsert(self, connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
        insert = self._database.insert(_OVERLAY)
        new = insert.excluded
        # a queued product stays queued when other attributes change
        merged = {
            "attributes": new.attributes,
            "revision": new.revision,
            "queued": sa.func.coalesce(new.queued, _OVERLAY.c.queued),
        }
        connection.execute(insert.on_conflict_do_update(index_elements=["item_id"], set_=merged), rows)

    def read(self, since: int = 0) -> dict[str, AttributeValues]:
        """See `ItemOverlay.read`."""
        changed = sa.select(_OVERLAY.c.item_id, _OVERLAY.c.attributes).where(_OVERLAY.c.revision > since)
        with self._database.transaction() as connection:
            return {row.item_id: row.attributes for row in connection.execute(changed)}

    def queued(self, limit: int = 10_000) -> list[QueuedItem]:
        """See `ItemOverlay.queued`."""
        waiting = (
            sa.select(_OVERLAY.c.item_id, _OVERLAY.c.attributes, _OVERLAY.c.queued)
            .where(_OVERLAY.c.queued > 0)
            .order_by(_OVERLAY.c.queued, _OVERLAY.c.item_id)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return [QueuedItem(*row) for row in connection.execute(waiting)]

    def mark_embedded(self, products: Iterable[QueuedItem], published: bool = True) -> None:
        """See `ItemOverlay.mark_embedded`."""
        done = [{"id": product.item_id, "at": product.revision} for product in products]
        if not done:
            return
        embedded = -_OVERLAY.c.queued if published else None
        same = (_OVERLAY.c.item_id == sa.bindparam("id")) & (_OVERLAY.c.queued == sa.bindparam("at"))
        with self._database.transaction() as connection:
            connection.execute(sa.update(_OVERLAY).where(same).values(queued=embedded), done)

    def requeue(self, after: int) -> int:
        """See `ItemOverlay.requeue`."""
        again = sa.update(_OVERLAY).where(_OVERLAY.c.queued < -after).values(queued=-_OVERLAY.c.queued)
        with self._database.transaction() as connection:
            return connection.execute(again).rowcount

    def close(self) -> None:
        """See `ItemOverlay.close`."""
        self._database.close()


def _known(connection: sa.Connection, item_ids: Iterable[str]) -> dict[str, AttributeValues]:
    rows = sa.select(_OVERLAY.c.item_id, _OVERLAY.c.attributes).where(_OVERLAY.c.item_id.in_([*item_ids]))
    return {row.item_id: row.attributes for row in connection.execute(rows)}
