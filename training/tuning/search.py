"""Tunes the hyperparameters on held-out interactions: recency decay, prior, smoothing, weights of the score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import numpy as np

from recommender.catalog import Interactions
from recommender.core.blocks import Double, Float
from recommender.core.segment import Segment
from recommender.progress import progress
from recommender.towers.sequence import SequenceTower
from recommender.towers.user import UserTower
from training.cooccurrence.tables import CooccurrenceTables
from training.prior import PriorShape
from training.tuning.held_out import (
    HeldOutCase,
    HeldOutTerms,
    cooccurrence_term,
    held_out_terms,
    user_queries,
)
from training.tuning.weights import (
    MIN_CASES,
    TunedWeights,
    best_by_standard_error,
    default_weights,
    soft_recalls,
    tune_weights,
)

T = TypeVar("T")

# Options of each hyperparameter; the default first.
# Position decay and half-life in days of a history's events.
RECENCY_DECAYS = (
    (UserTower.position_decay, UserTower.half_life_days),
    (1.0, 90.0),
    (1.0, 30.0),
    (1.0, float("inf")),
    (0.8, float("inf")),
    (0.6, float("inf")),
    (0.4, float("inf")),
)
PRIORS = (PriorShape(30.0), PriorShape(7.0), PriorShape(120.0))
# Weight of content similarity in C.
SMOOTHINGS = (0.3, 0.0, 0.03, 0.1, 1.0, 3.0)
# The options are compared under the default weights, then again under the tuned ones: which smoothing is best
# depends on the weight of C.
ROUNDS = 2


@dataclass(frozen=True)
class Hyperparameters:
    """What is tuned on held-out interactions.

    Parameters
    ----------
    user_tower
        With the recency decay.
    prior
        With the half-life of popularity.
    smoothing
        Weight of content similarity in C.
    weights
        Kinds of request to weights of the score, see `Manifest`.
    categories
        The kinds of categories that had enough cases to be tuned for their own weights.
    """

    user_tower: UserTower
    prior: PriorShape
    smoothing: float
    weights: dict[str, TunedWeights]
    categories: tuple[str, ...] = ()

    def with_sequence(self, sequence: SequenceTower | None) -> "Hyperparameters":
        """Return the same hyperparameters with a sequence tower that was trained again."""
        return replace(self, user_tower=replace(self.user_tower, sequence=sequence))

    def with_weights(self, weights: dict[str, float]) -> "Hyperparameters":
        """Return the same hyperparameters with other weights for items and users."""
        return replace(self, weights=dict.fromkeys(("item", "user"), TunedWeights(weights, np.empty(0))))

    def with_item_weights(
        self, weights: dict[str, TunedWeights], categories: tuple[str, ...]
    ) -> "Hyperparameters":
        """Return the same hyperparameters with other weights for similar items, see `tune_for_items`."""
        return replace(self, weights=self.weights | weights, categories=categories)

    def metrics(self) -> dict[str, Any]:
        """Return the validation scores and the smoothing, for the manifest."""
        scores: dict[str, Any] = {kind: tuned.metrics() for kind, tuned in self.weights.items()}
        return scores | {"smoothing": self.smoothing, "categories": list(self.categories)}


def default_hyperparameters(
    segment: Segment, user_tower: UserTower, similar: dict[str, float] | None = None
) -> Hyperparameters:
    """Return the hyperparameters of a shop without enough held-out interactions to tune them.

    Parameters
    ----------
    segment
        The products.
    user_tower
        With default recency decay.
    similar
        Weights for similar items, see `content_weights`; None: of a shop without events.
    """
    weights = default_weights((*segment.layout.names, "cooccurrence", "prior"), similar is not None)
    kinds = {"item": similar or weights, "user": weights}
    untuned = {kind: TunedWeights(named, np.empty(0)) for kind, named in kinds.items()}
    return Hyperparameters(user_tower, PRIORS[0], SMOOTHINGS[0], untuned)


@dataclass(frozen=True)
class TuningData:
    """A model of the earlier events, and the held-out later ones.

    Parameters
    ----------
    segment
        The products, without prior and co-occurrence.
    tables
        The two parts of C.
    earlier, later
        The events before the held-out period, and those of it.
    """

    segment: Segment
    tables: CooccurrenceTables
    earlier: Interactions
    later: Interactions

    def segment_with(self, prior: PriorShape, smoothing: float) -> Segment:
        """Return the segment with a prior and a co-occurrence table."""
        return replace(self.segment, prior=self.prior(prior), cooccurrence=self.tables.smoothed(smoothing))

    def prior(self, shape: PriorShape, as_of: datetime | None = None) -> Float:
        """Return the prior as it was known at a moment, shape (n,); None: after the earlier events."""
        known = self.earlier if as_of is None else self.earlier.joined(self.later.before(as_of))
        return shape.fit(known, self.segment.n)[0]

    def priors(self, shape: PriorShape, cases: Sequence[HeldOutCase]) -> dict[datetime | None, Float]:
        """Return the prior as it was known at the moment of each case, shape (n,) each.

        Popularity changes fast: with the prior of months ago, it would seem to predict little.
        """
        return {as_of: self.prior(shape, as_of) for as_of in {case.as_of for case in cases}}


def tune(data: TuningData, initial: Hyperparameters, cases: list[HeldOutCase], seed: int) -> Hyperparameters:
    """Choose the hyperparameters with the highest soft recall of held-out interactions, one after the other.

    All but the weights are compared under the same weights: tuned for each, they would differ by chance.

    Parameters
    ----------
    data
        The model and the events.
    initial
        The defaults.
    cases
        Of users, see `user_cases`.
    seed
        Of samples and random search.
    """
    tuned = initial
    if len(cases) >= MIN_CASES:
        for _ in range(ROUNDS):
            tuned = _tune_for_users(data, cases, tuned, seed)
    return tuned


def _tune_for_users(
    data: TuningData, cases: list[HeldOutCase], present: Hyperparameters, seed: int
) -> Hyperparameters:
    """Choose recency decay, prior and smoothing under the present weights, then tune the weights."""
    segment = data.segment_with(present.prior, present.smoothing)
    weights = np.array([*present.weights["user"].weights.values()])
    present_priors = data.priors(present.prior, cases)

    def score(terms: HeldOutTerms) -> Double:
        return soft_recalls(terms, weights[None])[:, 0]

    def with_priors(terms: HeldOutTerms, priors: Mapping[datetime | None, Float]) -> HeldOutTerms:
        return terms.with_term("prior", np.stack([priors[case.as_of][terms.rows] for case in cases]))

    def with_tower(tower: UserTower) -> HeldOutTerms:
        queries = user_queries(segment, tower, cases)
        return with_priors(held_out_terms(segment, queries, cases, seed), present_priors)

    def with_prior(shape: PriorShape) -> HeldOutTerms:
        return with_priors(terms, data.priors(shape, cases))

    def with_smoothing(smoothing: float) -> HeldOutTerms:
        table = data.tables.smoothed(smoothing)
        sparse = [table.combine(case.steps.rows, tower.attention(case.steps)) for case in cases]
        return terms.with_term("cooccurrence", cooccurrence_term(sparse, terms.rows, segment.n))

    towers = [
        replace(present.user_tower, position_decay=decay, half_life_days=days) for decay, days in RECENCY_DECAYS
    ]
    tower = _best(towers, lambda option: score(with_tower(option)))
    terms = with_tower(tower)
    prior = _best(PRIORS, lambda option: score(with_prior(option)))
    terms = with_prior(prior)
    smoothing = _best(SMOOTHINGS, lambda option: score(with_smoothing(option)))
    terms = with_smoothing(smoothing)
    return Hyperparameters(tower, prior, smoothing, present.weights | {"user": tune_weights(terms, seed)})


def _best(options: Sequence[T], score: Callable[[T], Double]) -> T:
    """Return the option with clearly the best score; the first, the default, if none is clearly better."""
    bar = progress(options, "hyperparameters", len(options), "option")
    return options[best_by_standard_error([score(option) for option in bar])]
