"""Tunes the hyperparameters on held-out interactions: recency decay, prior, mixture of C, weights of the score."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommender.catalog import Interactions
from recommender.core.blocks import Double, Float, Rows
from recommender.core.scoring import Query
from recommender.core.segment import Segment
from recommender.progress import notice, progress
from recommender.towers.sequence import SequenceTower
from recommender.towers.user import MIN_NORM, UserTower, recency
from training.cooccurrence.tables import SHARPNESSES, CooccurrenceTables, Mixture, sharpened
from training.prior import CURVES, PopularityEvents, PriorShape
from training.profile.fit import ProfileShape
from training.tuning.held_out import HeldOutCase, HeldOutTerms, block_terms, held_out_terms, user_queries
from training.tuning.parts import never_worse
from training.tuning.weights import (
    MIN_CASES,
    TunedWeights,
    best_by_standard_error,
    cross_fitted,
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
DEFAULT_PRIOR = PriorShape(30.0)
# Half-lives of popularity in days, and the weights of the prior under which each is compared.
HALF_LIVES = (1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 365.0)
PRIOR_WEIGHTS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 20.0)
# The weights of content similarity under which each of its sharpnesses is compared.
SIMILARITY_WEIGHTS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
# The options are compared under the default weights, then again under the tuned ones.
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
    mixture
        What C is made of.
    weights
        Kinds of request to weights of the score, see `Manifest`.
    categories
        The kinds of categories that had enough cases to be tuned for their own weights.
    profile
        How the profile tower is fitted; None without a profile term.
    """

    user_tower: UserTower
    prior: PriorShape
    mixture: Mixture
    weights: dict[str, TunedWeights]
    categories: tuple[str, ...] = ()
    profile: ProfileShape | None = None

    def with_profile(self, shape: ProfileShape, weight: float) -> "Hyperparameters":
        """Return the same hyperparameters with a profile term for users."""
        tuned = self.weights["user"]
        tuned = replace(tuned, weights=tuned.weights | {"profile": weight})
        return replace(self, profile=shape, weights=self.weights | {"user": tuned})

    def with_sequence(self, sequence: SequenceTower | None) -> "Hyperparameters":
        """Return the same hyperparameters with a sequence tower that was trained again."""
        return self.with_user_tower(replace(self.user_tower, sequence=sequence))

    def with_user_tower(self, tower: UserTower) -> "Hyperparameters":
        """Return the same hyperparameters with another user tower."""
        return replace(self, user_tower=tower)

    def with_weights(self, weights: dict[str, float]) -> "Hyperparameters":
        """Return the same hyperparameters with other weights for items and users."""
        return replace(self, weights=dict.fromkeys(("item", "user"), TunedWeights(weights, np.empty(0))))

    def with_item_weights(
        self, weights: dict[str, TunedWeights], categories: tuple[str, ...]
    ) -> "Hyperparameters":
        """Return the same hyperparameters with other weights for similar items, see `tune_for_items`."""
        return replace(self, weights=self.weights | weights, categories=categories)

    def metrics(self) -> dict[str, Any]:
        """Return the validation scores, the mixture of C and the shape of the profile tower, for the manifest."""
        scores: dict[str, Any] = {kind: tuned.metrics() for kind, tuned in self.weights.items()}
        shapes = {"mixture": vars(self.mixture), "profile": self.profile and self.profile.to_dict()}
        return scores | shapes | {"categories": list(self.categories)}


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
    return Hyperparameters(user_tower, DEFAULT_PRIOR, Mixture(), untuned)


@dataclass(frozen=True)
class TuningData:
    """A model of the earlier events, and the held-out later ones.

    Parameters
    ----------
    segment
        The products, without prior and co-occurrence.
    tables
        What C is made of.
    earlier, later
        The events before the held-out period, and those of it.
    """

    segment: Segment
    tables: CooccurrenceTables
    earlier: Interactions
    later: Interactions

    def segment_with(self, prior: PriorShape, mixture: Mixture) -> Segment:
        """Return the segment with a prior and a co-occurrence table."""
        return replace(self.segment, prior=self.prior(prior), cooccurrence=self.tables.mixed(mixture))

    def prior(self, shape: PriorShape, as_of: datetime | None = None) -> Float:
        """Return the prior as it was known at a moment, shape (n,); None: after the earlier events."""
        if as_of is None:
            return shape.fit(self.earlier, self.segment.n)[0]
        return shape.of_counts(self._popularity.before(as_of).counts(shape.half_life_days, self.segment.n))

    @cached_property
    def _popularity(self) -> PopularityEvents:
        return PopularityEvents.of(self.earlier.joined(self.later))

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
    if len(cases) < MIN_CASES:
        return initial
    tuning, tuned = UserTuning(data, initial.user_tower, cases, seed), initial
    for _ in range(ROUNDS):
        tuned = tuning.tune(tuned)
    if part := tuned.weights["user"].part:
        notice(f"held-out interactions are predicted best by {part} alone: the other terms count next to nothing")
    return tuned


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A term of which a shape is chosen together with its weight.

    Parameters
    ----------
    term
        Its name.
    weights
        Under which each shape is compared: which is best depends on how much the term counts.
    values
        Returns the term's values of the candidates in a shape, shape (b, c).
    """

    term: str
    weights: Sequence[float]
    values: Callable[[T], Float]


@dataclass(frozen=True)
class UserTuning:
    """Tunes what ranks for users on their held-out interactions.

    Parameters
    ----------
    data, cases, seed
        See `tune`.
    tower
        With the sequence model.
    """

    data: TuningData
    tower: UserTower
    cases: list[HeldOutCase]
    seed: int

    def tune(self, present: Hyperparameters) -> Hyperparameters:
        """Choose recency decay, sharpness and prior under the present weights, then tune weights and mixture of C.

        C is a sum of tables, each of which has a weight while tuning.
        """
        weights = self._table_weights(present)
        towers = [
            replace(present.user_tower, position_decay=decay, half_life_days=days)
            for decay, days in RECENCY_DECAYS
        ]
        scores = [self._score(self._terms(tower, present), weights) for tower in _bar(towers)]
        tower = towers[best_by_standard_error(scores)]
        terms = self._terms(tower, present)
        similarities = partial(self._similarity, self._histories(tower))
        similarity = Choice("similarity", SIMILARITY_WEIGHTS, similarities)
        sharpnesses = [*dict.fromkeys((present.mixture.sharpness, *SHARPNESSES))]
        sharpness, weights["similarity"] = self._best(similarity, terms, weights, sharpnesses)
        terms = terms.with_term("similarity", similarities(sharpness))
        popularity = Choice("prior", PRIOR_WEIGHTS, self._priors)
        halved = [replace(present.prior, half_life_days=days) for days in HALF_LIVES]
        prior, weights["prior"] = self._best(popularity, terms, weights, [present.prior, *halved])
        bent = [replace(prior, curve=curve) for curve in CURVES]
        prior, weights["prior"] = self._best(popularity, terms, weights, [prior, *bent])
        terms = terms.with_term("prior", self._priors(prior))
        tuned = never_worse(terms, tune_weights(terms, self.seed, weights))
        mixed = {name: tuned.weights[name] for name in self._columns}
        mixture, cooccurrence = Mixture.of(mixed, sharpness)
        names = (*self.data.segment.layout.names, "cooccurrence", "prior")
        published = {name: {**tuned.weights, "cooccurrence": cooccurrence}[name] for name in names}
        tuned = replace(tuned, weights=published)
        return replace(
            present, user_tower=tower, prior=prior, mixture=mixture, weights=present.weights | {"user": tuned}
        )

    def _best(
        self, choice: Choice[T], terms: HeldOutTerms, weights: Mapping[str, float], options: Sequence[T]
    ) -> tuple[T, float]:
        """Return an option and its term's weight: the first at its present weight, unless another is better."""
        term = choice.term
        grid = np.tile([weights[name] for name in terms.terms], (len(choice.weights), 1))
        grid[:, [*terms.terms].index(term)] = choice.weights
        best = [(options[0], weights[term])]
        scores = [self._score(terms.with_term(term, choice.values(options[0])), weights)]
        for option in _bar(options):
            recalls = soft_recalls(terms.with_term(term, choice.values(option)), grid)
            best.append((option, choice.weights[int(recalls.mean(axis=0).argmax())]))
            scores.append(cross_fitted(recalls))
        return best[best_by_standard_error(scores)]

    def _score(self, terms: HeldOutTerms, weights: Mapping[str, float]) -> Double:
        """Return the soft recall of each case, shape (b,)."""
        return soft_recalls(terms, np.array([[weights[term] for term in terms.terms]]))[:, 0]

    def _table_weights(self, present: Hyperparameters) -> dict[str, float]:
        """Return the weight of each term while tuning, where the tables of C are terms of their own."""
        weights = dict(present.weights["user"].weights)
        shares = vars(present.mixture)
        return weights | {name: weights["cooccurrence"] * shares[name] for name in self._columns}

    def _terms(self, tower: UserTower, present: Hyperparameters) -> HeldOutTerms:
        """Return the terms of each case: blocks, tables of C, prior."""
        segment, drawn = self.data.segment, self._drawn
        histories = self._histories(tower)
        queries = self._query_vectors(histories)
        similarity = self._similarity(histories, present.mixture.sharpness)
        tables = {
            name: similarity if name == "similarity" else (histories @ table).toarray().astype(np.float32)
            for name, table in self._columns.items()
        }
        terms = block_terms(segment, queries, drawn.rows) | tables | {"prior": self._priors(present.prior)}
        return replace(drawn, terms=terms)

    def _histories(self, tower: UserTower) -> sparse.csr_array:
        """Return the attention of each case to the items of its history, shape (b, n)."""
        rows, starts, weights, positions, ages = self._steps
        raw = weights * tower.decay(positions, ages)
        lengths = np.diff(starts)
        totals = np.repeat(np.add.reduceat(np.abs(raw), starts[:-1]), lengths)
        attention = np.divide(raw, totals, out=np.zeros(len(raw)), where=totals > 0)
        return sparse.csr_array((attention, rows, starts), shape=(len(lengths), self.data.segment.n))

    def _similarity(self, histories: sparse.csr_array, sharpness: float) -> Float:
        """Return the candidates' content similarity to each history, shape (b, c)."""
        similarity = sharpened(self._columns["similarity"], sharpness)
        return (histories @ similarity).toarray().astype(np.float32)

    def _query_vectors(self, histories: sparse.csr_array) -> Float:
        """Return queries as `weighted_query` does, but for the blocks of a sequence model, shape (b, d)."""
        layout, used = self.data.segment.layout, np.unique(histories.indices)
        vectors, histories = self.data.segment.vectors[used].astype(np.float64), histories[:, used]
        sums = histories @ vectors
        wanted, lengths = abs(histories) @ layout.norms(vectors), layout.norms(sums)
        scales = np.divide(wanted, lengths, out=np.ones(lengths.shape), where=lengths > MIN_NORM)
        made = np.stack([query.vector for query in self._queries])
        by_sequence = layout.repeat(np.isnan(np.stack([query.block_scales for query in self._queries])))
        return np.where(by_sequence, made, sums * layout.repeat(scales)).astype(np.float32)

    def _priors(self, shape: PriorShape) -> Float:
        """Return the candidates' prior at the moment of each case, shape (b, c)."""
        priors = self.data.priors(shape, self.cases)
        return np.stack([priors[case.as_of][self._drawn.rows] for case in self.cases])

    @cached_property
    def _steps(self) -> tuple[Rows, Rows, Double, NDArray[np.intp], Double]:
        """Row, weight and `recency` of each step of all cases, one after the other, and where each case begins."""
        steps = [case.steps for case in self.cases]
        rows = np.concatenate([each.rows for each in steps])
        weights = np.concatenate([self.tower.weights(each) for each in steps])
        positions, ages = (np.concatenate(parts) for parts in zip(*map(recency, steps), strict=True))
        return rows, np.cumsum([0, *(len(each.rows) for each in steps)]).astype(np.int32), weights, positions, ages

    @cached_property
    def _queries(self) -> list[Query]:
        return user_queries(self.data.segment, self.tower, self.cases)

    @cached_property
    def _drawn(self) -> HeldOutTerms:
        """The candidates of each case."""
        return held_out_terms(self.data.segment, self._queries, self.cases, self.seed)

    @cached_property
    def _columns(self) -> dict[str, sparse.csr_array]:
        """The candidates' columns of each table; of the similarity, the cosines."""
        rows = self._drawn.rows
        return {name: table[:, rows] for name, table in self.data.tables.by_name.items()}


def _bar(options: Sequence[T]) -> Iterable[T]:
    return progress(options, "hyperparameters", len(options), "option")
