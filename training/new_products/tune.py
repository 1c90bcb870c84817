"""Chooses the factors of products without events on held-out choices of products that were new then."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from recommender.core.blocks import Double, Mask
from recommender.towers.prior import content_blocks
from training.new_products.factors import NewProducts, levels_of, mean_content, with_events
from training.new_products.prior import fit_prior_predictor
from training.tuning.held_out import HeldOutCase, HeldOutTerms, held_out_terms, user_queries
from training.tuning.search import Hyperparameters, TuningData
from training.tuning.weights import soft_recalls

MIN_CASES = 20  # with held-out choices of new products; with fewer, the factors keep their defaults
LEVELS = (0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
SPREADS = (0.0, 0.5, 1.0, 2.0)
FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0, 3.0)
# Standard errors, paired by query, by which the recall of all products may be below its best.
TOLERANCE = 0.5
NONE = NewProducts(level=None)


def tune_new_products(
    data: TuningData, tuned: Hyperparameters, cases: Sequence[HeldOutCase], seed: int
) -> NewProducts:
    """Choose prior, behaviour and co-occurrence of products without events.

    Of all options whose soft recall of held-out interactions is close to the best, see `TOLERANCE`, the one with
    the highest soft recall of products that were new: the whole does not lose, and newcomers get the places that
    cost nothing. A factor is used only where it is clearly better.

    Parameters
    ----------
    data
        The model and the events.
    tuned
        The other hyperparameters.
    cases
        Of users, see `user_cases`.
    seed
        Of samples.
    """
    if not cases or "behaviour" not in data.segment.layout.names:
        return NewProducts(metrics={"chosen": "defaults", "cases": 0})
    terms, new = _terms(data, tuned, cases, seed)
    having = int(np.any(terms.targets & new, axis=1).sum())
    if having < MIN_CASES:
        return NewProducts(metrics={"chosen": "defaults", "cases": having})
    return _Search(terms, new, tuned.weights["user"].weights).run()


def _terms(
    data: TuningData, tuned: Hyperparameters, cases: Sequence[HeldOutCase], seed: int
) -> tuple[HeldOutTerms, Mask]:
    """Return the terms of the score, those of new products once more and apart; and which products are new.

    A product is new in a case if it had no event before the moment of the case, shape (b, c).
    """
    segment = data.segment_with(tuned.prior, tuned.mixture)
    terms = held_out_terms(segment, user_queries(segment, tuned.user_tower, cases), cases, seed)
    priors = data.priors(tuned.prior, cases)
    rows, moments = terms.rows, [case.as_of for case in cases]
    known = {
        moment: with_events(
            data.earlier if moment is None else data.earlier.joined(data.later.before(moment)), segment.n
        )
        for moment in priors
    }
    new = ~np.stack([known[moment][rows] for moment in moments])
    terms = terms.with_term("prior", np.stack([priors[moment][rows] for moment in moments]))
    spread, levels = {}, {}
    for moment, prior in priors.items():
        of = replace(segment, prior=prior)
        weights = fit_prior_predictor(of, known[moment], seed).weights
        content = content_blocks(segment.vectors[rows], segment.layout)
        spread[moment] = (content - mean_content(segment, ~known[moment]).astype(np.float32)) @ weights
        levels[moment] = levels_of(prior[known[moment]], LEVELS)
    columns = [terms.features[:, :, terms.terms.index(name)] for name in ("behaviour", "cooccurrence")]
    columns.append(np.stack([spread[moment] for moment in moments]))
    columns += [np.array([[levels[moment][level]] for moment in moments]) for level in range(len(LEVELS))]
    p = len(terms.terms)
    features = np.empty((*new.shape, p + len(columns)), dtype=np.float32)
    features[:, :, :p] = terms.features
    for position, column in enumerate(columns):
        np.multiply(column, new, out=features[:, :, p + position], casting="same_kind")
    return replace(terms, features=features), new


@dataclass
class _Search:
    """Compares options; keeps the soft recall of each that was compared.

    Parameters
    ----------
    terms, new
        See `_terms`.
    weights
        Of users' queries.
    """

    terms: HeldOutTerms
    new: Mask
    weights: dict[str, float]
    compared: dict[NewProducts, tuple[Double, Double]] = field(default_factory=dict)

    def run(self) -> NewProducts:
        """Choose level and spread, then each factor, then level and spread under these factors."""
        best = self._placed(NewProducts(level=None))
        best = self._clearly_better(best, [replace(best, behaviour=factor) for factor in FACTORS])
        best = self._clearly_better(best, [replace(best, cooccurrence=factor) for factor in FACTORS])
        best = self._placed(best)
        return replace(best, metrics=self._metrics(best))

    def _placed(self, present: NewProducts) -> NewProducts:
        """Return the best level and spread."""
        options = [replace(present, level=level, spread=spread) for level, spread in product(LEVELS, SPREADS)]
        return self._best([present, replace(present, level=None, spread=1.0), *options])

    def _clearly_better(self, present: NewProducts, options: Sequence[NewProducts]) -> NewProducts:
        """Return the best option if its recall of new products is clearly higher than that of the present one."""
        best = self._best([present, *options])
        gain = self.compared[best][1] - self.compared[present][1]
        return best if gain.mean() > _standard_error(gain) else present

    def _best(self, options: Sequence[NewProducts]) -> NewProducts:
        """Return the option with the highest recall of new products of those that cost the whole nothing.

        The whole is compared with the best of all options so far.
        """
        missing = [option for option in dict.fromkeys(options) if option not in self.compared]
        if missing:
            weights = np.array([self._vector(option) for option in missing])
            chosen = self.terms.targets & self.new
            every, new = soft_recalls(self.terms, weights), self._of(chosen, weights)
            self.compared |= dict(zip(missing, zip(every.T, new.T, strict=True), strict=True))
        top = max((every for every, _ in self.compared.values()), key=np.mean)

        def recall(option: NewProducts) -> float:
            every, new = self.compared[option]
            lost = top - every
            return float(new.mean()) if lost.mean() <= TOLERANCE * _standard_error(lost) else -float(lost.mean())

        return max(options, key=recall)

    def _of(self, targets: Mask, weights: Double) -> Double:
        queries: Mask = np.any(targets, axis=1)
        return soft_recalls(replace(self.terms, targets=targets).subset(queries), weights)

    def _vector(self, option: NewProducts) -> list[float]:
        """Return the weights of the terms under an option."""
        weights = [self.weights.get(term, 0.0) for term in self.terms.terms]
        named = self.weights
        weights.append(named["behaviour"] * (option.behaviour - 1))
        weights.append(named["cooccurrence"] * (option.cooccurrence - 1))
        weights.append(0.0 if option.level is None else named["prior"] * option.spread)
        return [*weights, *(named["prior"] * (option.level == level) for level in LEVELS)]

    def _metrics(self, best: NewProducts) -> dict[str, object]:
        scores = {"before": self.compared[NONE], "after": self.compared[best]}
        return {
            "chosen": "held-out interactions",
            "cases": len(self.compared[best][1]),
            "soft_recall": {when: round(float(every.mean()), 4) for when, (every, _) in scores.items()},
            "soft_recall_new": {when: round(float(new.mean()), 4) for when, (_, new) in scores.items()},
        }


def _standard_error(values: Double) -> float:
    return float(values.std() / np.sqrt(len(values)))
