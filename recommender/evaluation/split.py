"""Split events into training and test: at a date, at rolling dates, or leave-last-out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count, takewhile
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recommender.catalog import Interactions


@dataclass(frozen=True)
class Split:
    """Training and test events.

    Attributes
    ----------
    train, test
        Events before and after the split.
    date
        Of the split; None where it differs by user.
    """

    train: "Interactions"
    test: "Interactions"
    date: datetime | None = None


def at(events: "Interactions", date: datetime, days: int | None = None) -> Split:
    """Split at a date: train on the events before it, test on those since, of the following `days` if given."""
    later = events.since(date)
    return Split(events.before(date), later if days is None else later.before(date + timedelta(days=days)), date)


def rolling(events: "Interactions", anchor: datetime, splits: int = 6, days: int = 31) -> Iterator[Split]:
    """Yield the splits at the last `splits` dates whose following `days` the events cover, oldest first.

    Dates are whole months from `anchor`. A split without test events is left out.
    """
    first, last = events.frame["timestamp"].min(), events.frame["timestamp"].max()
    month = (last.year - anchor.year) * 12 + last.month - anchor.month
    backwards = (pd.Timestamp(anchor) + pd.DateOffset(months=month - back) for back in count())
    dates = [d for d in takewhile(lambda d: d > first, backwards) if d + pd.Timedelta(days=days) <= last]
    for date in reversed(dates[:splits]):
        split = at(events, date.to_pydatetime(), days)
        if len(split.test.frame):
            yield split


def leave_last_out(events: "Interactions", back: int = 1) -> Split:
    """Split by user: test on event number `back` from the end, train on all before it (S3-Rec's protocol).

    ``back=1`` gives the test item, ``back=2`` the validation item. Users with a single event have no test event.
    """
    position = _position_from_end(events.frame["user_id"].to_numpy())
    first = np.r_[True, events.frame["user_id"].to_numpy()[1:] != events.frame["user_id"].to_numpy()[:-1]]
    return Split(_where(events, position > back), _where(events, (position == back) & ~first))


def _position_from_end(users: NDArray[np.object_]) -> NDArray[np.intp]:
    """Return the position of each event from its user's end, 1 = last; events are sorted by user and time."""
    ends = np.flatnonzero(np.r_[users[1:] != users[:-1], True])
    return np.repeat(ends, np.diff(np.r_[-1, ends])) - np.arange(len(users)) + 1


def _where(events: "Interactions", mask: NDArray[np.bool_]) -> "Interactions":
    return replace(events, frame=events.frame[mask].reset_index(drop=True))
