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
    spans = _spans(data, tuned, cases, seed)
    having = sum(int(np.any(span.terms.targets & span.new, axis=1).sum()) for span in spans)
    if having < MIN_CASES:
        return NewProducts(metrics={"chosen": "defaults", "cases": having})
    return _Search(spans, tuned.weights["user"].weights).run()


@dataclass(frozen=True)
class _Span:
    """The cases of one moment, from which popularity and the products that are new are known.

    Parameters
    ----------
    terms
        The terms of the score; then those in which new products have a factor, 0 for all others: an option is a
        weighting of these terms.
    new
        Products that had no event before the moment, shape (b, c).
    levels
        The prior of each of `LEVELS`.
    """

    terms: HeldOutTerms
    new: Mask
    levels: Double


def _spans(data: TuningData, tuned: Hyperparameters, cases: Sequence[HeldOutCase], seed: int) -> list[_Span]:
    """Return the cases by their moments."""
    segment = data.segment_with(tuned.prior, tuned.mixture)
    terms = held_out_terms(segment, user_queries(segment, tuned.user_tower, cases), cases, seed)
    content, spans = content_blocks(segment.vectors[terms.rows], segment.layout), []
    for moment, prior in data.priors(tuned.prior, cases).items():
        known = with_events(
            data.earlier if moment is None else data.earlier.joined(data.later.before(moment)), segment.n
        )
        weights = fit_prior_predictor(replace(segment, prior=prior), known, seed).weights
        spread = (content - mean_content(segment, ~known).astype(np.float32)) @ weights
        of_moment = terms.subset(np.array([case.as_of == moment for case in cases]))
        shape, new = of_moment.targets.shape, ~known[terms.rows]
        of_moment = of_moment.with_term("prior", np.broadcast_to(prior[terms.rows], shape))
        apart = {
            "new: behaviour": of_moment.terms["behaviour"] * new,
            "new: cooccurrence": of_moment.terms["cooccurrence"] * new,
            "new: spread": np.broadcast_to(spread * new, shape),
            "new": np.broadcast_to(new.astype(np.float32), shape),
        }
        of_moment = replace(of_moment, terms={**of_moment.terms, **apart})
        spans.append(_Span(of_moment, np.broadcast_to(new, shape), levels_of(prior[known], LEVELS)))
    return spans


@dataclass
class _Search:
    """Compares options; keeps the soft recall of each that was compared.

    Parameters
    ----------
    spans
        The cases.
    weights
        Of users' queries.
    """

    spans: Sequence[_Span]
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
            recalls = [self._recalls(span, missing) for span in self.spans]
            every, new = (np.concatenate(parts) for parts in zip(*recalls, strict=True))
            self.compared |= dict(zip(missing, zip(every.T, new.T, strict=True), strict=True))
        top = max((every for every, _ in self.compared.values()), key=np.mean)

        def recall(option: NewProducts) -> float:
            every, new = self.compared[option]
            lost = top - every
            return float(new.mean()) if lost.mean() <= TOLERANCE * _standard_error(lost) else -float(lost.mean())

        return max(options, key=recall)

    def _recalls(self, span: _Span, options: Sequence[NewProducts]) -> tuple[Double, Double]:
        """Return the soft recall of each case of a span under each option, and that of its new products."""
        weights = np.array([self._vector(option, span.levels) for option in options])
        chosen = span.terms.targets & span.new
        having = replace(span.terms, targets=chosen).subset(np.any(chosen, axis=1))
        return soft_recalls(span.terms, weights), soft_recalls(having, weights)

    def _vector(self, option: NewProducts, levels: Double) -> list[float]:
        """Return the weights of the terms under an option."""
        named = self.weights
        of_all = [named.get(term, 0.0) for term in self.spans[0].terms.terms if not term.startswith("new")]
        spread = 0.0 if option.level is None else option.spread
        level = 0.0 if option.level is None else levels[LEVELS.index(option.level)]
        return [
            *of_all,
            named["behaviour"] * (option.behaviour - 1),
            named["cooccurrence"] * (option.cooccurrence - 1),
            named["prior"] * spread,
            named["prior"] * level,
        ]

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
