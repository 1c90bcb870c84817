"""Where the past ends: a date, several dates a month apart, or each customer's last events."""

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
    """What may be learned from, what is to be foretold, and the moment between (None: one a customer)."""

    train: "Interactions"
    test: "Interactions"
    cut: datetime | None = None


def at(events: "Interactions", cut: datetime, days: int | None = None) -> Split:
    """Train on the events before `cut`; test on those from `cut` on, of the following `days` if given."""
    later = events.since(cut)
    return Split(events.before(cut), later if days is None else later.before(cut + timedelta(days=days)), cut)


def rolling(events: "Interactions", anchor: datetime, cuts: int = 6, days: int = 31) -> Iterator[Split]:
    """Split at the last `cuts` dates whose following `days` the events cover, oldest first.

    Dates are whole months from `anchor`. A cut after which nothing happened is left out.
    """
    first, last = events.frame["timestamp"].min(), events.frame["timestamp"].max()
    month = (last.year - anchor.year) * 12 + last.month - anchor.month
    backwards = (pd.Timestamp(anchor) + pd.DateOffset(months=month - back) for back in count())
    dates = [d for d in takewhile(lambda d: d > first, backwards) if d + pd.Timedelta(days=days) <= last]
    for date in reversed(dates[:cuts]):
        split = at(events, date.to_pydatetime(), days)
        if len(split.test.frame):
            yield split


def leave_last_out(events: "Interactions", back: int = 1) -> Split:
    """Test on each customer's event number `back` from the end; train on all before it (S3-Rec's protocol).

    ``back=1`` asks for the test item with all but it as input, ``back=2`` for the validation item. Customers
    with too few events to leave one behind have no test event.
    """
    left = _left(events.frame["user_id"].to_numpy())
    first = np.r_[True, events.frame["user_id"].to_numpy()[1:] != events.frame["user_id"].to_numpy()[:-1]]
    return Split(_where(events, left > back), _where(events, (left == back) & ~first))


def _left(users: NDArray[np.object_]) -> NDArray[np.intp]:
    """Position of each event from its customer's end, 1 = last; events are sorted by customer and time."""
    ends = np.flatnonzero(np.r_[users[1:] != users[:-1], True])
    return np.repeat(ends, np.diff(np.r_[-1, ends])) - np.arange(len(users)) + 1


def _where(events: "Interactions", keep: NDArray[np.bool_]) -> "Interactions":
    return replace(events, frame=events.frame[keep].reset_index(drop=True))
