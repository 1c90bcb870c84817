"""Evaluation queries: users with their histories and their held-out interactions."""

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.core.blocks import Mask
from recommender.events import Event

if TYPE_CHECKING:
    from recommender.catalog import Interactions


@dataclass(frozen=True)
class Queries:
    """The queries of b users.

    Attributes
    ----------
    user_ids
        (b,) sorted.
    histories
        b frames of the events before the split, oldest first: item_id, event_name, timestamp, value, row, weight.
    events
        The same as b lists of `Event`, the input of `Recommender.recommend`.
    seen
        (b, n) items of the history, whatever the event; masked in every list.
    relevant
        (b, n) items of held-out interactions (positive weight) that are not in the history.
    """

    user_ids: NDArray[np.object_]
    histories: tuple[pd.DataFrame, ...]
    events: tuple[list[Event], ...]
    seen: csr_array
    relevant: csr_array

    @classmethod
    def of(cls, train: "Interactions", test: "Interactions", n: int, limit: int | None = None) -> "Queries":
        """Return a query for every user with an event in `train` and a new item in `test`.

        Parameters
        ----------
        train, test
            Events before and after the split.
        n
            Items.
        limit
            At most so many users, drawn with a fixed seed; by default all.
        """
        past, future = with_weights(train), with_weights(test)
        future = future[future["weight"] > 0]
        user_ids = np.intersect1d(past["user_id"].to_numpy(object), future["user_id"].to_numpy(object))
        seen = _matrix(past, user_ids, n)
        relevant = _matrix(future, user_ids, n)
        relevant = csr_array(relevant > relevant.multiply(seen))
        drawn = _sample(np.flatnonzero(np.diff(relevant.indptr)), limit)
        groups = past[past["user_id"].isin(user_ids[drawn])].groupby("user_id", sort=True)
        histories = tuple(frame for _, frame in groups)
        return cls(user_ids[drawn], histories, tuple(map(_events, histories)), seen[drawn], relevant[drawn])

    def __len__(self) -> int:
        return len(self.user_ids)

    def __getitem__(self, positions: NDArray[np.intp]) -> "Queries":
        histories = tuple(self.histories[query] for query in positions)
        events = tuple(self.events[query] for query in positions)
        return Queries(self.user_ids[positions], histories, events, self.seen[positions], self.relevant[positions])

    def relevant_among(self, candidates: Mask | None) -> csr_array:
        """Return the relevant items among the candidates (n,), or all of them; (b, n)."""
        if candidates is None:
            return self.relevant
        relevant = self.relevant.multiply(candidates[None, :]).tocsr()
        relevant.eliminate_zeros()
        return csr_array(relevant)


def with_weights(events: "Interactions") -> pd.DataFrame:
    """Return the events with a column ``weight``, the event weight."""
    return events.frame.assign(weight=events.event_weights())


def warm_items(events: "Interactions", n: int) -> Mask:
    """Mask the items with an event of positive weight, (n,); the others are cold."""
    frame = with_weights(events)
    mask = np.zeros(n, bool)
    mask[frame.loc[frame["weight"] > 0, "row"]] = True
    return mask


def _events(history: pd.DataFrame) -> list[Event]:
    times = [moment.replace(tzinfo=UTC) for moment in history["timestamp"].dt.to_pydatetime()]
    cells = zip(
        history["item_id"].tolist(), history["event_name"].tolist(), times, history["value"].tolist(), strict=True
    )
    return [Event(item, name, time, value=None if value != value else value) for item, name, time, value in cells]


def _matrix(frame: pd.DataFrame, user_ids: NDArray[np.object_], n: int) -> csr_array:
    frame = frame[frame["user_id"].isin(user_ids)]
    query = np.searchsorted(user_ids, frame["user_id"].to_numpy(object))
    cells = (np.ones(len(frame), np.int32), (query, frame["row"].to_numpy()))
    return csr_array(cells, shape=(len(user_ids), n)) > 0


def _sample(rows: NDArray[np.intp], limit: int | None) -> NDArray[np.intp]:
    if limit is None or len(rows) <= limit:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, limit, replace=False))
