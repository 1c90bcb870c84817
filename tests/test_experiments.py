"""Statistics of experiments, on simulated ones whose effect is known: errors, coverage, power, sample ratio."""

from typing import Any

import numpy as np
import pytest

from recommender.errors import RequestError
from recommender.experiments import compare, confidence_sequence, p_value, plan, sample_ratio
from recommender.experiments.sequential import tuning
from tests.simulated_experiments import experiment

ARMS = ("a", "b")
PLANNED = 6000  # 30 days of 200 visitors
Table = dict[str, Any]


def errors(runs: int, **options: Any) -> tuple[float, float, float]:
    """Return the shares of A/A experiments with a false alarm: of conversions, of revenue, of sample ratio."""
    found = np.zeros(3)
    for seed in range(runs):
        visitors, conversions, revenue = experiment(np.random.default_rng(seed), history=seed % 2, **options)
        for metric, outcomes in enumerate((conversions, revenue)):
            effect = compare(visitors, outcomes, ARMS, planned=PLANNED).effects[0]
            missed = ((effect.low > 0) | (effect.high < 0)).any()
            assert missed == effect.is_significant
            found[metric] += missed
        counts = np.cumsum(np.stack([[(visitors["arm"][visitors["day"] == day] == arm).sum() for arm in ARMS]
                                     for day in range(30)]), axis=0)  # fmt: skip
        found[2] += sample_ratio(counts, (0.5, 0.5)).is_mismatch
    return tuple((found / runs).tolist())


def test_experiments_without_an_effect_find_none_however_often_they_are_looked_at() -> None:
    conversions, revenue, ratio = errors(200)
    assert conversions < 0.05  # 1.2 % of 2,000
    assert revenue < 0.05
    assert ratio < 0.01


@pytest.mark.slow
def test_the_error_rate_of_2_000_experiments_is_below_five_percent() -> None:
    conversions, revenue, ratio = errors(2000)
    assert 0.002 < conversions <= 0.05
    assert 0.001 < revenue <= 0.05
    assert ratio <= 0.003


def test_fixed_intervals_would_not_hold_at_every_look() -> None:
    wrong = 0
    for seed in range(100):
        visitors, conversions, _ = experiment(np.random.default_rng(seed))
        effect = compare(visitors, conversions, ARMS, planned=PLANNED).effects[0]
        half = (effect.high - effect.low) / 2
        n = np.arange(1, 31) * 200.0
        error = half / confidence_sequence(0.0, n, 1.0, PLANNED)[1]
        wrong += bool((np.abs(effect.estimate) > 1.96 * error)[np.isfinite(half)].any())
    assert wrong > 12


def coverage(runs: int, lift: float) -> float:
    """Return the share of experiments whose intervals of every day have the expected effect of that day."""
    pairs = [experiment(np.random.default_rng(10_000 + seed), lift=lift)[:2] for seed in range(runs)]
    effects = [compare(*pair, ARMS, planned=PLANNED).effects[0] for pair in pairs]
    # outcomes that are still to come are not in a day's mean: the truth grows, and is that of very many visitors
    visitors, conversions, _ = experiment(np.random.default_rng(5), per_day=40_000, lift=lift)
    truth = compare(visitors, conversions, ARMS).effects[0].estimate
    return float(np.mean([((each.low <= truth) & (truth <= each.high)).all() for each in effects]))


def test_intervals_cover_a_known_effect_on_all_days_together() -> None:
    assert coverage(120, lift=0.5) > 0.92


@pytest.mark.slow
def test_intervals_of_2_000_experiments_cover_a_known_effect() -> None:
    assert coverage(2000, lift=0.5) >= 0.95


def found_within(runs: int, rate: float, lift: float, days: int, per_day: int, planned: int) -> float:
    """Return the share of experiments, whose visitors convert at once, that find the effect until the last day."""
    found = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        n = days * per_day
        arm = rng.integers(0, 2, n)
        day = np.repeat(np.arange(days), per_day)
        bought = np.flatnonzero(rng.random(n) < rate * (1 + lift * arm))
        visitors = {"visitor": np.arange(n), "arm": np.array(ARMS)[arm], "day": day}
        outcomes = {"visitor": bought, "day": day[bought], "value": np.ones(len(bought))}
        found += compare(visitors, outcomes, ARMS, planned=planned).effects[0].is_significant
    return found / runs


def test_the_power_is_as_planned() -> None:
    planned = plan(0.1, 0.25, 500)
    assert planned.fixed_days <= planned.median_days < planned.days
    assert planned.visitors == planned.days * 500
    reached = found_within(300, 0.1, 0.25, planned.days, 500, planned.visitors)
    assert abs(reached - planned.power) < 0.08  # three standard errors
    assert abs(found_within(300, 0.1, 0.25, planned.median_days, 500, planned.visitors) - 0.5) < 0.12


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "lift", "power"), [(0.03, 0.2, 0.8), (0.1, -0.15, 0.9)])
def test_the_power_of_2_000_experiments_is_as_planned(rate: float, lift: float, power: float) -> None:
    planned = plan(rate, lift, 2000, power=power)
    assert planned.power >= power
    reached = found_within(2000, rate, lift, planned.days, 2000, planned.visitors)
    assert abs(reached - planned.power) < 0.03


def test_means_and_effects_are_those_of_a_plain_count() -> None:
    visitors, _, revenue = experiment(np.random.default_rng(3), days=12, per_day=120, rate=0.3, lift=0.2)
    found = compare(visitors, revenue, ARMS, planned=1000)
    assert found.days == tuple(range(12))
    for at, day in enumerate(found.days):
        came = visitors["day"] <= day
        spent = np.zeros(len(came))
        for visitor, when, value in zip(*revenue.values(), strict=True):
            spent[visitor] += value if when <= day else 0
        arms = [spent[came & (visitors["arm"] == arm)] for arm in ARMS]
        assert found.visitors[at].tolist() == [len(values) for values in arms]
        np.testing.assert_allclose(found.means[at], [values.mean() for values in arms])
    effect = found.effects[0]
    variance = sum(values.var(ddof=1) / len(values) for values in arms)
    low, high = confidence_sequence(arms[1].mean() - arms[0].mean(), 1440, variance, 1000)
    np.testing.assert_allclose([effect.low[-1], effect.high[-1]], [low, high], rtol=1e-9)
    frame = found.to_frame()
    assert len(frame) == 12
    assert frame["effect"].iloc[-1] == pytest.approx(effect.estimate[-1])


def test_history_before_the_experiment_narrows_the_interval_and_does_not_move_it() -> None:
    moved, narrowed = [], []
    for seed in range(40):
        visitors, conversions, _ = experiment(np.random.default_rng(seed), lift=0.3, history=1.0)
        plain = {name: column for name, column in visitors.items() if name != "covariate"}
        with_history = compare(visitors, conversions, ARMS, planned=PLANNED).effects[0]
        without = compare(plain, conversions, ARMS, planned=PLANNED).effects[0]
        narrowed.append((with_history.high - with_history.low)[-1] / (without.high - without.low)[-1])
        moved.append(with_history.estimate[-1] - without.estimate[-1])
        assert without.variance_reduction == 0
    assert max(narrowed) < 0.99
    assert abs(np.mean(moved)) < 3 * np.std(moved) / np.sqrt(40) + 1e-9


def test_a_covariate_that_does_not_vary_changes_nothing() -> None:
    visitors, conversions, _ = experiment(np.random.default_rng(1))
    same = {**visitors, "covariate": np.full(len(visitors["visitor"]), 7.0)}
    one, other = (compare(table, conversions, ARMS).effects[0] for table in (visitors, same))
    np.testing.assert_array_equal(one.low, other.low)


def test_several_arms_share_the_error_rate() -> None:
    visitors, conversions, _ = experiment(np.random.default_rng(1), shares=(0.4, 0.3, 0.3))
    found = compare(visitors, conversions, ("a", "b", "c"))
    assert [effect.arm for effect in found.effects] == ["b", "c"]
    assert {effect.alpha for effect in found.effects} == {0.025}
    alone = compare(visitors, conversions, ARMS, planned=20_000 * 2 / 3).effects[0]
    assert found.effects[0].high[-1] > alone.high[-1]


def test_an_interval_leaves_0_out_exactly_where_the_ratio_is_large() -> None:
    n = np.arange(1, 200) * 50.0
    estimate, variance = np.full(len(n), 0.1), 10 / n
    low, _ = confidence_sequence(estimate, n, variance, 5000)
    p = p_value(estimate, n, variance, 5000)
    assert (np.diff(p) <= 0).all()
    assert ((low > 0) == (p < 0.05)).all()
    assert 0 < (low > 0).argmax() < len(n)


def test_the_interval_is_narrowest_where_it_was_planned() -> None:
    n = np.arange(100, 100_000, 100.0)
    factor = confidence_sequence(0.0, n, 1 / n, 20_000)[1] * np.sqrt(n)
    assert n[factor.argmin()] == 20_000
    assert tuning(20_000, 0.05) * 20_000 == pytest.approx(8.212, abs=0.001)


def test_a_wrong_sample_ratio_is_found() -> None:
    days = np.arange(1, 31)[:, None]
    right, wrong = days * [2000, 2000], days * [2000, 1900]
    assert not sample_ratio(right, (0.5, 0.5)).is_mismatch
    assert sample_ratio(wrong, (0.5, 0.5)).is_mismatch
    assert not sample_ratio(wrong, (2000, 1900)).is_mismatch
    assert sample_ratio([[300, 600]], (0.5, 0.5)).is_mismatch
    assert not sample_ratio([[430, 470]], (0.5, 0.5)).is_mismatch
    assert sample_ratio(np.zeros((0, 2)), (0.5, 0.5)).p_value == 1


def test_experiments_without_visitors_or_outcomes_say_nothing() -> None:
    nobody: Table = {"visitor": [], "arm": [], "day": []}
    nothing: Table = {"visitor": [], "day": [], "value": []}
    empty = compare(nobody, nothing, ARMS)
    assert (empty.days, empty.effects[0].is_significant, empty.effects[0].lift) == ((), False, None)
    one_arm: Table = {"visitor": ["u", "v"], "arm": ["a", "a"], "day": [1, 2]}
    found = compare(one_arm, {"visitor": ["u"], "day": [2], "value": [1.0]}, ARMS)
    assert found.means[-1, 0] == 0.5
    assert np.isnan(found.means[-1, 1])
    assert found.effects[0].p_values.tolist() == [1.0, 1.0]
    assert np.isinf(found.effects[0].high).all()


def test_outcomes_count_from_the_day_that_their_visitor_came() -> None:
    visitors: Table = {"visitor": ["u", "v"], "arm": ["a", "b"], "day": [2, 1]}
    outcomes: Table = {"visitor": ["u", "u", "x", "v"], "day": [1, 3, 1, 1], "value": [9.0, 2.0, 9.0, 3.0]}
    found = compare(visitors, outcomes, ARMS)
    assert found.days == (1, 2, 3)
    np.testing.assert_array_equal(found.means, [[np.nan, 3.0], [0.0, 3.0], [2.0, 3.0]])


VISITORS: Table = {"visitor": ["u", "v"], "arm": ["a", "b"], "day": [1, 1]}
OUTCOMES: Table = {"visitor": ["u"], "day": [1], "value": [1.0]}


@pytest.mark.parametrize(
    ("visitors", "outcomes", "arms", "message"),
    [
        (VISITORS, OUTCOMES, ("a",), "two or more"),
        (VISITORS, OUTCOMES, ("a", "a"), "each once"),
        ({**VISITORS, "visitor": ["u", "u"]}, OUTCOMES, ARMS, "2 rows of 1 visitors"),
        ({"visitor": ["u"], "arm": ["a"]}, OUTCOMES, ARMS, "no column 'day'"),
        ({**VISITORS, "day": [1]}, OUTCOMES, ARMS, "different lengths"),
        ({**VISITORS, "covariate": [1.0, np.nan]}, OUTCOMES, ARMS, "covariate"),
        (VISITORS, {**OUTCOMES, "value": [np.nan]}, ARMS, "missing values"),
    ],
)
def test_tables_that_make_no_sense_are_refused(visitors: Table, outcomes: Table, arms: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        compare(visitors, outcomes, arms)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.0}, "rate is 0"), ({"rate": 1.2}, "rate is 1.2"), ({"lift": 0.0}, "lift is 0"),
        ({"rate": 0.9, "lift": 0.2}, "is 1.08"), ({"visitors_per_day": 0}, "visitors per day is 0"),
        ({"power": 1.0}, "power is 1"), ({"alpha": 0.0}, "alpha is 0"), ({"arms": 1}, "arms is 1"),
        ({"lift": 1e-5}, "more than 730 days"), ({"deviation": -1.0}, "deviation is -1"),
    ],
)  # fmt: skip
def test_plans_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        plan(**{"rate": 0.03, "lift": 0.05, "visitors_per_day": 4000, **options})
