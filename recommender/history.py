"""A history as users bring it (ids, events, dicts, a frame), and as the user tower reads it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from recommender.blocks import Double, Rows
from recommender.errors import RequestError
from recommender.events import Event

History = Iterable[str] | Iterable[Event] | Iterable[Mapping[str, Any]] | Any


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
    """Read any of the forms of a history; bare ids are views, one second apart, oldest first.

    Parameters
    ----------
    history
        Ids, `Event` objects, mappings or a pandas frame with `item_id` and, as known, `event_name`,
        `timestamp` and `value`.

    Raises
    ------
    RequestError
        If an entry has no item_id or is none of these forms.
    """
    if isinstance(history, str):
        raise RequestError("history is one string; expected a list of ids or events", "/history")
    if hasattr(history, "to_dict") and hasattr(history, "columns"):
        history = history.to_dict("records")
    return [_as_event(entry, place) for place, entry in enumerate(history)]


def _as_event(entry: Any, place: int) -> Event:
    if isinstance(entry, Event):
        return entry
    moment = datetime.fromtimestamp(place, UTC)
    if isinstance(entry, str):
        return Event(entry, "view_item", moment)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("item_id"), str):
        raise RequestError(
            f"history entry {place} is {entry!r}; expected an id, an Event or a mapping with item_id",
            f"/history/{place}",
        )
    value = entry.get("value")
    return Event(
        item_id=entry["item_id"],
        event_name=str(entry.get("event_name") or "view_item"),
        timestamp=_as_time(entry.get("timestamp"), moment),
        value=None if value is None or value != value else float(value),
    )


def _as_time(value: Any, default: datetime) -> datetime:
    if value is None:
        return default
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


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
