"""Finds the settings that the later part of the events likes best: recency, the prior's clock, the weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recommender.catalog import Interactions
from recommender.progress import progress
from recommender.segment import Segment
from recommender.towers.user import UserTower
from training.choices import Case, choices, item_cases, item_queries, user_cases, user_queries
from training.pairs import pairs_of
from training.prior import PriorShape
from training.weights import LEAST_CASES, Learned, equal, learn

# (position decay, half-life in days); the usual one first.
FORGETTING = ((1.0, 90.0), (1.0, 30.0), (1.0, float("inf")), (0.7, 90.0), (0.7, float("inf")), (0.5, float("inf")))
PRIORS = (PriorShape(30.0), PriorShape(7.0), PriorShape(120.0))
QUICK = 32  # weightings tried per setting; the best setting gets the full search
DEFAULT_PRIOR = PRIORS[0]
# Products chosen within so many events of each other count as what goes with one another.
TOGETHER = 5


@dataclass(frozen=True)
class Settings:
    """What was found, and how.

    Parameters
    ----------
    users
        The user tower.
    prior
        The prior's clock.
    weights
        'item' and 'user' to learned weights.
    """

    users: UserTower
    prior: PriorShape
    weights: dict[str, Learned]

    def stated(self) -> dict[str, Any]:
        """Return what the manifest says of the choice."""
        return {kind: learned.stated() for kind, learned in self.weights.items()}


def untrained(segment: Segment, event_weights: dict[str, float], events: bool) -> Settings:
    """Return the settings of a shop whose events cannot decide anything."""
    weights = Learned(equal((*segment.layout.names, "cooccurrence", "prior"), events), np.empty(0))
    return Settings(UserTower(event_weights), DEFAULT_PRIOR, {"item": weights, "user": weights})


def find(segment: Segment, earlier: Interactions, later: Interactions, seed: int) -> Settings:
    """Search the settings under which what was chosen later ranks highest.

    Parameters
    ----------
    segment
        Products placed with the earlier events only.
    """
    settings = untrained(segment, dict(earlier.weights), events=True)
    cases = user_cases(earlier, later, seed)
    if len(cases) < LEAST_CASES:
        return settings
    prior = _best_prior(segment, earlier, settings.users, cases, seed)
    segment = replace(segment, prior=prior.fit(earlier, segment.n)[0])
    tower, for_users = _best_tower(segment, dict(earlier.weights), cases, seed)
    for_items = _item_weights(segment, later, seed) or settings.weights["item"]
    return Settings(tower, prior, {"item": for_items, "user": for_users})


def _best_prior(
    segment: Segment, earlier: Interactions, users: UserTower, cases: list[Case], seed: int
) -> PriorShape:
    """Try each clock of popularity, everything else equal."""
    gains = []
    for shape in PRIORS:
        timed = replace(segment, prior=shape.fit(earlier, segment.n)[0])
        asked = choices(timed, user_queries(timed, users, cases), cases, seed)
        gains.append(learn(asked, seed, QUICK).gains)
    return PRIORS[_clearly_best(gains)]


def _best_tower(
    segment: Segment, event_weights: dict[str, float], cases: list[Case], seed: int
) -> tuple[UserTower, Learned]:
    """Try each forgetting of the history, each with weights of its own."""
    grid = [UserTower(event_weights, decay, half_life) for decay, half_life in FORGETTING]
    gains = []
    for tower in progress(grid, "score weights", len(grid), "setting"):
        asked = choices(segment, user_queries(segment, tower, cases), cases, seed)
        gains.append(learn(asked, seed, QUICK).gains)
    best = grid[_clearly_best(gains)]
    return best, learn(choices(segment, user_queries(segment, best, cases), cases, seed), seed)


def _clearly_best(gains: Sequence[np.ndarray]) -> int:
    """Return the place of the best setting, or of the first, the usual one, if none is better by a standard error.

    The one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984), paired by query.
    """
    above = []
    for tried in gains:
        difference = tried - gains[0]
        above.append(difference.mean() - difference.std() / len(difference) ** 0.5)
    return int(np.argmax(above)) if max(above) > 0 else 0


def _item_weights(segment: Segment, later: Interactions, seed: int) -> Learned | None:
    """Learn what makes products go together beyond both being popular: the prior explains, then steps aside."""
    cases = item_cases(segment, pairs_of(later, TOGETHER), seed)
    if len(cases) < LEAST_CASES:
        return None
    learned = learn(choices(segment, item_queries(segment, cases), cases, seed), seed)
    return replace(learned, weights=learned.weights | {"prior": 0.0})
