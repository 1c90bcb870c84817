"""Who is asked, what they did before, and what they then chose that was new to them."""

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.events import Event

if TYPE_CHECKING:
    from recommender.catalog import Interactions

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Queries:
    """b customers with a past and a future.

    Attributes
    ----------
    customers
        (b,) user ids, sorted.
    histories
        b frames of the events before, oldest first: item_id, event_name, timestamp, value, row, weight.
    events
        The same as b lists of `Event`, as the product is asked.
    seen
        (b, n) what stands in the history, of whatever kind of event; never recommended.
    relevant
        (b, n) what was chosen afterwards (an event of positive weight) and was not seen before.
    """

    customers: NDArray[np.object_]
    histories: tuple[pd.DataFrame, ...]
    events: tuple[list[Event], ...]
    seen: csr_array
    relevant: csr_array

    @classmethod
    def of(cls, train: "Interactions", test: "Interactions", n: int, limit: int | None = None) -> "Queries":
        """Ask every customer with an event in `train` and something new to find in `test`.

        `limit` keeps that many of them, drawn with a fixed seed, so that a large shop is measured in minutes.
        """
        past, future = weighed(train), weighed(test)
        future = future[future["weight"] > 0]
        customers = np.intersect1d(past["user_id"].to_numpy(object), future["user_id"].to_numpy(object))
        seen = _matrix(past, customers, n)
        relevant = _matrix(future, customers, n)
        relevant = csr_array(relevant > relevant.multiply(seen))
        ask = _sample(np.flatnonzero(np.diff(relevant.indptr)), limit)
        groups = past[past["user_id"].isin(customers[ask])].groupby("user_id", sort=True)
        histories = tuple(frame for _, frame in groups)
        return cls(customers[ask], histories, tuple(map(_events, histories)), seen[ask], relevant[ask])

    def __len__(self) -> int:
        return len(self.customers)

    def __getitem__(self, asked: NDArray[np.intp]) -> "Queries":
        histories = tuple(self.histories[query] for query in asked)
        events = tuple(self.events[query] for query in asked)
        return Queries(self.customers[asked], histories, events, self.seen[asked], self.relevant[asked])

    def relevant_among(self, candidates: Mask | None) -> csr_array:
        """Keep what is right among the candidates (n,), or all of it; (b, n)."""
        if candidates is None:
            return self.relevant
        kept = self.relevant.multiply(candidates[None, :]).tocsr()
        kept.eliminate_zeros()
        return csr_array(kept)


def weighed(events: "Interactions") -> pd.DataFrame:
    """Add a column ``weight``: what each event says about taste."""
    return events.frame.assign(weight=events.event_weights())


def chosen(events: "Interactions", n: int) -> Mask:
    """Which of the n items somebody chose (an event of positive weight): the warm ones, (n,)."""
    frame = weighed(events)
    mask = np.zeros(n, bool)
    mask[frame.loc[frame["weight"] > 0, "row"]] = True
    return mask


def _events(history: pd.DataFrame) -> list[Event]:
    times = [moment.replace(tzinfo=UTC) for moment in history["timestamp"].dt.to_pydatetime()]
    cells = zip(
        history["item_id"].tolist(), history["event_name"].tolist(), times, history["value"].tolist(), strict=True
    )
    return [Event(item, name, time, value=None if value != value else value) for item, name, time, value in cells]


def _matrix(frame: pd.DataFrame, customers: NDArray[np.object_], n: int) -> csr_array:
    frame = frame[frame["user_id"].isin(customers)]
    query = np.searchsorted(customers, frame["user_id"].to_numpy(object))
    cells = (np.ones(len(frame), np.int32), (query, frame["row"].to_numpy()))
    return csr_array(cells, shape=(len(customers), n)) > 0


def _sample(rows: NDArray[np.intp], limit: int | None) -> NDArray[np.intp]:
    if limit is None or len(rows) <= limit:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, limit, replace=False))
