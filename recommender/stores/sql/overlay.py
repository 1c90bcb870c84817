"""The item overlay in a SQL database."""

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from recommender.stores.base import AttributeValues, OverlayEntry
from recommender.stores.sql.database import METADATA, Database

_OVERLAY = sa.Table(
    "item_overlay",
    METADATA,
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("attributes", sa.JSON(none_as_null=True)),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("queued", sa.BigInteger),  # the revision; negative once a generation has the product
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("times", sa.JSON(none_as_null=True)),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("added", sa.Boolean, nullable=False),
    sa.Column("absorbed", sa.Text),  # name of the generation
)
_REVISION = sa.Table(
    "overlay_revision",
    METADATA,
    sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)
_LIVE = sa.select(_OVERLAY).where(_OVERLAY.c.absorbed.is_(None))
_SAME = _OVERLAY.c.item_id == sa.bindparam("id")


class SqlOverlay:
    """`ItemOverlay` on a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self) -> int:
        """See `ItemOverlay.revision`."""
        with self._database.transaction() as connection:
            return connection.scalar(sa.select(_REVISION.c.revision)) or 0

    def put(
        self,
        items: Mapping[str, AttributeValues],
        *,
        replace: bool = False,
        queue: Collection[str] = (),
        added: Collection[str] = (),
        source: str = "",
        at: float | None = None,
    ) -> int:
        """See `ItemOverlay.put`."""
        at = time.time() if at is None else at
        with self._database.transaction() as connection:
            revision = self._raise_revision(connection)  # first, since its lock excludes other writers
            known = {} if replace else _known(connection, items, added)
            rows: list[dict[str, Any]] = [
                {
                    "item_id": item_id,
                    **_merged(values, known.get(item_id)),
                    "revision": revision,
                    "queued": revision if item_id in queue else None,
                    "updated_at": at,
                    "source": source,
                    "added": item_id in added,
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
        changed = ("attributes", "revision", "updated_at", "times", "source")
        merged = {
            **{name: new[name] for name in changed},
            # a queued product stays queued when other attributes change, and one of the API's stays its own
            "queued": sa.func.coalesce(new.queued, _OVERLAY.c.queued),
            "added": new.added | (_OVERLAY.c.added & _OVERLAY.c.absorbed.is_(None)),
            "absorbed": None,
        }
        connection.execute(insert.on_conflict_do_update(index_elements=["item_id"], set_=merged), rows)

    def read(self, since: int = 0) -> dict[str, OverlayEntry | None]:
        """See `ItemOverlay.read`."""
        changed = sa.select(_OVERLAY).where(_OVERLAY.c.revision > since) if since else _LIVE
        with self._database.transaction() as connection:
            rows = connection.execute(changed)
            return {row.item_id: _entry(row) if row.absorbed is None else None for row in rows}

    def page(self, after: str = "", limit: int = 100) -> list[OverlayEntry]:
        """See `ItemOverlay.page`."""
        page = _LIVE.where(_OVERLAY.c.item_id > after).order_by(_OVERLAY.c.item_id).limit(limit)
        with self._database.transaction() as connection:
            return [_entry(row) for row in connection.execute(page)]

    def queued(self, limit: int = 10_000) -> list[OverlayEntry]:
        """See `ItemOverlay.queued`."""
        waiting = _LIVE.where(_OVERLAY.c.queued > 0)
        waiting = waiting.order_by(_OVERLAY.c.queued, _OVERLAY.c.item_id).limit(limit)
        with self._database.transaction() as connection:
            return [_entry(row) for row in connection.execute(waiting)]

    def mark_embedded(self, entries: Iterable[OverlayEntry], published: bool = True) -> None:
        """See `ItemOverlay.mark_embedded`."""
        done = [{"id": entry.item_id, "at": entry.queued} for entry in entries]
        if not done:
            return
        embedded = -_OVERLAY.c.queued if published else None
        same = _SAME & (_OVERLAY.c.queued == sa.bindparam("at"))
        with self._database.transaction() as connection:
            connection.execute(sa.update(_OVERLAY).where(same).values(queued=embedded), done)

    def requeue(self, after: int) -> int:
        """See `ItemOverlay.requeue`."""
        again = sa.update(_OVERLAY).where(_OVERLAY.c.queued < -after).values(queued=-_OVERLAY.c.queued)
        with self._database.transaction() as connection:
            return connection.execute(again).rowcount

    def absorb(self, entries: Iterable[OverlayEntry], generation: str) -> None:
        """See `ItemOverlay.absorb`."""
        done = [{"id": entry.item_id, "at": entry.revision} for entry in entries]
        if not done:
            return
        same = _SAME & (_OVERLAY.c.revision == sa.bindparam("at"))
        with self._database.transaction() as connection:
            absorbed = {"absorbed": generation, "revision": self._raise_revision(connection)}
            connection.execute(sa.update(_OVERLAY).where(same).values(absorbed), done)

    def restore(self, generation: str) -> int:
        """See `ItemOverlay.restore`."""
        undone = _OVERLAY.c.absorbed > generation
        with self._database.transaction() as connection:
            if connection.scalar(sa.select(_OVERLAY.c.item_id).where(undone).limit(1)) is None:
                return 0
            restored = {"absorbed": None, "revision": self._raise_revision(connection)}
            return connection.execute(sa.update(_OVERLAY).where(undone).values(restored)).rowcount

    def purge(self, oldest: str) -> None:
        """See `ItemOverlay.purge`."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(_OVERLAY).where(_OVERLAY.c.absorbed <= oldest))

    def close(self) -> None:
        """See `ItemOverlay.close`."""
        self._database.close()


def _known(connection: sa.Connection, item_ids: Iterable[str], added: Collection[str]) -> dict[str, OverlayEntry]:
    """Return the entries that changes are merged into; what was absorbed says nothing of a product added again."""
    rows = connection.execute(sa.select(_OVERLAY).where(_OVERLAY.c.item_id.in_([*item_ids])))
    return {row.item_id: _entry(row) for row in rows if row.absorbed is None or row.item_id not in added}


def _merged(values: AttributeValues, known: OverlayEntry | None) -> dict[str, Any]:
    """Return the attributes and times of an entry with a change over those that it has."""
    if values is None or known is None or known.attributes is None:
        return {"attributes": values, "times": None}
    earlier = [name for name in known.attributes if name not in values]
    times = {name: known.times.get(name, known.updated_at) for name in earlier}
    return {"attributes": {**known.attributes, **values}, "times": times or None}


def _entry(row: sa.Row[Any]) -> OverlayEntry:
    times = row.times or {}
    return OverlayEntry(
        row.item_id, row.attributes, row.updated_at, times, row.source, bool(row.added), row.revision, row.queued
    )
