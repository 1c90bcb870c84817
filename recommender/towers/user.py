"""A history becomes a query: one attention weight per event, and the weighted sum of its products' blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import BLOCKS, Double, Rows
from recommender.core.scoring import Query
from recommender.core.segment import Segment
from recommender.events import Steps, event_weight
from recommender.towers.sequence import SequenceTower

DAY = 86_400.0
SHORTEST = 1e-3  # a sum shorter than this has cancelled out: its direction is chance
_ONES = np.ones(len(BLOCKS))
_ONES.setflags(write=False)


@dataclass(frozen=True)
class UserTower:
    """Recency- and event-weighted combination of a history, and a sequence model's word on what comes next.

    a_t ∝ weight(event_t) · position_decay^(moments since) · 0.5^(time since / half_life_days), scaled so that
    Σ |a_t| = 1. Every block of the query is Σ_t a_t x_t, stretched, and C's term is Σ_t a_t C[x_t, ·], so both
    split exactly by event. What was chosen at one moment counts alike, in whatever order. The clock is
    the history's last event: a quiet month changes nothing. Where a sequence model was trained, it makes the
    behaviour block instead.

    Parameters
    ----------
    event_weights
        Event name to weight, see `recommender.events.EVENT_WEIGHTS`.
    position_decay
        In (0, 1]; 1 forgets nothing.
    half_life_days
        In days; infinity forgets nothing.
    sequence
        Reads what the user chose and did not take back.
    """

    event_weights: Mapping[str, float]
    position_decay: float = 0.8
    half_life_days: float = 90.0
    sequence: SequenceTower | None = None

    def attention(self, steps: Steps) -> Double:
        """Return a_t, shape (t,); zeros if no event says anything."""
        says = self._says(steps)
        moments, at = np.unique(steps.times, return_inverse=True)
        ages = (moments[-1:] - moments) / DAY
        forgotten = self.position_decay ** np.arange(len(moments))[::-1] * 0.5 ** (ages / self.half_life_days)
        raw = says * forgotten[at]
        total = np.abs(raw).sum()
        return raw / total if total > 0 else np.zeros(len(says))

    def query(self, steps: Steps, segment: Segment) -> Query:
        """Return the query of a history over one segment."""
        query = weighted_query(segment, steps.rows, self.attention(steps))
        liked = self.liked(steps)
        if self.sequence is None or not len(liked):
            return query
        place, block = segment.layout.slices["behaviour"], segment.layout.index("behaviour")
        names = [steps.names[step] for step in liked]
        vector, stretch = query.vector.copy(), query.stretch.copy()
        vector[place] = self.sequence.query(segment.vectors[steps.rows[liked], place], names, steps.times[liked])
        stretch[block] = np.nan
        return replace(query, vector=vector, stretch=stretch)

    def _says(self, steps: Steps) -> Double:
        names = zip(steps.names, steps.values, strict=True)
        return np.array([event_weight(name, value, self.event_weights) for name, value in names])

    def liked(self, steps: Steps) -> NDArray[np.intp]:
        """Return the steps that speak for their product, of products that the whole history speaks for."""
        says = self._says(steps)
        known, place = np.unique(steps.rows, return_inverse=True)
        sums = np.bincount(place, weights=says, minlength=len(known))
        return np.flatnonzero((says > 0) & (sums[place] > 0)) if len(says) else np.empty(0, dtype=np.intp)

    def to_dict(self) -> dict[str, Any]:
        """Return the exported form without the sequence model, JSON-able; an infinite half-life is None."""
        return {
            "event_weights": dict(self.event_weights),
            "position_decay": self.position_decay,
            "half_life_days": self.half_life_days if np.isfinite(self.half_life_days) else None,
        }

    @classmethod
    def from_dict(cls, exported: Mapping[str, Any], sequence: SequenceTower | None = None) -> "UserTower":
        """Read what `to_dict` wrote."""
        half_life = exported["half_life_days"]
        return cls(exported["event_weights"], exported["position_decay"], half_life or float("inf"), sequence)


def weighted_query(segment: Segment, rows: Rows, attention: Double) -> Query:
    """Combine the blocks and the co-occurrence of seeds by attention.

    The mean of many products is shorter in blocks where they differ more, and would leave the query to the blocks
    that tell least apart. Each block is therefore stretched to the mean length of its seeds' own: 1, or less
    where they were predicted.

    Parameters
    ----------
    rows
        The seeds, shape (t,).
    attention
        a_t, shape (t,).
    """
    layout = segment.layout
    seeds = segment.vectors[rows].astype(np.float64)
    vector = (seeds * attention[:, None]).sum(axis=0)
    length = layout.norms(vector)
    wanted = np.abs(attention) @ layout.norms(seeds)
    stretch = np.divide(wanted, length, out=np.ones(len(length)), where=length > SHORTEST)
    vector *= layout.over(stretch)
    table = segment.cooccurrence
    return Query(vector.astype(np.float32), rows, attention, stretch, *table.combine(rows, attention), table)


def item_query(segment: Segment, row: int) -> Query:
    """Return the query of one product: its own blocks and its own row of C."""
    table = segment.cooccurrence
    together_rows, strengths = table.row(row)
    seed, stretch = np.array([row], dtype=np.int32), _ONES[: len(segment.layout.dims)]
    together = strengths.astype(np.float64)
    return Query(segment.vectors[row], seed, _ONES[:1], stretch, together_rows, together, table)
