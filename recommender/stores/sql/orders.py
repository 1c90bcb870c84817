"""Orders in a SQL database: purchases once each, refunds, and the recommendations seen before."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from recommender.events import EARLIEST, PLAYED
from recommender.stores.attribution import DRAWN, SUFFIX_LENGTH, Attribution
from recommender.stores.orders import CLICKS, VIEW, FirstView, OrderLine, Purchase, Refund, Touch, order_lines

_NAME = ("event_id", "item_id")


def read_orders(
    connection: sa.Connection, events: sa.Table, start: datetime, end: datetime, days: int
) -> list[OrderLine]:
    """Return the lines of the orders of [start, end), oldest first, with clicks and views of the `days` before.

    A product of a transaction is bought once, by the earliest event. A refund without a transaction id is of the
    latest order of the product before it, by the same user or session.
    """
    now = datetime.now(UTC)
    start = max(start, EARLIEST)
    period = start, min(end, now)
    purchases = _purchases(events, *period)
    columns = [purchases.c[name] for name in Purchase._fields]
    rows = connection.execute(
        sa.select(*columns).order_by(purchases.c.timestamp, *(purchases.c[n] for n in _NAME))
    )
    bought = [Purchase(*row) for row in rows]
    refunds = [*_refunds(connection, events, start, now), *_unnamed_refunds(connection, events, start, now)]
    found = connection.execute(_touches(events, *period, days)).all() if days else []
    clicks = {
        (row.event_id, row.item_id): Touch(row.recommendation_id, row.moment) for row in found if row.is_click
    }
    views = {
        (row.event_id, row.item_id): Touch(row.recommendation_id, row.moment) for row in found if not row.is_click
    }
    return [*order_lines(bought, refunds, clicks, views)]


def read_first_views(
    connection: sa.Connection, events: sa.Table, placements: Sequence[str], start: datetime, end: datetime
) -> list[FirstView]:
    """Return when each session and user first saw recommendations of placements in [start, end)."""
    whole, seen = events.c.recommendation_id, events.c.event_name == VIEW
    prefix = sa.func.substr(whole, 1, sa.func.length(whole) - SUFFIX_LENGTH).label("prefix")
    during = (events.c.timestamp >= max(start, EARLIEST)) & (events.c.timestamp < min(end, datetime.now(UTC)))
    named = sa.or_(sa.false(), *(whole.contains(f"~{name}~", autoescape=True) for name in placements))
    shopper = (events.c.session_id, events.c.user_id, prefix)
    first = sa.select(*shopper, sa.func.min(events.c.timestamp)).where(seen, during, _counts(events), named)
    rows = connection.execute(first.where(sa.func.length(whole) > SUFFIX_LENGTH).group_by(*shopper))
    found = [(*who, Attribution.parse(prefix), moment) for *who, prefix, moment in rows]
    of_placements = [FirstView(*row) for row in found if row[2] is not None and row[2].placement in placements]
    return sorted(each for each in of_placements if each.attribution.arm != DRAWN)


def _counts(events: Any) -> sa.ColumnElement[bool]:
    """Return the condition of events that count, of real shoppers."""
    # not LIKE, which is case-insensitive in SQLite
    return events.c.counted.isnot(False) & (sa.func.substr(events.c.user_id, 1, len(PLAYED)) != PLAYED)


def _purchases(events: sa.Table, start: datetime, end: datetime) -> sa.CTE:
    """Return the purchases of [start, end): of a product of one transaction the earliest that there is."""
    earlier = events.alias("earlier")
    before = sa.tuple_(earlier.c.timestamp, earlier.c.event_id) < sa.tuple_(events.c.timestamp, events.c.event_id)
    same = (earlier.c.transaction_id == events.c.transaction_id) & (earlier.c.item_id == events.c.item_id)
    known = sa.exists().where(same, before, earlier.c.event_name == "purchase", _counts(earlier))
    during = (events.c.timestamp >= start) & (events.c.timestamp < end)
    new = events.c.transaction_id.is_(None) | ~known
    return (
        sa.select(events).where(events.c.event_name == "purchase", during, _counts(events), new).cte("purchases")
    )


def _refunds(connection: sa.Connection, events: sa.Table, start: datetime, now: datetime) -> Iterable[Refund]:
    """Return the refunds since `start` that name their transaction."""
    columns = (events.c.transaction_id, events.c.item_id, events.c.quantity, events.c.price)
    since = (events.c.timestamp >= start) & (events.c.timestamp < now)
    named = sa.select(*columns).where(events.c.event_name == "refund", since, _counts(events))
    rows = connection.execute(named.where(events.c.transaction_id.is_not(None)).order_by(events.c.timestamp))
    return [Refund(*row) for row in rows]


def _unnamed_refunds(
    connection: sa.Connection, events: sa.Table, start: datetime, now: datetime
) -> Iterable[Refund]:
    """Return the refunds since `start` without a transaction id, with the order that each is of."""
    since = (events.c.timestamp >= start) & (events.c.timestamp < now)
    unnamed = (events.c.event_name == "refund") & since & _counts(events) & events.c.transaction_id.is_(None)
    refunds, order = sa.select(events).where(unnamed).cte("refunds"), events.alias("purchase")
    order_id = sa.func.coalesce(order.c.transaction_id, order.c.event_id).label("order_id")
    is_order = (order.c.event_name == "purchase") & _counts(order)
    columns = [refunds.c[name] for name in (*_NAME, "quantity", "price")]
    columns += [order_id, order.c.timestamp.label("moment"), order.c.event_id.label("other")]
    found = _of_same_shopper(refunds, order, columns, is_order)
    latest = _latest(found)
    rows = connection.execute(sa.select(latest).where(latest.c.place == 1))
    return [Refund(row.order_id, row.item_id, row.quantity, row.price) for row in rows]


def _touches(events: sa.Table, start: datetime, end: datetime, days: int) -> sa.Select[Any]:
    """Return the latest click and the latest view of the products of orders, at or before their purchase."""
    purchases, touch = _purchases(events, start, end), events.alias("touch")
    whole = touch.c.recommendation_id
    # four parts and the suffix: an id of ours, whose arm was not drawn for one request
    parts = sa.func.length(whole) - sa.func.length(sa.func.replace(whole, "~", ""))
    arm = sa.func.substr(whole, sa.func.length(whole) - SUFFIX_LENGTH - len(DRAWN), len(DRAWN) + 1)
    ours = (sa.func.length(whole) > SUFFIX_LENGTH) & (parts == 4) & (arm != f"~{DRAWN}")
    is_touch = touch.c.event_name.in_([*CLICKS, VIEW]) & ours & touch.c.counted.isnot(False)
    is_touch &= touch.c.timestamp >= start - timedelta(days=days)
    is_click = sa.case((touch.c.event_name == VIEW, 0), else_=1).label("is_click")
    columns = [purchases.c.event_id, purchases.c.item_id, is_click, whole]
    columns += [touch.c.timestamp.label("moment"), touch.c.event_id.label("other")]
    latest = _latest(_of_same_shopper(purchases, touch, columns, is_touch), "is_click")
    return sa.select(latest).where(latest.c.place == 1)


def _of_same_shopper(
    later: sa.CTE, earlier: Any, columns: Sequence[sa.ColumnElement[Any]], condition: sa.ColumnElement[bool]
) -> sa.Subquery:
    """Return earlier events beside the later ones of the same product and user, or session without another user.

    Each half reads its own index.
    """
    same = (earlier.c.item_id == later.c.item_id) & (earlier.c.timestamp <= later.c.timestamp) & condition
    by_user = (later.c.user_id != "") & (earlier.c.user_id == later.c.user_id)
    nobody_else = (earlier.c.user_id == "") | (later.c.user_id == "")
    by_session = (later.c.session_id != "") & (earlier.c.session_id == later.c.session_id) & nobody_else
    halves = [sa.select(*columns).select_from(later.join(earlier, same & half)) for half in (by_user, by_session)]
    return sa.union_all(*halves).subquery()


def _latest(found: sa.Subquery, *kind: str) -> sa.Subquery:
    """Return the rows with their place from the latest one, by event, product and kind."""
    key = [found.c[name] for name in (*_NAME, *kind)]
    order = (found.c.moment.desc(), found.c.other.desc())
    return sa.select(found, sa.func.row_number().over(partition_by=key, order_by=order).label("place")).subquery()
