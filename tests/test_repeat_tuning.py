"""The repeat term is learned where products are bought again, and only there; a fitted shop answers with it."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy import sparse

from recommender.catalog import Interactions
from recommender.core.scoring import Scorer
from recommender.towers.user import UserTower
from tests.segments import make_segment
from tests.test_repeat_model import START, interactions
from training.cooccurrence.tables import CooccurrenceTables
from training.repeat.fit import fit_repeat
from training.repeat.occasions import Occasions, bought
from training.repeat.tune import STEEPNESSES, WEIGHTS, _soft_recalls, refit_repeat, tune_repeat
from training.tuning.held_out import user_cases
from training.tuning.search import Hyperparameters, TuningData, default_hyperparameters
from training.tuning.weights import HALF_RANK

N = 60
CATEGORIES = np.zeros(N, dtype=np.intp)


def purchases(seed: int, staples: int, once: int) -> Interactions:
    """Return 200 days of 80 users who buy some staples, each at its interval, and other products but once."""
    generator, lines = np.random.default_rng(seed), []
    intervals = np.geomspace(15, 60, 30)
    for user in range(80):
        for row in generator.choice(30, staples, replace=False).tolist():
            day = generator.uniform(0, intervals[row])
            while day < 200:
                lines.append((f"u{user:02}", row, day))
                day += intervals[row] * generator.normal(1, 0.1)
        drawn = generator.choice(30, once, replace=False) + 30
        lines += [(f"u{user:02}", int(row), generator.uniform(0, 200)) for row in drawn]
    return interactions(lines)


def tuning_data(events: Interactions, day: int = 160) -> tuple[TuningData, Hyperparameters]:
    """Hold out the purchases from a day on."""
    segment = replace(make_segment(0, N), prior=np.zeros(N, np.float32))
    none = sparse.csr_array((N, N))
    moment = START + timedelta(days=day)
    data = TuningData(segment, CooccurrenceTables(none, none, none), events.before(moment), events.since(moment))
    return data, default_hyperparameters(segment, UserTower({"purchase": 5.0}), similar={})


def test_the_term_is_learned_where_products_are_bought_again() -> None:
    data, present = tuning_data(purchases(0, staples=8, once=5))
    tuned = tune_repeat(data, present, CATEGORIES, seed=0)
    assert tuned.weight > 0
    recalls = tuned.metrics["soft_recall"]
    assert recalls["with the term"] > 1.2 * recalls["without purchased products"]
    applied = tuned.applied(present)
    assert applied.weights["user"].weights["repeat"] == tuned.weight
    others = {name: w for name, w in applied.weights["user"].weights.items() if name != "repeat"}
    assert others == present.weights["user"].weights
    refitted = refit_repeat(applied, data.earlier.joined(data.later), CATEGORIES, seed=0).user_tower.repeat
    assert refitted is not None
    assert tuned.model is not None
    assert refitted.latest > tuned.model.latest
    assert refitted.half_life_days == tuned.model.half_life_days


@pytest.mark.parametrize("events", [purchases(1, 0, 12), interactions([(f"u{u}", u, 0.0) for u in range(50)])])
def test_there_is_no_term_where_nothing_is_bought_again(events: Interactions) -> None:
    data, present = tuning_data(events)
    tuned = tune_repeat(data, present, CATEGORIES, seed=0)
    assert tuned.weight == 0
    assert "repeat" not in tuned.applied(present).weights["user"].weights
    assert refit_repeat(tuned.applied(present), events, CATEGORIES, seed=0).user_tower.repeat == tuned.model


def test_a_shop_in_which_all_is_repeated() -> None:
    data, present = tuning_data(purchases(2, staples=10, once=0))
    assert tune_repeat(data, present, CATEGORIES, seed=0).weight > 0


def test_soft_recalls_are_those_of_all_scores() -> None:
    data, present = tuning_data(purchases(3, staples=4, once=6))
    half_lives = np.array([60.0])
    models = fit_repeat(
        Occasions.of(data.earlier, half_lives, 0), half_lives, STEEPNESSES, CATEGORIES, data.earlier
    )
    cases = user_cases(data.earlier, bought(data.later), 0, repeats=True)
    without, recalls = _soft_recalls(data, present, cases, models, 0)
    segment, weights = data.segment_with(present.prior, present.mixture), present.weights["user"].weights
    priors = data.priors(present.prior, cases)
    for number in range(0, len(cases), 9):
        case, moment = cases[number], cases[number].as_of
        assert moment is not None
        targets = case.targets[:: max(-(-len(case.targets) // 8), 1)]
        tower = replace(present.user_tower, repeat=models[1])
        now = (moment - START.replace(tzinfo=None)).total_seconds() + START.timestamp()
        query = tower.query(case.steps, segment, now)
        for column, weight in enumerate([0.0, *WEIGHTS]):
            scorer = Scorer(segment.vectors, priors[moment], segment.layout, weights | {"repeat": float(weight)})
            scores = scorer.estimate([query])[0].astype(np.float64)
            ranks = [np.sum(scores > scores[t]) + np.sum(scores == scores[t]) / 2 - 0.5 for t in targets]
            assert recalls[1, column, number] == pytest.approx(
                np.mean(1 / (1 + np.array(ranks) / HALF_RANK)), abs=0.02
            )
        scores[query.repeats.rows] = -np.inf
        new = [t for t in targets if t not in query.repeats.rows]
        assert without[number] <= len(new) / len(targets)
