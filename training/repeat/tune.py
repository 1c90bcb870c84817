"""Tunes the repeat term: its half-life, steepness and weight, on held-out purchases with repeats among them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.catalog import Interactions
from recommender.core.blocks import Double, Float, Rows
from recommender.core.scoring import Scorer
from recommender.progress import progress
from recommender.towers.repeat import RepeatModel
from training.repeat.fit import fit_repeat
from training.repeat.occasions import Occasions, bought
from training.tuning.held_out import MAX_CELLS, MIN_CANDIDATES, HeldOutCase, sample, user_cases
from training.tuning.search import Hyperparameters, TuningData
from training.tuning.weights import HALF_RANK, MIN_CASES, best_by_standard_error

HALF_LIVES: Double = np.array([3.0, 7.0, 15.0, 30.0, 60.0, 120.0, 240.0, 365.0])
MAX_CASES, MAX_TARGETS = 1_000, 8  # targets of a case are evenly spaced
STEEPNESSES = (1.0, 5.0, 25.0)
# Up to what outweighs a co-occurrence that counts hundreds of times the blocks.
WEIGHTS: Double = np.geomspace(0.05, 2_000.0, 13)
# The term has to be so many standard errors better than a list without what was bought: the best of many is lucky.
ERRORS = 2.0


@dataclass(frozen=True)
class RepeatTuning:
    """The tuned repeat term.

    Parameters
    ----------
    model
        None where nothing is bought again.
    weight
        Of the term; 0 where it is not clearly better than to leave out what was bought.
    metrics
        For the manifest.
    """

    model: RepeatModel | None
    weight: float
    metrics: dict[str, Any]

    def applied(self, hyperparameters: Hyperparameters) -> Hyperparameters:
        """Return the hyperparameters with the model, and with the term if it has a weight."""
        tower = replace(hyperparameters.user_tower, repeat=self.model)
        if not self.weight:
            return replace(hyperparameters, user_tower=tower)
        user = hyperparameters.weights["user"]
        weights = replace(user, weights=user.weights | {"repeat": self.weight})
        return replace(hyperparameters, user_tower=tower, weights=hyperparameters.weights | {"user": weights})


def refit_repeat(
    hyperparameters: Hyperparameters, interactions: Interactions, categories: NDArray[np.intp], seed: int
) -> Hyperparameters:
    """Return the hyperparameters with the model fitted on other events: half-life and steepness are unchanged."""
    tuned = hyperparameters.user_tower.repeat
    if tuned is None:
        return hyperparameters
    half_lives = np.array([tuned.half_life_days])
    occasions = Occasions.of(interactions, half_lives, seed)
    models = fit_repeat(occasions, half_lives, [tuned.steepness], categories, interactions)
    refitted = replace(models[0], scale=tuned.scale) if models else tuned
    return replace(hyperparameters, user_tower=replace(hyperparameters.user_tower, repeat=refitted))


def tune_repeat(
    data: TuningData, present: Hyperparameters, categories: NDArray[np.intp], seed: int
) -> RepeatTuning:
    """Choose half-life, steepness and weight with the highest soft recall of all later purchases, with repeats.

    The other weights are those of new products and stay as they are.

    Parameters
    ----------
    data
        The model and the events.
    present
        The tuned hyperparameters.
    categories
        Number of each product's category, length n.
    seed
        Of samples.
    """
    occasions = Occasions.of(data.earlier, HALF_LIVES, seed)
    models = fit_repeat(occasions, HALF_LIVES, STEEPNESSES, categories, data.earlier)
    cases = user_cases(data.earlier, bought(data.later), seed, repeats=True) if models else []
    cases = sample(cases, MAX_CASES, seed)
    if len(cases) < MIN_CASES:
        return RepeatTuning(models[len(models) // 2] if models else None, 0.0, {"cases": len(cases)})
    without, recalls = _soft_recalls(data, present, cases, models, seed)
    included, options = recalls[0, 0], recalls[:, 1:].reshape(-1, len(cases))
    best = best_by_standard_error([without, *options], ERRORS) - 1
    useful = best >= 0 and best_by_standard_error([included, options[best]]) == 1
    best = best if useful else int(np.argmax(options.mean(axis=1)))
    position, weight = divmod(best, len(WEIGHTS))
    metrics = {
        "cases": len(cases),
        "soft_recall": {
            "without purchased products": float(without.mean()),
            "without the term": float(included.mean()),
            "with the term": float(options[best].mean()),
        },
    }
    return RepeatTuning(models[position], float(WEIGHTS[weight]) if useful else 0.0, metrics)


def _soft_recalls(
    data: TuningData,
    present: Hyperparameters,
    cases: Sequence[HeldOutCase],
    models: Sequence[RepeatModel],
    seed: int,
) -> tuple[Double, Double]:
    """Return the soft recall of each case without what was bought, and with it by model and weight from 0 on.

    Returns
    -------
    tuple
        Shapes (b,) and (models, 1 + weights, b).
    """
    without, recalls = np.empty(len(cases)), np.empty((len(models), 1 + len(WEIGHTS), len(cases)))
    candidates = _candidates(data.segment.n, cases, seed)
    scored = _scored(data, present, cases, candidates[0])
    for number, case, scores in progress(scored, "repeat purchases", len(cases), "case"):
        moment = None if case.as_of is None else case.as_of.replace(tzinfo=UTC).timestamp()
        repeats = [model.repeats(case.steps, moment) for model in models]
        values = np.stack([each.values for each in repeats])
        ranking = _Ranking.of(scores, *candidates, case, repeats[0].rows)
        without[number], recalls[:, :, number] = ranking.without(), ranking.soft_recalls(values)
    return without, recalls


def _candidates(n: int, cases: Sequence[HeldOutCase], seed: int) -> tuple[Rows, Float]:
    """Return the ranked rows, and how many each stands for: all, or a sample with the cases' products."""
    rows, size = np.arange(n, dtype=np.int32), max(MAX_CELLS // len(cases), MIN_CANDIDATES)
    if n <= size:
        return rows, np.ones(n, dtype=np.float32)
    own = np.unique(np.concatenate([np.append(case.targets, case.steps.rows) for case in cases]))
    rows = np.union1d(np.random.default_rng(seed).choice(rows, size, replace=False), own).astype(np.int32)
    return rows, np.where(np.isin(rows, own), 1.0, n / size).astype(np.float32)


def _scored(
    data: TuningData, present: Hyperparameters, cases: Sequence[HeldOutCase], rows: Rows
) -> Iterator[tuple[int, HeldOutCase, Float]]:
    """Yield each case with its number and the scores of the rows without the term, shape (c,)."""
    segment = data.segment_with(present.prior, present.mixture)
    priors, weights = data.priors(present.prior, cases), present.weights["user"].weights
    for number, case in enumerate(cases):
        scorer = Scorer(segment.vectors, priors[case.as_of], segment.layout, weights)
        query = present.user_tower.query(case.steps, segment)
        yield number, case, scorer.estimate([query], None if len(rows) == segment.n else rows)[0]


@dataclass(frozen=True)
class _Ranking:
    """The candidates of one case, split into what the user bought and all others that may be shown.

    Parameters
    ----------
    others, above
        Ascending scores of the others, shape (o,), and how many products stand from each on, shape (o + 1,).
    own
        Scores of what was bought, shape (r,).
    targets
        Scores of the targets, shape (t,).
    own_position
        Position of each target in `own`; −1 for a new one, shape (t,).
    """

    others: Float
    above: Double
    own: Float
    targets: Float
    own_position: NDArray[np.intp]

    @classmethod
    def of(cls, scores: Float, rows: Rows, multiplicity: Float, case: HeldOutCase, own: Rows) -> "_Ranking":
        """Return the ranking of a case: products of the history that were not bought are not shown."""
        hidden = np.isin(rows, np.append(case.steps.rows, own))
        order = np.flatnonzero(~hidden)
        order = order[np.argsort(scores[order], kind="stable")]
        above = np.append(np.cumsum(multiplicity[order][::-1])[::-1], 0.0).astype(np.float64)
        targets = np.setdiff1d(case.targets, np.setdiff1d(case.steps.rows, own))
        targets = targets[:: max(-(-len(targets) // MAX_TARGETS), 1)]
        position = np.where(np.isin(targets, own), np.searchsorted(own, targets), -1)
        return cls(
            scores[order],
            above,
            scores[np.searchsorted(rows, own)],
            scores[np.searchsorted(rows, targets)],
            position,
        )

    def without(self) -> Double:
        """Return the soft recall where what was bought is not shown."""
        ranks = self._others_above(self.targets.astype(np.float64)) - 0.5
        worths = np.where(self.own_position < 0, _worth(ranks), 0.0)
        return worths.mean() if len(worths) else np.zeros(())

    def soft_recalls(self, values: Double) -> Double:
        """Return the soft recall by the values of what was bought, shape (models, r), and weight, from 0 on."""
        weights = np.append(0.0, WEIGHTS)
        own = self.own + weights[:, None] * values[:, None, :]
        worths = []
        for score, position in zip(self.targets, self.own_position, strict=True):
            target = np.full(own.shape[:2], score) if position < 0 else own[:, :, position]
            difference = own - target[:, :, None]
            above = np.count_nonzero(difference > 0, axis=2) + np.count_nonzero(difference == 0, axis=2) / 2
            worths.append(_worth(self._others_above(target) + above - 0.5))
        return np.mean(worths, axis=0) if worths else np.zeros(own.shape[:2])

    def _others_above(self, scores: Double) -> Double:
        """Return how many of the others stand above scores, ties by half."""
        left, right = (np.searchsorted(self.others, scores, side) for side in ("left", "right"))
        count: Double = (self.above[left] + self.above[right]) / 2
        return count


def _worth(ranks: Double) -> Double:
    return 1.0 / (1.0 + ranks / HALF_RANK)
