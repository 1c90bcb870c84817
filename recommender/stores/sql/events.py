"""Events of users in a SQL database."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from hashlib import blake2b
from operator import attrgetter, itemgetter
from secrets import token_hex
from typing import Any

import sqlalchemy as sa

from recommender.events import EARLIEST, EVENT_WEIGHTS, PLAYED, Event, check_event, latest_plausible
from recommender.stores.attribution import DRAWN, SUFFIX_LENGTH, Attribution
from recommender.stores.base import AttributionCount, Erasure, EventPosition, Exposure
from recommender.stores.orders import FirstView, OrderLine
from recommender.stores.sql.answers import ANSWERS
from recommender.stores.sql.database import METADATA, Database, Utc, moment_of
from recommender.stores.sql.orders import read_first_views, read_orders
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
    sa.Column("transaction_id", sa.Text),
    sa.Column("currency", sa.Text),
    sa.Column("counted", sa.Boolean),  # in reports and trending; NULL of those from a version without it: yes
)
# Erased users and sessions, by a hash with the store's salt, so that the table has no ids.
_ERASURES = sa.Table(
    "erasures",
    METADATA,
    sa.Column("user_hash", sa.Text, primary_key=True),
    sa.Column("erased_at", Utc, nullable=False),
)
_SALT = sa.Table("erasure_salt", METADATA, sa.Column("salt", sa.Text, nullable=False))
_FIELDS = [field.name for field in fields(Event)]
_EVENT_COLUMNS = [_EVENTS.c[name] for name in _FIELDS]
_OLDEST_FIRST = (_EVENTS.c.timestamp, _EVENTS.c.event_id, _EVENTS.c.item_id)
_NEWEST_FIRST = [column.desc() for column in _OLDEST_FIRST]
# Stores have events from before those of wrong clocks were refused.
_PLAUSIBLE = _EVENTS.c.timestamp.between(EARLIEST, sa.bindparam("latest"))


def _latest(*conditions: sa.ColumnElement[bool]) -> sa.Select[tuple[object, ...]]:
    events = sa.select(*_EVENT_COLUMNS).where(*conditions, _PLAUSIBLE)
    # by time alone, which an index has in order, so that a bot's many events need not be sorted
    return events.order_by(_EVENTS.c.timestamp.desc()).limit(sa.bindparam("limit"))


_OF_USER = _EVENTS.c.user_id == sa.bindparam("user_id")
_OF_SESSION = _EVENTS.c.session_id == sa.bindparam("session_id")
_LATEST_OF_USER, _LATEST_OF_SESSION = _latest(_OF_USER), _latest(_OF_SESSION)
# Each half reads its own index; an event of another user of the session is nobody else's to see.
_LATEST_OF_BOTH = sa.union_all(
    *(
        sa.select(half.subquery(name))
        for name, half in (
            ("of_user", _LATEST_OF_USER),
            ("of_session", _latest(_OF_SESSION, _EVENTS.c.user_id == "")),
        )
    )
)
# Every event of a user. Moments within days of the last year cannot be read in each time zone of a server.
_READABLE = _EVENTS.c.timestamp.between(datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC))
_PAGE = sa.select(*_EVENT_COLUMNS).where(_OF_USER, _READABLE).order_by(*_NEWEST_FIRST).limit(sa.bindparam("limit"))
_BEFORE = sa.tuple_(sa.bindparam("timestamp", type_=Utc), sa.bindparam("event_id"), sa.bindparam("item_id"))
# The first condition says no more than the second, but can be looked up in the index.
_PAGE_BEFORE = _PAGE.where(_EVENTS.c.timestamp <= sa.bindparam("timestamp"), sa.tuple_(*_OLDEST_FIRST) < _BEFORE)
_WHOLE = _EVENTS.c.recommendation_id
_PREFIX = sa.func.substr(_WHOLE, 1, sa.func.length(_WHOLE) - SUFFIX_LENGTH).label("prefix")
# Of one shopper's events with a product that trends, and with all products: a few views, a basket and a purchase
# of ten products have less. Dismissals are bounded alike.
MAX_WEIGHT = 20.0
MAX_TOTAL_WEIGHT = 200.0
_ERASING = 0x6572617365  # id of the advisory lock
_SESSION = b"session"  # what makes the hash of a session differ from that of a user
_first = itemgetter(0)
_key = attrgetter("event_id", "item_id")
_position = attrgetter("timestamp", "event_id", "item_id")
_values = attrgetter(*_FIELDS)  # `asdict` copies each, in fifteen times the time


class SqlEvents:
    """`EventStore` on a SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, events: Sequence[Event], counted: Sequence[bool] | None = None) -> list[bool]:
        """See `EventStore.add`."""
        for event in events:
            check_event(event)
        if not events:
            return []
        flags = [True] * len(events) if counted is None else counted
        # the first of equal keys
        rows = {_key(event): (event, flag) for event, flag in zip(reversed(events), reversed(flags), strict=True)}
        insert = self._database.insert(_EVENTS).on_conflict_do_nothing()
        keys = insert.returning(_EVENTS.c.event_id, _EVENTS.c.item_id)
        # sorted, so that two writers with the same events do not deadlock
        ordered = [row for _, row in sorted(rows.items(), key=_first)]
        values = [dict(zip(_FIELDS, _values(event), strict=True), counted=flag) for event, flag in ordered]
        with self._database.transaction() as connection:
            self._database.lock(connection, _ERASING, shared=True)
            new = {tuple(key) for key in connection.execute(keys, values)}
            # after the insertion, which in SQLite holds the write lock: no erasure can come in between
            new -= _delete_erased(connection, [rows[key][0] for key in new])
        is_new = []
        for key in map(_key, events):
            is_new.append(key in new)
            new.discard(key)  # a repetition in `events` is not new
        return is_new

    def history(self, user_id: str = "", session_id: str = "", limit: int = 200) -> list[Event]:
        """See `EventStore.history`."""
        if not user_id and not session_id:
            return []
        query: sa.Select[Any] | sa.CompoundSelect[Any] = _LATEST_OF_USER if user_id else _LATEST_OF_SESSION
        if user_id and session_id:
            query = _LATEST_OF_BOTH
        values = {"user_id": user_id, "session_id": session_id, "limit": limit, "latest": latest_plausible()}
        rows = self._database.rows(query, values)
        events = [Event(item_id, name, moment_of(moment), *rest) for item_id, name, moment, *rest in rows]
        return sorted(events, key=_position)[-limit:]

    def page(self, user_id: str, limit: int, before: EventPosition | None = None) -> list[Event]:
        """See `EventStore.page`."""
        values = {"user_id": user_id, "limit": limit, **({} if before is None else before._asdict())}
        with self._database.transaction() as connection:
            rows = connection.execute(_PAGE if before is None else _PAGE_BEFORE, values).all()
        return [Event(*row) for row in reversed(rows)]

    def scan(self, batch: int = 10_000) -> Iterator[Event]:
        """See `EventStore.scan`."""
        every = sa.select(*_EVENT_COLUMNS).where(_PLAUSIBLE).order_by(*_OLDEST_FIRST)
        with (
            self._database.transaction() as connection,
            connection.execution_options(yield_per=batch).execute(every, {"latest": latest_plausible()}) as rows,
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
            self._database.lock(connection, _ERASING, shared=True)
            merged = connection.execute(sa.update(_EVENTS).where(of_session).values(user_id=user_id)).rowcount
            answers = (ANSWERS.c.session_id == session_id) & (ANSWERS.c.user_id == "")
            connection.execute(sa.update(ANSWERS).where(answers).values(user_id=user_id))
            # after the update, as in `add`
            erased_at = _erased_at(connection, [_hash(_salt(connection), user_id)])
            for moment in erased_at.values():
                old = (_EVENTS.c.user_id == user_id) & (_EVENTS.c.timestamp <= moment)
                merged -= connection.execute(sa.delete(_EVENTS).where(old)).rowcount
                old = (ANSWERS.c.user_id == user_id) & (ANSWERS.c.timestamp <= moment)
                connection.execute(sa.delete(ANSWERS).where(old))
        return merged

    def erase(self, user_id: str) -> Erasure:
        """See `EventStore.erase`."""
        with self._database.transaction() as connection:
            self._database.lock(connection, _ERASING)
            connection.execute(sa.delete(USERS).where(USERS.c.user_id == user_id))
            connection.execute(sa.delete(ANSWERS).where(ANSWERS.c.user_id == user_id))
            return self._erase(connection, _EVENTS.c.user_id == user_id, _hash(_salt(connection), user_id))

    def erase_session(self, session_id: str) -> Erasure:
        """See `EventStore.erase_session`."""
        with self._database.transaction() as connection:
            self._database.lock(connection, _ERASING)
            connection.execute(sa.delete(ANSWERS).where(ANSWERS.c.session_id == session_id))
            hashed = _hash(_salt(connection), session_id, _SESSION)
            return self._erase(connection, _EVENTS.c.session_id == session_id, hashed)

    def _erase(self, connection: sa.Connection, theirs: sa.ColumnElement[bool], hashed: str) -> Erasure:
        """Delete the events of a user or a session, and reject from now on those that are not later."""
        latest = sa.select(sa.func.max(_EVENTS.c.timestamp)).where(theirs, _PLAUSIBLE)
        last = connection.scalar(latest, {"latest": latest_plausible()})  # a clock may be ahead, or be set back
        known = _erased_at(connection, [hashed]).get(hashed)
        moment = max(time for time in (datetime.now(UTC), last, known) if time is not None)
        deleted = connection.execute(sa.delete(_EVENTS).where(theirs)).rowcount
        insert = self._database.insert(_ERASURES)
        later = {"erased_at": insert.excluded.erased_at}
        values = {"user_hash": hashed, "erased_at": moment}
        connection.execute(insert.on_conflict_do_update(index_elements=["user_hash"], set_=later), values)
        return Erasure(token_hex(8), moment, deleted)

    def expire(self, before: datetime) -> int:
        """See `EventStore.expire`."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(ANSWERS).where(ANSWERS.c.timestamp < before))
            return connection.execute(sa.delete(_EVENTS).where(_EVENTS.c.timestamp < before)).rowcount

    def trending(self, since: datetime, limit: int = 1000) -> list[tuple[str, float]]:
        """See `EventStore.trending`."""
        weight = sa.func.sum(sa.case(EVENT_WEIGHTS, value=_EVENTS.c.event_name, else_=0.0))
        # not LIKE, which is case-insensitive in SQLite
        real = sa.func.substr(_EVENTS.c.user_id, 1, len(PLAYED)) != PLAYED
        anonymous = sa.case((_EVENTS.c.user_id == "", _EVENTS.c.session_id), else_="")
        visitor = (_EVENTS.c.user_id.label("user_id"), anonymous.label("session_id"))
        bounded = sa.case((weight > MAX_WEIGHT, MAX_WEIGHT), (weight < -MAX_WEIGHT, -MAX_WEIGHT), else_=weight)
        each = (
            sa.select(_EVENTS.c.item_id, *visitor, bounded.label("weight"))
            .where(_EVENTS.c.timestamp.between(since, datetime.now(UTC)), _EVENTS.c.counted.isnot(False), real)
            .group_by(_EVENTS.c.item_id, *visitor)
            .subquery()
        )
        everything = sa.func.sum(sa.func.abs(each.c.weight)).over(partition_by=(each.c.user_id, each.c.session_id))
        share = sa.case((everything > MAX_TOTAL_WEIGHT, MAX_TOTAL_WEIGHT / everything), else_=1.0)
        scaled = sa.select(each.c.item_id, (each.c.weight * share).label("weight")).subquery()
        total = sa.func.sum(scaled.c.weight).label("weight")
        heaviest = (
            sa.select(scaled.c.item_id, total)
            .group_by(scaled.c.item_id)
            .order_by(total.desc(), scaled.c.item_id)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return [(row.item_id, float(row.weight)) for row in connection.execute(heaviest) if row.weight > 0]

    def counts(self, start: datetime, end: datetime) -> list[AttributionCount]:
        """See `EventStore.counts`."""
        columns = _PREFIX, _WHOLE, _EVENTS.c.item_id, _EVENTS.c.event_name
        once = sa.select(*columns).where(_during(start, end)).distinct().subquery()
        kind = (once.c.prefix, once.c.event_name)
        counted = sa.select(*kind, sa.func.count()).group_by(*kind)
        with self._database.transaction() as connection:
            rows = [
                (Attribution.parse(prefix), name, items) for prefix, name, items in connection.execute(counted)
            ]
        known = [(key, name, items) for key, name, items in rows if key is not None and key.arm != DRAWN]
        return sorted(AttributionCount(*row) for row in known)

    def exposures(self, start: datetime, end: datetime) -> list[Exposure]:
        """See `EventStore.exposures`."""
        seconds = sa.cast(sa.extract("epoch", sa.func.min(_EVENTS.c.timestamp)), sa.BigInteger)
        shown = _during(start, end) & (_EVENTS.c.event_name == "view_item_list")
        group = _PREFIX, _WHOLE, _EVENTS.c.item_id
        once = sa.select(*group, seconds.label("seconds")).where(shown).group_by(*group).subquery()
        day = (once.c.seconds - once.c.seconds % 86_400).label("day")
        kind = once.c.prefix, once.c.item_id, day
        with self._database.transaction() as connection:
            rows = connection.execute(sa.select(*kind, sa.func.count()).group_by(*kind)).all()
        known = [(Attribution.parse(prefix), *rest) for prefix, *rest in rows]
        return [Exposure(key, *rest) for key, *rest in known if key is not None and key.arm != DRAWN]

    def orders(self, start: datetime, end: datetime, days: int) -> list[OrderLine]:
        """See `EventStore.orders`."""
        with self._database.transaction() as connection:
            return read_orders(connection, _EVENTS, start, end, days)

    def first_views(self, placements: Sequence[str], start: datetime, end: datetime) -> list[FirstView]:
        """See `EventStore.first_views`."""
        with self._database.transaction() as connection:
            return read_first_views(connection, _EVENTS, placements, start, end)

    def signing_key(self) -> bytes:
        """See `EventStore.signing_key`."""
        with self._database.transaction() as connection:
            return blake2b(key=_salt(connection), person=b"attribution").digest()

    def close(self) -> None:
        """See `EventStore.close`."""
        self._database.close()


def _during(start: datetime, end: datetime) -> sa.ColumnElement[bool]:
    """Return the condition of counted events of a period, none of the future, that name an answer."""
    moment = (_EVENTS.c.timestamp >= start) & (_EVENTS.c.timestamp < min(end, datetime.now(UTC)))
    return moment & (sa.func.length(_WHOLE) > SUFFIX_LENGTH) & _EVENTS.c.counted.isnot(False)


def _delete_erased(connection: sa.Connection, events: Sequence[Event]) -> set[tuple[str, str]]:
    """Delete those of `events` that are older than the erasure of their user or session, and return their keys."""
    salt = _salt(connection)
    users = {event.user_id: _hash(salt, event.user_id) for event in events if event.user_id}
    sessions = {event.session_id: _hash(salt, event.session_id, _SESSION) for event in events if event.session_id}
    erased_at = _erased_at(connection, [*users.values(), *sessions.values()])
    if not erased_at:
        return set()
    deleted = set()
    for event in events:
        hashes = users.get(event.user_id, ""), sessions.get(event.session_id, "")
        if any(hashed in erased_at and event.timestamp <= erased_at[hashed] for hashed in hashes):
            same = (_EVENTS.c.event_id == event.event_id) & (_EVENTS.c.item_id == event.item_id)
            connection.execute(sa.delete(_EVENTS).where(same))
            deleted.add(_key(event))
    return deleted


def _erased_at(connection: sa.Connection, hashes: Iterable[str]) -> dict[str, datetime]:
    """Return when those of some users and sessions were erased that were."""
    known = sa.select(_ERASURES).where(_ERASURES.c.user_hash.in_([*hashes]))
    return {row.user_hash: row.erased_at for row in connection.execute(known)}


def _salt(connection: sa.Connection) -> bytes:
    return bytes.fromhex(connection.execute(sa.select(_SALT.c.salt)).scalar_one())


def _hash(salt: bytes, name: str, person: bytes = b"") -> str:
    return blake2b(name.encode("utf-8", "surrogatepass"), key=salt, person=person, digest_size=16).hexdigest()
