"""Evaluation queries: users with their histories and their held-out interactions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.core.blocks import Mask
from recommender.events import Event
from recommender.ranking.request import Request

if TYPE_CHECKING:
    from recommender.catalog import Interactions
    from recommender.ranking.strategies import ResolvedRequest
    from recommender.recommender import Recommender

# Variants are not collapsed, since users choose variants.
FOR_YOU = Request(strategy="for_you", variants="all", plan="exact", exclude_history=True)


class Histories(Sequence[pd.DataFrame]):
    """The histories of b users: one frame, of which each user has some consecutive lines.

    Parameters
    ----------
    frame
        The events by user, each user's oldest first.
    bounds
        (b + 1,) where each user's lines begin, and the end of the last.
    """

    def __init__(self, frame: pd.DataFrame, bounds: NDArray[np.intp]) -> None:
        self.frame, self.bounds = frame, bounds

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @overload
    def __getitem__(self, position: int) -> pd.DataFrame: ...
    @overload
    def __getitem__(self, position: slice | NDArray[np.intp]) -> "Histories": ...
    def __getitem__(self, position: int | slice | NDArray[np.intp]) -> "pd.DataFrame | Histories":
        """Return the frame of one user, or the histories of some."""
        if isinstance(position, int | np.integer):
            position = range(len(self))[position]
            return self.frame.iloc[self.bounds[position] : self.bounds[position + 1]]
        starts, ends = self.bounds[:-1][position], self.bounds[1:][position]
        bounds = np.r_[0, np.cumsum(ends - starts)]
        lines = np.repeat(starts - bounds[:-1], ends - starts) + np.arange(bounds[-1])
        return Histories(self.frame.take(lines), bounds)

    def flat(self) -> pd.DataFrame:
        """Return all events with a column ``query``, the position of their user."""
        return self.frame.assign(query=np.repeat(np.arange(len(self)), np.diff(self.bounds)))


def flat(histories: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the events of all histories as one frame, with a column ``query``, the position of their history."""
    if isinstance(histories, Histories):
        return histories.flat()
    bounds = np.cumsum([0, *map(len, histories)])
    return Histories(pd.concat(list(histories), ignore_index=True), bounds).flat()


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
        (b, n) items of the history, whatever the event, which are masked in every list; none of them where the
        history is included.
    relevant
        (b, n) items of held-out interactions (positive weight), without those seen.
    include_history
        Whether items of the history may be recommended, and are relevant where they are chosen again.
    attributes
        Those of each user; None where they are not known, or nobody's are.
    now
        The moment of the requests: that of the first event after the split.
    """

    user_ids: NDArray[np.object_]
    histories: Histories
    events: tuple[list[Event], ...]
    seen: csr_array
    relevant: csr_array
    include_history: bool = False
    attributes: Sequence[Mapping[str, Any] | None] | None = None
    now: datetime | None = None
    _resolved: "tuple[Recommender, list[ResolvedRequest]] | None" = field(default=None, init=False, repr=False)

    @classmethod
    def of(
        cls,
        train: "Interactions",
        test: "Interactions",
        n: int,
        limit: int | None = None,
        include_history: bool = False,
    ) -> "Queries":
        """Return a query for every user with an event in `train` and a new item in `test`.

        Parameters
        ----------
        train, test
            Events before and after the split.
        n
            Items.
        limit
            At most so many users, drawn with a fixed seed; by default all.
        include_history
            Whether the items of `test` that are in the user's history count as well.
        """
        past, future = with_weights(train), with_weights(test)
        future = future[future["weight"] > 0]
        user_ids = np.intersect1d(past["user_id"].to_numpy(object), future["user_id"].to_numpy(object))
        seen = _matrix(past[:0] if include_history else past, user_ids, n)
        relevant = _matrix(future, user_ids, n)
        relevant = csr_array(relevant > relevant.multiply(seen))
        drawn = _sample(np.flatnonzero(np.diff(relevant.indptr)), limit)
        histories = _histories(past, user_ids[drawn])
        attributes = None if train.users is None else train.users.attributes_of(user_ids[drawn])
        return cls(
            user_ids[drawn],
            histories,
            _events(histories),
            seen[drawn],
            relevant[drawn],
            include_history,
            attributes,
            test.frame["timestamp"].min().to_pydatetime() if len(test.frame) else None,
        )

    def __len__(self) -> int:
        return len(self.user_ids)

    def __getitem__(self, positions: NDArray[np.intp]) -> "Queries":
        histories, events = self.histories[positions], tuple(self.events[query] for query in positions)
        attributes = None if self.attributes is None else [self.attributes[query] for query in positions]
        seen, relevant = self.seen[positions], self.relevant[positions]
        users = self.user_ids[positions]
        return Queries(users, histories, events, seen, relevant, self.include_history, attributes, self.now)

    def resolved(self, recommender: "Recommender") -> "list[ResolvedRequest]":
        """Return the requests of all histories, resolved by a recommender: once, whatever the weights are."""
        if self._resolved is None or self._resolved[0] is not recommender:
            template = replace(FOR_YOU, exclude_history=not self.include_history, now=self.now)
            users = self.attributes or [None] * len(self)
            pairs = zip(self.events, users, strict=True)
            requests = [template.for_history(history, user) for history, user in pairs]
            object.__setattr__(self, "_resolved", (recommender, recommender.resolve_many(requests)))
        assert self._resolved is not None
        return self._resolved[1]

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


def _histories(past: pd.DataFrame, user_ids: NDArray[np.object_]) -> Histories:
    """Return the events of some users, ascending, in their order."""
    frame = past[past["user_id"].isin(user_ids)].sort_values("user_id", kind="stable", ignore_index=True)
    users = frame["user_id"].to_numpy(object)
    return Histories(frame, np.r_[np.searchsorted(users, user_ids), len(frame)])


def _events(histories: Histories) -> tuple[list[Event], ...]:
    frame = histories.frame
    times = [moment.replace(tzinfo=UTC) for moment in frame["timestamp"].dt.to_pydatetime()]
    columns = (frame[name].tolist() for name in ("item_id", "event_name", "value"))
    events = [
        Event(item, name, time, value=None if value != value else value)
        for time, item, name, value in zip(times, *columns, strict=True)
    ]
    bounds = histories.bounds.tolist()
    return tuple(events[start:end] for start, end in pairwise(bounds))


def _matrix(frame: pd.DataFrame, user_ids: NDArray[np.object_], n: int) -> csr_array:
    frame = frame[frame["user_id"].isin(user_ids)]
    query = np.searchsorted(user_ids, frame["user_id"].to_numpy(object))
    cells = (np.ones(len(frame), np.int32), (query, frame["row"].to_numpy()))
    return csr_array(cells, shape=(len(user_ids), n)) > 0


def _sample(rows: NDArray[np.intp], limit: int | None) -> NDArray[np.intp]:
    if limit is None or len(rows) <= limit:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, limit, replace=False))
