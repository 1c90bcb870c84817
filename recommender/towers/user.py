"""A history becomes a query: one attention weight per event, and the weighted sum of its products' blocks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recommender.blocks import Double, Rows
from recommender.events import event_weight
from recommender.history import Steps
from recommender.scoring import Query
from recommender.segment import Segment

DAY = 86_400.0
SHORTEST = 1e-3  # a sum shorter than this has cancelled out: its direction is chance


@dataclass(frozen=True)
class UserTower:
    """Recency- and event-weighted combination of a history.

    a_t ∝ weight(event_t) · position_decay^(events since) · 0.5^(time since / half_life_days), scaled so that
    Σ |a_t| = 1. Every block of the query is Σ_t a_t x_t, stretched, and C's term is Σ_t a_t C[x_t, ·], so both
    split exactly by event. The clock is the history's last event: a quiet month changes nothing.

    Parameters
    ----------
    event_weights
        Event name to weight, see `recommender.events.EVENT_WEIGHTS`.
    position_decay
        In (0, 1]; 1 forgets nothing.
    half_life_days
        In days; infinity forgets nothing.
    """

    event_weights: Mapping[str, float]
    position_decay: float = 1.0
    half_life_days: float = 90.0

    def attention(self, steps: Steps) -> Double:
        """Return a_t, shape (t,); zeros if no event says anything."""
        names = zip(steps.names, steps.values, strict=True)
        says = np.array([event_weight(name, value, dict(self.event_weights)) for name, value in names])
        ages = (steps.times[-1] - steps.times) / DAY if len(says) else np.empty(0)
        positions = np.arange(len(says))[::-1]
        raw = says * self.position_decay**positions * 0.5 ** (ages / self.half_life_days)
        total = np.abs(raw).sum()
        return raw / total if total > 0 else np.zeros(len(says))

    def query(self, steps: Steps, segment: Segment) -> Query:
        """Return the query of a history over one segment."""
        return weighted_query(segment, steps.rows, self.attention(steps))

    def to_dict(self) -> dict[str, Any]:
        """Return the exported form, JSON-able; an infinite half-life is None."""
        half_life = self.half_life_days if np.isfinite(self.half_life_days) else None
        return asdict(self) | {"half_life_days": half_life}

    @classmethod
    def from_dict(cls, exported: Mapping[str, Any]) -> "UserTower":
        """Read what `to_dict` wrote."""
        half_life = exported["half_life_days"]
        return cls(exported["event_weights"], exported["position_decay"], half_life or float("inf"))


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
    seeds = segment.vectors[rows].astype(np.float64)
    vector = (seeds * attention[:, None]).sum(axis=0)
    stretch = np.ones(len(segment.layout.dims))
    for block, place in enumerate(segment.layout.slices.values()):
        length = np.linalg.norm(vector[place])
        if length > SHORTEST:
            stretch[block] = np.abs(attention) @ np.linalg.norm(seeds[:, place], axis=1) / length
            vector[place] *= stretch[block]
    together_rows, together = segment.cooccurrence.combine(rows, attention)
    return Query(vector.astype(np.float32), rows, attention, stretch, together_rows, together)


def item_query(segment: Segment, row: int) -> Query:
    """Return the query of one product: its own blocks and its own row of C."""
    together_rows, together = segment.cooccurrence.row(row)
    seed = np.array([row], dtype=np.int32)
    stretch = np.ones(len(segment.layout.dims))
    return Query(segment.vectors[row], seed, np.ones(1), stretch, together_rows, together.astype(np.float64))
