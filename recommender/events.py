"""Events: what a user did to a product, how much each kind of event weighs, and the forms of a history."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import numpy as np

from recommender.core.blocks import Double, Rows
from recommender.errors import RequestError
from recommender.items.moments import EARLIEST, as_moment

# GA4's e-commerce names with their default weights; `rate` is weighted by its value (see `event_weight`).
EVENT_WEIGHTS: dict[str, float] = {
    "view_item_list": 0.0,
    "select_item": 1.0,
    "view_item": 1.0,
    "add_to_wishlist": 2.0,
    "add_to_cart": 3.0,
    "remove_from_cart": -1.0,
    "purchase": 5.0,
    "refund": -3.0,
    "rate": 1.0,
    "dismiss": -5.0,
}
# What an event with a negative quantity, price or value is.
RETURNS = {"purchase": "refund", "add_to_cart": "remove_from_cart"}
# What ids of shoppers begin with that the shop's own people play in the storefront: nothing is learned from them.
PLAYED = "storefront:"
# Clocks differ, and a moment without its time zone may be a day off; what is further ahead is wrong.
MAX_CLOCK_SKEW = timedelta(days=1)
# What a store retains of an id. Two ids are a key, of whose bytes PostgreSQL's index admits 2,704.
MAX_ID_LENGTH = 512
MAX_ID_BYTES = 1024
# Of a value, a quantity or a price: sums and products of such numbers are finite.
MAX_AMOUNT = 1e15
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CURRENCY = re.compile("[A-Z]{3}")
_REQUIRED = ("event_id", "item_id", "event_name")
_IDS = (*_REQUIRED, "user_id", "session_id", "recommendation_id")
_AMOUNTS = ("value", "quantity", "price")
_ids, _amounts = attrgetter(*_IDS), attrgetter(*_AMOUNTS)


def latest_plausible() -> datetime:
    """Return the latest moment at which an event can have happened, by the clock of this machine."""
    return datetime.now(UTC) + MAX_CLOCK_SKEW


def is_plausible(moment: datetime) -> bool:
    """Return whether an event can have happened at an aware moment: from 1990 until now."""
    return EARLIEST <= moment <= latest_plausible()


def id_error(text: str) -> str | None:
    """Return why a store cannot retain a text as an id; None if it can."""
    if len(text) > MAX_ID_LENGTH:
        return f"has {len(text)} characters; expected at most {MAX_ID_LENGTH}"
    if text.isascii() and text.isprintable():
        return None
    if _CONTROL.search(text):
        return "has a control character; expected text"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "has half of a surrogate pair, which is no character; expected text"
    return f"has {size} bytes in UTF-8; expected at most {MAX_ID_BYTES}" if size > MAX_ID_BYTES else None


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a user did to one product.

    Parameters
    ----------
    item_id
        The shop's id of the product.
    event_name
        A GA4 e-commerce name, see `EVENT_WEIGHTS`.
    timestamp
        When, timezone-aware, in UTC.
    user_id
        The shop's id of the user; empty in a history that a request brings along.
    value
        A rating in stars for `rate`; otherwise None.
    event_id
        The sender's id; a store that sees it twice keeps the event once.
    session_id, recommendation_id, quantity, price
        Optional context, stored with the event.
    transaction_id
        The shop's id of the order that a purchase or refund belongs to.
    currency
        Of the price: a code of ISO 4217 such as EUR.
    """

    item_id: str
    event_name: str
    timestamp: datetime
    user_id: str = ""
    value: float | None = None
    event_id: str = ""
    session_id: str = ""
    recommendation_id: str = ""
    quantity: float | None = None
    price: float | None = None
    transaction_id: str | None = None
    currency: str | None = None


def check_event(event: Event) -> None:
    """Raise `RequestError` unless a store can retain an event: its ids, its numbers and its moment."""
    ids = _ids(event)
    together = "".join(ids)
    plain = together.isascii() and together.isprintable() and len(together) <= MAX_ID_LENGTH
    if not plain or not all(ids[: len(_REQUIRED)]):  # one look at all of them is enough for almost all events
        _check_ids(event)
    for name, number in zip(_AMOUNTS, _amounts(event), strict=True):
        if number is not None and not abs(number) <= MAX_AMOUNT:  # not so for NaN either
            raise RequestError(f"{name} is {number}; expected a number of at most {MAX_AMOUNT:g}", f"/{name}")
    if event.transaction_id is not None and (error := id_error(event.transaction_id)) is not None:
        raise RequestError(f"transaction_id {error}", "/transaction_id")
    if event.currency is not None and not _CURRENCY.fullmatch(event.currency):
        found = f"currency is {event.currency[:60]!r}"
        raise RequestError(f"{found}; expected a code of ISO 4217 such as EUR", "/currency")
    if event.timestamp.tzinfo is None or not is_plausible(event.timestamp):
        period = f"a moment with a time zone from {EARLIEST.year} until now"
        raise RequestError(f"timestamp is {event.timestamp.isoformat()}; expected {period}", "/timestamp")


def _check_ids(event: Event) -> None:
    for name, text in zip(_IDS, _ids(event), strict=True):
        if (error := id_error(text)) is not None:
            raise RequestError(f"{name} {error}", f"/{name}")
        if not text and name in _REQUIRED:
            raise RequestError(f"{name} is empty; expected an id", f"/{name}")


def as_return(event_name: str, *amounts: float | None) -> str:
    """Return the name of an event, or of its return if any of quantity, price and value is negative.

    >>> as_return("purchase", -1.0, 9.9)
    'refund'
    """
    negative = any(amount is not None and amount < 0 for amount in amounts)
    return RETURNS.get(event_name, event_name) if negative else event_name


def add_lines(lines: Sequence[tuple[float | None, float | None]]) -> tuple[float | None, float | None]:
    """Return the quantity and the price of all lines of one product in an event.

    Quantities add up, where a line without one is one piece and a negative amount takes pieces back; the price is
    the mean of a piece.

    >>> add_lines([(1.0, 10.0), (2.0, 4.0), (-1.0, None)])
    (2.0, 6.0)
    """
    if len(lines) == 1:
        return lines[0]
    pieces = [1.0 if quantity is None else abs(quantity) for quantity, _ in lines]
    returned = [any(amount is not None and amount < 0 for amount in line) for line in lines]
    quantity = sum(-n if back else n for n, back in zip(pieces, returned, strict=True))
    priced = [(n, abs(price)) for n, (_, price) in zip(pieces, lines, strict=True) if price is not None]
    total = sum(n for n, _ in priced)
    if not total:
        return quantity, priced[0][1] if priced else None
    mean = sum(n * price for n, price in priced) / total
    return quantity, min(mean, max(price for _, price in priced))  # whatever is rounded


def event_weight(event_name: str, value: float | None, weights: Mapping[str, float]) -> float:
    """Return how much one event says about its user's taste.

    A rating of 3 stars is neutral, 5 stars weigh twice the name's weight and 1 star minus twice.
    """
    weight = weights.get(event_name, 0.0)
    if event_name == "rate" and value is not None:
        return weight * (value - 3.0)
    return weight


History = Any | Iterable[str] | Iterable[Event] | Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Steps:
    """The events of one user whose products are in the bundle, oldest first.

    Parameters
    ----------
    rows
        Shape (t,).
    names
        Event names, length t.
    times
        POSIX seconds, shape (t,).
    values
        Ratings; NaN where none, shape (t,).
    """

    rows: Rows
    names: Sequence[str]
    times: Double
    values: Double


def as_events(history: History) -> list[Event]:
    """Return any of the forms of a history as events; bare ids are views, one second apart, oldest first.

    Parameters
    ----------
    history
        Ids, `Event` objects, mappings or a pandas frame with `item_id` and, as known, `event_name`,
        `timestamp` (see `recommender.items.moments.as_moment`) and `value`.

    Raises
    ------
    RequestError
        If an entry has no item_id, a timestamp that is no moment, or is none of these forms.
    """
    if isinstance(history, str):
        raise RequestError("history is one string; expected a list of ids or events", "/history")
    if hasattr(history, "to_dict") and hasattr(history, "columns"):
        history = history.to_dict("records")
    return [_as_event(entry, position) for position, entry in enumerate(history)]


def _as_event(entry: Any, position: int) -> Event:
    if isinstance(entry, Event):
        return entry
    moment = datetime.fromtimestamp(position, UTC)
    if isinstance(entry, str):
        return Event(entry, "view_item", moment)
    fields = entry if isinstance(entry, Mapping) else {"item_id": entry}
    item_id = fields.get("item_id")
    if not isinstance(item_id, str):
        raise _no_event(entry, item_id, position)
    return Event(
        item_id=item_id,
        event_name=str(fields.get("event_name") or "view_item"),
        timestamp=_as_time(fields.get("timestamp"), moment, position),
        value=_as_number(fields.get("value"), position),
    )


def _no_event(entry: Any, item_id: Any, position: int) -> RequestError:
    pointer = f"/history/{position}"
    if isinstance(item_id, int | np.integer) and not isinstance(item_id, bool):
        return RequestError(
            f"history entry {position} has item id {item_id!r} of type {type(item_id).__name__}; ids are strings: "
            f"read the column with dtype=str, or pass {str(item_id)!r}",
            pointer,
        )
    return RequestError(
        f"history entry {position} is {entry!r}; expected an id, an Event or a mapping with item_id", pointer
    )


def _as_time(value: Any, default: datetime, position: int) -> datetime:
    try:
        return as_moment(value) or default
    except ValueError as error:
        pointer = f"/history/{position}/timestamp"
        raise RequestError(f"history entry {position}: timestamp {error}", pointer) from None


def _as_number(value: Any, position: int) -> float | None:
    try:
        number = None if value is None or type(value).__name__ == "NAType" else float(value)
    except (TypeError, ValueError):
        raise RequestError(
            f"history entry {position}: value {value!r} is no number; expected such as 4.0",
            f"/history/{position}/value",
        ) from None
    return None if number != number else number


def as_steps(events: Sequence[Event], rows: Sequence[int]) -> Steps:
    """Keep the events whose product is known (row ≥ 0), oldest first.

    Parameters
    ----------
    rows
        The row of each event's product, −1 if it is not in the bundle.
    """
    known = [
        (event.timestamp.timestamp(), event, row) for event, row in zip(events, rows, strict=True) if row >= 0
    ]
    known.sort(key=lambda entry: entry[0])
    return Steps(
        rows=np.array([row for _, _, row in known], dtype=np.int32),
        names=[event.event_name for _, event, _ in known],
        times=np.array([time for time, _, _ in known], dtype=np.float64),
        values=np.array([np.nan if event.value is None else event.value for _, event, _ in known]),
    )
