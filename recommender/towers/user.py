"""The user tower: from a history to a query, the attention-weighted sum of its products' blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Double, Rows
from recommender.core.scoring import Query
from recommender.core.segment import Segment
from recommender.events import Steps, event_weight
from recommender.towers.profile import ProfileTower
from recommender.towers.repeat import RepeatModel
from recommender.towers.sequence import SequenceTower

DAY = 86_400.0
MIN_NORM = 1e-3  # a shorter sum has cancelled out: its direction is arbitrary


@dataclass(frozen=True)
class UserTower:
    """Combines a history by recency and event weights; a sequence model makes the behaviour block if there is one.

    a_t ∝ weight(event_t) · position_decay^(moments since) · 0.5^(time since / half_life_days), scaled so that
    Σ |a_t| = 1. Every block of the query is Σ_t a_t x_t, stretched, and C's term is Σ_t a_t C[x_t, ·], so both
    split exactly by event. Events of the same time have the same decay. Time is relative to the history's last
    event: without new events, a query does not change.

    Parameters
    ----------
    event_weights
        Event name to weight, see `recommender.events.EVENT_WEIGHTS`.
    position_decay
        Decay per distinct time, in (0, 1]; 1 for none.
    half_life_days
        Half-life in days; infinity for no decay.
    sequence
        Encodes the positive events of a history.
    repeat
        Estimates what is bought again; None where nothing is.
    profile
        Encodes the user's attributes and the context; None where nothing was learned from them.
    """

    event_weights: Mapping[str, float]
    position_decay: float = 0.8
    half_life_days: float = 90.0
    sequence: SequenceTower | None = None
    repeat: RepeatModel | None = None
    profile: ProfileTower | None = None

    def attention(self, steps: Steps) -> Double:
        """Return a_t, shape (t,); zeros if all weights are zero."""
        raw = self.weights(steps) * self.decay(*recency(steps))
        total = np.abs(raw).sum()
        return raw / total if total > 0 else np.zeros(len(raw))

    def decay(self, positions: NDArray[np.intp], ages: Double) -> Double:
        """Return the factor of each step by its recency, see `recency`, shape (t,)."""
        decay: Double = self.position_decay**positions * 0.5 ** (ages / self.half_life_days)
        return decay

    def query(self, steps: Steps, segment: Segment, now: float | None = None) -> Query:
        """Return the query of a history over one segment.

        Parameters
        ----------
        now
            POSIX seconds of the request, see `RepeatModel.repeats`.
        """
        query = weighted_query(segment, steps.rows, self.attention(steps))
        if self.repeat is not None:
            query = replace(query, repeats=self.repeat.repeats(steps, now))
        positive = self.positive(steps)
        if self.sequence is None or not len(positive):
            return query
        dims, block = segment.layout.slices["behaviour"], segment.layout.index("behaviour")
        names = [steps.names[step] for step in positive]
        vector, block_scales = query.vector.copy(), query.block_scales.copy()
        inputs = segment.vectors[steps.rows[positive], dims]
        vector[dims] = self.sequence.query(inputs, names, steps.times[positive])
        block_scales[block] = np.nan
        return replace(query, vector=vector, block_scales=block_scales)

    def weights(self, steps: Steps) -> Double:
        """Return the event weight of each step, shape (t,)."""
        names = zip(steps.names, steps.values, strict=True)
        return np.array([event_weight(name, value, self.event_weights) for name, value in names])

    def positive(self, steps: Steps) -> NDArray[np.intp]:
        """Return the steps of positive weight whose product has a positive sum of weights."""
        weights = self.weights(steps)
        rows, index = np.unique(steps.rows, return_inverse=True)
        sums = np.bincount(index, weights=weights, minlength=len(rows))
        return np.flatnonzero((weights > 0) & (sums[index] > 0)) if len(weights) else np.empty(0, dtype=np.intp)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON values, without the models; an infinite half-life is None."""
        return {
            "event_weights": dict(self.event_weights),
            "position_decay": self.position_decay,
            "half_life_days": self.half_life_days if np.isfinite(self.half_life_days) else None,
        }

    @classmethod
    def from_dict(
        cls,
        exported: Mapping[str, Any],
        sequence: SequenceTower | None = None,
        repeat: RepeatModel | None = None,
        profile: ProfileTower | None = None,
    ) -> "UserTower":
        """Return the tower of an exported dict."""
        half_life = exported["half_life_days"] or float("inf")
        return cls(exported["event_weights"], exported["position_decay"], half_life, sequence, repeat, profile)


def recency(steps: Steps) -> tuple[NDArray[np.intp], Double]:
    """Return how many distinct moments follow each step, and its age in days at the last, shape (t,) each."""
    times, index = np.unique(steps.times, return_inverse=True)
    return len(times) - 1 - index, (times[-1:] - times)[index] / DAY


def weighted_query(segment: Segment, rows: Rows, attention: Double) -> Query:
    """Return the query of weighted seeds: the weighted sum of their blocks and of their rows of C.

    The mean of many products is shorter in blocks where they differ more, so the least discriminating blocks would
    dominate. Each block is therefore scaled to the mean norm of its seeds: 1, or less where they were predicted.

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
    block_scales = np.divide(wanted, length, out=np.ones(len(length)), where=length > MIN_NORM)
    vector *= layout.repeat(block_scales)
    table = segment.cooccurrence
    return Query(vector.astype(np.float32), rows, attention, block_scales, *table.combine(rows, attention), table)
