"""Finds the settings that the later part of the events likes best, from recency to the weights of the score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np

from recommender.catalog import Interactions
from recommender.core.blocks import Double, Float
from recommender.core.segment import Segment
from recommender.progress import progress
from recommender.towers.user import UserTower
from training.cooccurrence.learn import Table, mix
from training.cooccurrence.pairs import pairs_of
from training.prior import PriorShape
from training.tuning.held_out import (
    ITEM_QUERIES,
    Case,
    Choices,
    choices,
    item_cases,
    item_queries,
    sample,
    together_term,
    user_queries,
)
from training.tuning.weights import LEAST_CASES, Learned, clearly_best, equal, gains, learn

T = TypeVar("T")

# (position decay, half-life in days); the usual one first.
FORGETTING = (
    (UserTower.position_decay, UserTower.half_life_days),
    (1.0, 90.0),
    (1.0, 30.0),
    (1.0, float("inf")),
    (0.8, float("inf")),
    (0.6, float("inf")),
    (0.4, float("inf")),
)
PRIORS = (PriorShape(30.0), PriorShape(7.0), PriorShape(120.0))
# How much likeness counts in C beside what was chosen together.
SMOOTHINGS = (0.3, 0.0, 0.03, 0.1, 1.0, 3.0)
# Settings are compared under the usual weights, then once more under those found: how much likeness helps depends
# on how much C weighs.
ROUNDS = 2
DEFAULT_PRIOR = PRIORS[0]
ALIKE = {"prior": 0.0}  # of two products, being popular makes neither like the other
# A category is searched for weights of its own from so many cases, and the largest of them only.
LEAST_OWN, MOST_CATEGORIES = 100, 10
CHANCE = 0.05  # that any category gets weights of its own by chance
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
    smoothing
        How much likeness counts in C.
    weights
        Kinds of question to learned weights, see `Manifest`.
    tried
        The categories that could have had weights of their own, by the name of their kind.
    """

    users: UserTower
    prior: PriorShape
    smoothing: float
    weights: dict[str, Learned]
    tried: tuple[str, ...] = ()

    def stated(self) -> dict[str, Any]:
        """Return what the manifest says of the choice."""
        told: dict[str, Any] = {kind: learned.stated() for kind, learned in self.weights.items()}
        return told | {"smoothing": self.smoothing, "own_weights_tried": list(self.tried)}


def untrained(segment: Segment, users: UserTower, events: bool) -> Settings:
    """Return the settings of a shop whose events cannot decide anything."""
    usual = equal((*segment.layout.names, "cooccurrence", "prior"), events)
    weights = {"item": usual | ALIKE, "user": usual} if events else {"item": usual, "user": usual}
    learned = {kind: Learned(named, np.empty(0)) for kind, named in weights.items()}
    return Settings(users, DEFAULT_PRIOR, SMOOTHINGS[0], learned)


@dataclass(frozen=True)
class Early:
    """Products placed with the earlier events only, and what those say.

    Parameters
    ----------
    segment
        Without prior and co-occurrence.
    users
        The usual user tower, with the sequence model.
    events
        The earlier events.
    later
        What happened then.
    counted, like
        The two parts of C.
    """

    segment: Segment
    users: UserTower
    events: Interactions
    later: Interactions
    counted: Table
    like: Table

    def placed(self, prior: PriorShape, smoothing: float) -> Segment:
        """Return the segment under two settings."""
        together = mix(self.counted, self.like, smoothing)
        return replace(self.segment, prior=self.prior(prior), cooccurrence=together)

    def prior(self, shape: PriorShape, moment: datetime | None = None) -> Float:
        """Return the prior by one clock, as it was known at a moment (None: of the earlier events), shape (n,)."""
        known = self.events if moment is None else self.events.joined(self.later.before(moment))
        return shape.fit(known, self.segment.n)[0]

    def priors(self, shape: PriorShape, cases: Sequence[Case]) -> dict[datetime | None, Float]:
        """Return the prior as it was known at the moment of each case, shape (n,) each.

        What is chosen lately changes fast: by the prior of months ago, being popular would seem to say little.
        """
        return {moment: self.prior(shape, moment) for moment in {case.moment for case in cases}}


def find(early: Early, cases: list[Case], kinds: Sequence[str], seed: int) -> Settings:
    """Search the settings under which what was chosen later ranks highest, one after the other.

    All but the weights are compared under the same weights: searched for each, they would differ by chance.

    Parameters
    ----------
    cases
        Users who chose something before and something new after.
    kinds
        The kind of question that would be the category's own of each product, length n.
    """
    settings = untrained(early.segment, early.users, events=True)
    if len(cases) >= LEAST_CASES:
        for _ in range(ROUNDS):
            settings = _for_users(early, cases, settings, seed)
    return _for_items(early.placed(settings.prior, settings.smoothing), early.later, settings, kinds, seed)


def _for_users(early: Early, cases: list[Case], settings: Settings, seed: int) -> Settings:
    segment = early.placed(settings.prior, settings.smoothing)
    usual = np.array([*settings.weights["user"].weights.values()])
    known = early.priors(settings.prior, cases)

    def gains_of(tried: Choices) -> Double:
        return gains(tried, usual[None])[:, 0]

    def with_known(tried: Choices, known: Mapping[datetime | None, Float]) -> Choices:
        return tried.with_term("prior", np.stack([known[case.moment][tried.rows] for case in cases]))

    def with_tower(tower: UserTower) -> Choices:
        return with_known(choices(segment, user_queries(segment, tower, cases), cases, seed), known)

    def with_prior(shape: PriorShape) -> Choices:
        return with_known(asked, early.priors(shape, cases))

    def with_smoothing(smoothing: float) -> Choices:
        together = mix(early.counted, early.like, smoothing)
        sums = [together.combine(case.steps.rows, tower.attention(case.steps)) for case in cases]
        return asked.with_term("cooccurrence", together_term(sums, asked.rows, segment.n))

    towers = [replace(early.users, position_decay=decay, half_life_days=days) for decay, days in FORGETTING]
    tower = _best(towers, lambda tried: gains_of(with_tower(tried)))
    asked = with_tower(tower)
    prior = _best(PRIORS, lambda tried: gains_of(with_prior(tried)))
    asked = with_prior(prior)
    smoothing = _best(SMOOTHINGS, lambda tried: gains_of(with_smoothing(tried)))
    asked = with_smoothing(smoothing)
    weights = settings.weights | {"user": learn(asked, seed)}
    return Settings(tower, prior, smoothing, weights)


def _best(tried: Sequence[T], gains_of: Callable[[T], Double]) -> T:
    """Return the setting with clearly the best gains; the first, the usual one, if none is."""
    shown = progress(tried, "settings", len(tried), "setting")
    return tried[clearly_best([gains_of(setting) for setting in shown])]


def _for_items(
    segment: Segment, later: Interactions, settings: Settings, kinds: Sequence[str], seed: int
) -> Settings:
    """Learn what makes products go together beyond both being popular: the prior explains, then steps aside.

    Then once more for each category, from what all have: so that it leaves that only where its own choices clearly
    agree. Some of many would by chance: by how many errors is Bonferroni's correction.
    """
    cases = item_cases(segment, pairs_of(later, TOGETHER))
    if len(cases) < LEAST_CASES:
        return settings

    def asked(some: list[Case]) -> Choices:
        drawn = sample(some, ITEM_QUERIES, seed)
        return choices(segment, item_queries(segment, drawn), drawn, seed)

    found = {"item": learn(asked(cases), seed)}
    parts = _largest(cases, kinds)
    errors = NormalDist().inv_cdf(1 - CHANCE / max(len(parts), 1))
    for kind, some in progress(parts.items(), "weights of categories", len(parts), "category"):
        own = learn(asked(some), seed, found["item"].weights, errors)
        if own.weights != found["item"].weights:
            found[kind] = own
    weights = {kind: replace(learned, weights=learned.weights | ALIKE) for kind, learned in found.items()}
    return replace(settings, weights=settings.weights | weights, tried=tuple(parts))


def _largest(cases: list[Case], kinds: Sequence[str]) -> dict[str, list[Case]]:
    """Return the cases of each category that has enough of them, the largest first; none if all are of one."""
    parts: dict[str, list[Case]] = {}
    for case in cases:
        parts.setdefault(kinds[case.steps.rows[0]], []).append(case)
    if len(parts) == 1:
        return {}
    ordered = sorted(parts, key=lambda kind: -len(parts[kind]))[:MOST_CATEGORIES]
    return {kind: parts[kind] for kind in ordered if kind != "item" and len(parts[kind]) >= LEAST_OWN}
