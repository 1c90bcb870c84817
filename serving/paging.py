"""Cursors: opaque positions in lists. A page begins after the last entry before, whatever was added meanwhile."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from recommender.events import Event, id_error
from recommender.ranking.results import Recommendation
from recommender.stores.base import EventPosition
from serving.problems import Problem

MAX_SEEN = 10_000  # products of a search before a cursor
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode(*position: str | int) -> str:
    """Return the cursor of a position."""
    return urlsafe_b64encode(orjson.dumps(position)).decode()


def decode(cursor: str, *kinds: type) -> tuple[str | int, ...]:
    """Return the position of a cursor, whose parts are of these types; raises a `Problem` (422) if it has none."""
    try:
        position = orjson.loads(urlsafe_b64decode(cursor))
    except ValueError:
        position = None
    if not isinstance(position, list) or [type(part) for part in position] != [*kinds]:
        raise _no_cursor()
    if any(isinstance(part, str) and id_error(part) for part in position):
        raise _no_cursor()
    return tuple(position)


def event_cursor(event: Event) -> str:
    """Return the cursor of the events before one."""
    micros = (event.timestamp - _EPOCH) // timedelta(microseconds=1)
    return encode(micros, event.event_id, event.item_id)


def event_position(cursor: str | None) -> EventPosition | None:
    """Return the position of a cursor of events; None without one."""
    if cursor is None:
        return None
    micros, event_id, item_id = decode(cursor, int, str, str)
    try:
        return EventPosition(_EPOCH + timedelta(microseconds=int(micros)), str(event_id), str(item_id))
    except OverflowError:
        raise _no_cursor() from None


class SearchPosition(NamedTuple):
    """A position in the result of a search: the last product before, and how many were before it."""

    score: float
    item_id: str
    seen: int

    def is_before(self, item: Recommendation) -> bool:
        """Return whether a product comes after the position: by score, then by id."""
        return (-self.score, self.item_id) < (-item.score, item.item_id)


def search_cursor(item: Recommendation) -> str:
    """Return the cursor of the products after one."""
    return encode(item.score.hex(), item.item_id, item.rank)


def search_position(cursor: str) -> SearchPosition:
    """Return the position of a cursor of a search."""
    score, item_id, seen = decode(cursor, str, str, int)
    try:
        position = SearchPosition(float.fromhex(str(score)), str(item_id), int(seen))
    except (ValueError, OverflowError):
        raise _no_cursor() from None
    if not 1 <= position.seen <= MAX_SEEN:
        raise _no_cursor()
    return position


def page_of(
    entries: Sequence[Mapping[str, Any]], names: Sequence[str], limit: int, cursor: str | None
) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """Return the page of a list after a cursor, and the cursor of the next page; None at the end.

    Parameters
    ----------
    names
        Of the members that identify an entry: texts, by which the entries are in ascending order.
    """
    key = itemgetter(*names)
    if cursor is not None:
        position = decode(cursor, *[str] * len(names))
        after = position if len(names) > 1 else position[0]
        entries = [entry for entry in entries if key(entry) > after]
    page = entries[:limit]
    return page, encode(*(page[-1][name] for name in names)) if len(entries) > limit else None


def _no_cursor() -> Problem:
    detail = "cursor is not from this list; expected the next_cursor of the page before, or none"
    return Problem(422, "invalid-request", detail, [{"pointer": "/cursor", "detail": detail}])
