"""Pairs of products that one user chose, and how close together."""

from dataclasses import dataclass

import numpy as np

from recommender.catalog import Interactions
from recommender.core.blocks import Double, Rows

WINDOW = 50  # events of one user that a product is paired with, on either side
DAY = 86_400.0


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs of events of one user: the first row earlier than the second.

    Parameters
    ----------
    first, second
        Rows, shape (p,), never equal.
    gap
        How many moments after the first the second was chosen, shape (p,); 1 for those of one moment too, whose
        order says nothing.
    days
        Time between them, shape (p,).
    weight
        Geometric mean of the two events' weights, shape (p,).
    """

    first: Rows
    second: Rows
    gap: Double
    days: Double
    weight: Double

    def __len__(self) -> int:
        return len(self.first)


def pairs_of(interactions: Interactions, window: int = WINDOW) -> Pairs:
    """Pair each positive event with the user's next `window` positive events."""
    frame = interactions.frame
    weights = np.asarray(interactions.event_weights(), dtype=np.float64)
    kept = weights > 0
    users = frame["user_id"].to_numpy()[kept]
    user = np.cumsum(np.append(True, users[1:] != users[:-1])) if len(users) else np.empty(0, dtype=int)
    rows = frame["row"].to_numpy(dtype=np.int32)[kept]
    times = frame["timestamp"].to_numpy().astype("datetime64[s]").astype(np.float64)[kept]
    weights = weights[kept]
    moment = np.cumsum(np.append(False, times[1:] != times[:-1]))
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    for gap in range(1, min(window, len(rows) - 1) + 1):
        pair = (user[:-gap] == user[gap:]) & (rows[:-gap] != rows[gap:])
        if not pair.any():
            continue
        start = np.flatnonzero(pair)
        end = start + gap
        moments = np.maximum(moment[end] - moment[start], 1).astype(np.float64)
        values = (rows[start], rows[end], moments, (times[end] - times[start]) / DAY)
        for column, value in zip(columns, (*values, np.sqrt(weights[start] * weights[end])), strict=True):
            column.append(value)
    first, second, gaps, days, weight = (np.concatenate(c) if c else np.empty(0) for c in columns)
    return Pairs(first.astype(np.int32), second.astype(np.int32), gaps, days, weight)
