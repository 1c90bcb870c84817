"""Events of users in a SQL database."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from hashlib import blake2b
from operator import attrgetter
from secrets import token_hex

import sqlalchemy as sa

from recommender.events import EARLIEST, EVENT_WEIGHTS, PLAYED, Event, latest_plausible
from recommender.stores.attribution import SUFFIX_LENGTH, Attribution
from recommender.stores.base import AttributionCount, Erasure
from recommender.stores.sql.database import METADATA, Database, Utc
from recommender.stores.sql.users import USERS

_EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("event_name", sa.Text, nullable=False),
    sa.Column("timestamp", Utc, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("recommendation_id", sa.Text, nullable=False),
    sa.Column("value", sa.Double),
    sa.Column("quantity", sa.Double),
    sa.Column("price", sa.Double),
)
# Erased users, by a hash with the store's salt, so that the table has no user ids.
_ERASURES = sa.Table(
    "erasures",
    METADATA,
    sa.Column("user_hash", sa.Text, primary_key=True),
    sa.Column("erased_at", Utc, nullable=False),
)
_SALT = sa.Table("erasure_salt", METADATA, sa.Column("salt", sa.Text, nullable=False))
_EVENT_COLUMNS = [_EVENTS.c[field.name] for field in fields(Event)]
_OLDEST_FIRST = (_EVENTS.c.timestamp, _EVENTS.c.event_id, _EVENTS.c.item_id)
_LATEST = (
    sa.select(*_EVENT_COLUMNS)
    .where(_EVENTS.c.user_id == sa.bindparam("user_id"))
    # stores have events from before those of wrong clocks were refused
    .where(_EVENTS.c.timestamp.between(EARLIEST, sa.bindparam("latest")))
    .order_by(*(column.desc() for column in _OLDEST_FIRST))
    .limit(sa.bindparam("limit"))
)
# Of one shopper's events with a product that trends; a few views, a basket and a purchase have less.
MAX_WEIGHT = 20.0
_ERASING = 0x6572617365  # id of the advisory lock
_key = attrgetter("event_id", "item_id")


class SqlEvents:
    """`EventStore` on a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, events: Sequence[Event]) -> list[bool]:
        """See `EventStore.add`."""
        rows = {_key(event): asdict(event) for event in reversed(events)}
        if not rows:
            return []
        insert = self._database.insert(_EVENTS).on_conflict_do_nothing()
        keys = insert.returning(_EVENTS.c.event_id, _EVENTS.c.item_id)
        with self._database.transaction() as connection:
            self._database.lock(connection, _ERASING, shared=True)
            # sorted, so that two writers with the same events do not deadlock
            new = {tuple(key) for key in connection.execute(keys, [rows[key] for key in sorted(rows)])}
            # after the insertion, which in SQLite holds the write lock: no erasure can come in between
            new -= self._delete_erased(connection, events)
        is_new = []
        for key in map(_key, events):
            is_new.append(key in new)
            new.discard(key)  # a repetition in `events` is not new
        return is_new

    def history(self, user_id: str, limit: int = 200) -> list[Event]:
        """See `EventStore.history`."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                _LATEST, {"user_id": user_id, "limit": limit, "latest": latest_plausible()}
            ).all()
            return [Event(*row) for row in reversed(rows)]

    def scan(self, batch: int = 10_000) -> Iterator[Event]:
        """See `EventStore.scan`."""
        every = sa.select(*_EVENT_COLUMNS).order_by(*_OLDEST_FIRST)
        with (
            self._database.transaction() as connection,
            connection.execution_options(yield_per=batch).execute(every) as rows,
        ):
            for row in rows:
                yield Event(*row)

    def activity(self) -> Iterator[tuple[str, int, datetime]]:
        """See `EventStore.activity`."""
        user, latest = _EVENTS.c.user_id, sa.func.max(_EVENTS.c.timestamp)
        users = sa.select(user, sa.func.count(), latest).where(user != "").group_by(user)
        with self._database.transaction() as connection:
            for row in connection.execute(users):
                yield row[0], row[1], row[2]

    def merge(self, session_id: str, user_id: str) -> int:
        """See `EventStore.merge`."""
        of_session = (_EVENTS.c.session_id == session_id) & (_EVENTS.c.user_id == "")
        with self._database.transaction() as connection:
            return connection.execute(sa.update(_EVENTS).where(of_session).values(user_id=user_id)).rowcount

    def erase(self, user_id: str) -> Erasure:
        """See `EventStore.erase`."""
        with self._database.transaction() as connection:
            self._database.lock(connection, _ERASING)
            hashed = _hash(_salt(connection), user_id)
            moment = self._time_of_erasure(connection, user_id, hashed)
            deleted = connection.execute(sa.delete(_EVENTS).where(_EVENTS.c.user_id == user_id)).rowcount
            connection.execute(sa.delete(USERS).where(USERS.c.user_id == user_id))
            insert = self._database.insert(_ERASURES)
            merged = {"erased_at": insert.excluded.erased_at}
            known = {"user_hash": hashed, "erased_at": moment}
            connection.execute(insert.on_conflict_do_update(index_elements=["user_hash"], set_=merged), known)
        return Erasure(token_hex(8), moment, deleted)

    def expire(self, before: datetime) -> int:
        """See `EventStore.expire`."""
        with self._database.transaction() as connection:
            return connection.execute(sa.delete(_EVENTS).where(_EVENTS.c.timestamp < before)).rowcount

    def trending(self, since: datetime, limit: int = 1000) -> list[tuple[str, float]]:
        """See `EventStore.trending`."""
        weight = sa.func.sum(sa.case(EVENT_WEIGHTS, value=_EVENTS.c.event_name, else_=0.0))
        # not LIKE, which is case-insensitive in SQLite
        real = sa.func.substr(_EVENTS.c.user_id, 1, len(PLAYED)) != PLAYED
        anonymous = sa.case((_EVENTS.c.user_id == "", _EVENTS.c.session_id), else_="")
        each = (
            sa.select(_EVENTS.c.item_id, sa.case((weight > MAX_WEIGHT, MAX_WEIGHT), else_=weight).label("weight"))
            .where(_EVENTS.c.timestamp.between(since, latest_plausible()), real)
            .group_by(_EVENTS.c.item_id, _EVENTS.c.user_id, anonymous)
            .subquery()
        )
        total = sa.func.sum(each.c.weight).label("weight")
        heaviest = (
            sa.select(each.c.item_id, total)
            .group_by(each.c.item_id)
            .order_by(total.desc(), each.c.item_id)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return [(row.item_id, float(row.weight)) for row in connection.execute(heaviest) if row.weight > 0]

    def counts(self, start: datetime, end: datetime) -> list[AttributionCount]:
        """See `EventStore.counts`."""
        whole = _EVENTS.c.recommendation_id
        prefix = sa.func.substr(whole, 1, sa.func.length(whole) - SUFFIX_LENGTH).label("prefix")
        during = (
            (_EVENTS.c.timestamp >= start) & (_EVENTS.c.timestamp < end) & (sa.func.length(whole) > SUFFIX_LENGTH)
        )
        once = (
            sa.select(prefix, whole, _EVENTS.c.item_id, _EVENTS.c.event_name).where(during).distinct().subquery()
        )
        kind = (once.c.prefix, once.c.event_name)
        counted = sa.select(*kind, sa.func.count()).group_by(*kind)
        with self._database.transaction() as connection:
            rows = [
                (Attribution.parse(prefix), name, items) for prefix, name, items in connection.execute(counted)
            ]
        return sorted(AttributionCount(key, name, items) for key, name, items in rows if key is not None)

    def close(self) -> None:
        """See `EventStore.close`."""
        self._database.close()

    @staticmethod
    def _time_of_erasure(connection: sa.Connection, user_id: str, hashed: str) -> datetime:
        """Return now, or the user's last event or erasure if later, so that erased events stay rejected."""
        now = datetime.now(UTC)
        latest = sa.select(sa.func.max(_EVENTS.c.timestamp)).where(_EVENTS.c.user_id == user_id)
        before = sa.select(_ERASURES.c.erased_at).where(_ERASURES.c.user_hash == hashed)
        times = [connection.execute(query).scalar() for query in (latest, before)]
        return max([now, *(min(time, latest_plausible()) for time in times if time is not None)])

    @staticmethod
    def _delete_erased(connection: sa.Connection, events: Sequence[Event]) -> set[tuple[str, str]]:
        """Delete those of `events` that are older than their user's erasure, and return their keys."""
        salt = _salt(connection)
        hashes = {_hash(salt, event.user_id): event.user_id for event in events if event.user_id}
        known = sa.select(_ERASURES).where(_ERASURES.c.user_hash.in_([*hashes]))
        erased = {hashes[row.user_hash]: row.erased_at for row in connection.execute(known)}
        deleted = {_key(e) for e in events if e.user_id in erased and e.timestamp <= erased[e.user_id]}
        for event_id, item_id in deleted:
            same = (_EVENTS.c.event_id == event_id) & (_EVENTS.c.item_id == item_id)
            connection.execute(sa.delete(_EVENTS).where(same))
        return deleted


def _salt(connection: sa.Connection) -> bytes:
    return bytes.fromhex(connection.execute(sa.select(_SALT.c.salt)).scalar_one())


def _hash(salt: bytes, user_id: str) -> str:
    return blake2b(user_id.encode("utf-8", "surrogatepass"), key=salt, digest_size=16).hexdigest()
