"""Bound the influence of single users: bots, test accounts, and ids such as "guest" that many people share."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.catalog.interactions import SESSION, Interactions
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import Mask
from recommender.core.blocks import Double

# Wholesalers and collectors are far above the median in many shops, and where they are, so is the 95th percentile:
# a user stands out whose ratio to that percentile is twice as large, on a logarithmic scale, as its to the median.
_QUANTILE = 0.95
_MIN_RATIO = 5.0
_MIN_USERS = 20  # fewer have no distribution
# Weights that never stand out: four purchases of one product; forty in all, and a hundredth of the shop's.
_MIN_WEIGHT_WITH_PRODUCT, _MIN_WEIGHT, _MIN_SHARE = 20.0, 200.0, 0.01


class _Limit(NamedTuple):
    """Weights above `allowed` are reduced to `reduced`."""

    allowed: float
    reduced: float


def bound_influence(interactions: Interactions) -> Interactions:
    """Return the events without those by which one user would decide what is popular or bought together.

    Where the weight of a user's events, or of those with one product, is far above that of all other users, only
    the latest count, up to the 95th percentile of users. Every such user is reported.

    Parameters
    ----------
    interactions
        The events; those of weight 0 or less have no influence, and stay.
    """
    frame = interactions.frame
    weights = np.maximum(interactions.event_weights(), 0.0)
    if not weights.any():
        return interactions
    users = np.cumsum((frame["user_id"] != frame["user_id"].shift()).to_numpy(bool)) - 1
    sessions = frame["user_id"].str.startswith(SESSION).to_numpy(bool)[np.r_[True, np.diff(users) > 0]]
    n = int(frame["row"].max()) + 1
    distinct, pair = np.unique(users * n + frame["row"].to_numpy(np.int64), return_inverse=True)
    with_product, user_of_pair = _sums(pair, weights), distinct // n
    most = np.maximum.reduceat(with_product, np.flatnonzero(np.r_[True, np.diff(user_of_pair) > 0]))
    valid = _latest(pair, weights, with_product, _limit(most, sessions, _MIN_WEIGHT_WITH_PRODUCT))
    weights = weights * valid
    totals = _sums(users, weights)
    limit = _limit(totals, sessions, max(_MIN_WEIGHT, _MIN_SHARE * float(weights.sum())))
    valid &= _latest(users, weights, totals, limit)
    if valid.all():
        return interactions
    report = DataReport(interactions.report.shown)
    _report(interactions, users, valid, report)
    report.print_summary()
    report.merge(interactions.report)
    return replace(interactions, frame=frame[valid].reset_index(drop=True), report=report)


def _sums(groups: NDArray[np.int64], weights: Double) -> Double:
    return np.bincount(groups, weights).astype(np.float64)


def _limit(sums: Double, sessions: Mask, minimum: float) -> _Limit:
    """Return the limit of weights, by their distribution over users, or over sessions where few log in."""
    known = sums[~sessions & (sums > 0)]
    known = known if len(known) >= _MIN_USERS else sums[sums > 0]
    if len(known) < _MIN_USERS:
        return _Limit(np.inf, np.inf)
    median, high = np.quantile(known, (0.5, _QUANTILE), method="lower")
    return _Limit(max(minimum, high * max(_MIN_RATIO, (high / median) ** 2)), float(high))


def _latest(groups: NDArray[np.int64], weights: Double, sums: Double, limit: _Limit) -> Mask:
    """Mask the events that count: all but the earlier ones of groups whose weight is above the limit.

    Parameters
    ----------
    groups
        Of each event; events of a group are in order of time.
    weights
        Of each event.
    sums
        Of the weights of each group.
    limit
        See `_limit`.
    """
    mask = np.ones(len(groups), bool)
    events = np.flatnonzero((sums > limit.allowed)[groups] & (weights > 0))
    if len(events):
        events = events[np.argsort(groups[events], kind="stable")][::-1]  # the latest of each group first
        start = np.r_[True, np.diff(groups[events]) != 0]
        first = np.flatnonzero(start)[np.cumsum(start) - 1]
        weight = weights[events]
        total = np.cumsum(weight)
        since = total - total[first] + weight[first]
        mask[events[since > np.maximum(limit.reduced, weight[first])]] = False
    return mask


def _report(interactions: Interactions, users: NDArray[np.int64], valid: Mask, report: DataReport) -> None:
    frame, lost = interactions.frame, np.bincount(users, ~valid)
    bounded = np.flatnonzero(lost)
    bounded = bounded[np.argsort(-lost[bounded], kind="stable")]
    events = np.bincount(users)
    starts = np.searchsorted(users, bounded)

    def message(i: int) -> str:
        user = bounded[i]
        products = frame["item_id"].iloc[starts[i] : starts[i] + events[user]].value_counts()
        return (
            f"has {events[user]:,} events, {products.iloc[0]:,} of them with the product {products.index[0]!r}; "
            "others have far fewer: is it a bot, a test or an id that many share? "
            f"The latest {int(events[user] - lost[user]):,} count"
        )

    ids = frame["user_id"].iloc[starts].tolist()
    report.add("bounded user", "events", np.zeros(len(bounded), np.int64), ids, message, "warning")
