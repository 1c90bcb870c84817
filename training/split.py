"""Splits a shop's events by time: training, held out for tuning, held out for the evaluation."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd

from recommender.catalog import Interactions
from recommender.errors import DataError
from recommender.progress import notice

HELD_OUT_SHARE = 0.2  # of the events, the latest
MIN_EVENTS = 200  # with fewer, hyperparameters keep their defaults


@dataclass(frozen=True)
class EventSplit:
    """Events by their use.

    Parameters
    ----------
    train
        What the towers are trained on.
    tuning
        Later events that hyperparameters are tuned on; None where there are too few.
    test
        Later events of other users, for the evaluation; None where the evaluation is the caller's.
    """

    train: Interactions
    tuning: Interactions | None = None
    test: Interactions | None = None


def split_events(interactions: Interactions, learn_until: datetime | None) -> EventSplit:
    """Hold out the events from a moment on.

    Parameters
    ----------
    interactions
        All events.
    learn_until
        The moment; all later events are for tuning. None: the latest fifth of the events is held out, half of its
        users for tuning and half for the evaluation.

    Raises
    ------
    DataError
        If no event lies before `learn_until`.
    """
    known = interactions if learn_until is None else interactions.before(learn_until)
    if not len(known):
        raise DataError(f"no event lies before {learn_until}: nothing is left to learn from. Choose a later one")
    if len(known) < MIN_EVENTS:
        return EventSplit(known)
    moment = learn_until or _held_out_since(interactions)
    earlier, later = interactions.before(moment), interactions.since(moment)
    if not len(earlier) or not len(later):
        notice(f"no events to tune the weights on: all lie on one moment, or none from {moment} on")
        return EventSplit(known)
    if learn_until is not None:
        return EventSplit(earlier, later)
    return EventSplit(earlier, *_halves(later))


def _held_out_since(interactions: Interactions) -> datetime:
    """Return the moment since which the share of the events is nearest to `HELD_OUT_SHARE`."""
    times = np.sort(interactions.frame["timestamp"].to_numpy())
    moments, starts = np.unique(times, return_index=True)
    nearest = np.argmin(np.abs(1 - starts / len(times) - HELD_OUT_SHARE))
    return pd.Timestamp(moments[nearest]).to_pydatetime()


def _halves(later: Interactions) -> tuple[Interactions, Interactions]:
    """Split by user, so that the evaluation is on users whose events tuned nothing."""
    users = later.frame["user_id"]
    even = pd.util.hash_array(users.to_numpy(dtype=object)) % 2 == 0
    tuning, test = (replace(later, frame=later.frame[half].reset_index(drop=True)) for half in (even, ~even))
    return tuning, test
