"""Histories as training data of the sequence model: windows of events, padded in batches of similar length."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recommender.catalog import Interactions
from recommender.core.blocks import Rows
from recommender.towers.sequence import WINDOW, Classes, gap_classes, kind_classes

MIN_REPLAYED = 1_000  # windows without new events that a continued training sees in an epoch


@dataclass(frozen=True)
class Batch:
    """b windows of at most t events, padded at the end with row −1.

    Parameters
    ----------
    rows, kinds, gaps
        Products, classes of the event names and classes of the time since the event before, shape (b, t).
    """

    rows: Tensor
    kinds: Tensor
    gaps: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(self.rows.to(device), self.kinds.to(device), self.gaps.to(device))


@dataclass(frozen=True)
class Sequences:
    """Windows of up to `WINDOW` + 1 positive events of one user each, oldest first.

    Parameters
    ----------
    rows, kinds, gaps
        All events, window after window.
    starts
        Index of each window's first event, and of the end of the last window.
    times
        Moment of each window's last event, POSIX seconds.
    names
        The event names that `kinds` numbers from 1.
    """

    rows: Rows
    kinds: Classes
    gaps: Classes
    starts: np.ndarray
    times: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, interactions: Interactions) -> "Sequences":
        """Cut histories into windows; immediate repeats of a product count once."""
        frame = interactions.frame[np.asarray(interactions.event_weights()) > 0]
        repeated = (frame["user_id"] == frame["user_id"].shift(-1)) & (frame["row"] == frame["row"].shift(-1))
        frame = frame[~repeated]
        users = frame["user_id"].to_numpy()
        first = np.flatnonzero(np.append(True, users[1:] != users[:-1])) if len(users) else np.empty(0, int)
        times = frame["timestamp"].to_numpy().astype("datetime64[us]").astype(np.float64) / 1e6
        gaps = [gap_classes(history) for history in np.split(times, first[1:])] if len(times) else []
        names = tuple(sorted(frame["event_name"].unique()))
        ends = np.append(first, len(frame))[1:]
        windows = [range(start, max(end - 1, start + 1), WINDOW) for start, end in zip(first, ends, strict=True)]
        starts = np.append(np.concatenate([*windows]) if windows else np.empty(0), len(frame)).astype(np.int64)
        return cls(
            rows=frame["row"].to_numpy(dtype=np.int32),
            kinds=kind_classes(frame["event_name"].tolist(), names),
            gaps=np.concatenate(gaps) if gaps else np.empty(0, np.int64),
            starts=starts,
            times=times[starts[1:] - 1],
            names=names,
        )

    @property
    def lengths(self) -> np.ndarray:
        """Number of events of each window."""
        return np.diff(self.starts)

    def count(self, after: float | None = None) -> int:
        """Return the number of windows that `batches` returns."""
        usable = self.lengths >= 2
        latest = int(usable.sum() if after is None else (usable & (self.times > after)).sum())
        return min(latest + max(latest, MIN_REPLAYED), int(usable.sum())) if latest else 0

    def batches(self, size: int, generator: np.random.Generator, after: float | None = None) -> list[np.ndarray]:
        """Return the windows of at least two events, each once, in shuffled batches of similar length.

        Parameters
        ----------
        size
            Windows in a batch.
        generator
            Of the order.
        after
            Only windows with an event after this moment, POSIX seconds, and a sample of as many others, at least
            `MIN_REPLAYED`, so that what they teach is not forgotten. None: all windows.
        """
        windows = np.flatnonzero(self.lengths >= 2)
        if after is not None:
            is_latest = self.times[windows] > after
            others = windows[~is_latest]
            sampled = generator.choice(others, self.count(after) - int(is_latest.sum()), replace=False)
            windows = np.sort(np.concatenate([windows[is_latest], sampled]))
        noise = generator.random(len(windows)) * 4
        order = windows[np.argsort(self.lengths[windows] + noise, kind="stable")]
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        return [batches[index] for index in generator.permutation(len(batches))]

    def pad(self, windows: np.ndarray) -> Batch:
        """Gather windows into one padded batch."""
        lengths = self.lengths[windows]
        offsets = np.arange(min(int(lengths.max()), WINDOW + 1))
        inside = offsets < lengths[:, None]
        events = np.where(inside, self.starts[windows][:, None] + offsets, 0)
        rows = np.where(inside, self.rows[events], -1)
        return Batch(
            *(torch.from_numpy(a.astype(np.int64)) for a in (rows, self.kinds[events], self.gaps[events]))
        )
