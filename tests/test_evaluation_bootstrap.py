"""Intervals: known standard errors, pairing, users as the unit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.evaluation.bootstrap import bootstrap


def people(count):
    return np.array([f"u{number:05}" for number in range(count)], object)


def test_standard_error_of_a_mean():
    values = np.random.default_rng(1).normal(3, 2, (400, 1))
    (interval,) = bootstrap(values, people(400))
    assert interval.mean == pytest.approx(values.mean())
    assert interval.std_error == pytest.approx(values.std() / 20, rel=0.06)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


def test_intervals_have_their_nominal_coverage():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (80, 300))  # 300 samples of 80 people whose true mean is 0
    covered = np.mean([each.low <= 0 <= each.high for each in bootstrap(values, people(80))])
    assert 0.90 <= covered <= 0.98


def test_pairing_removes_the_variance_between_users():
    rng = np.random.default_rng(3)
    theirs = rng.normal(0, 1, 300)
    ours = theirs + 0.05 + rng.normal(0, 0.02, 300)
    mean, difference = bootstrap(np.column_stack([ours, ours - theirs]), people(300))
    assert not mean.positive
    assert difference.positive


def test_repeating_a_users_query_does_not_narrow_the_interval():
    values = np.random.default_rng(4).normal(0, 1, (100, 1))
    once, *_ = bootstrap(values, people(100))
    often, *_ = bootstrap(np.repeat(values, 5, axis=0), np.repeat(people(100), 5))
    assert often.std_error == pytest.approx(once.std_error, rel=1e-9)


def test_queries_without_a_value_are_left_out():
    values = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, np.nan]])
    first, second = bootstrap(values, people(3))
    assert (first.mean, second.mean) == (2, 5)
    assert second.low == second.high == 5


def test_no_users_have_no_interval():
    (interval,) = bootstrap(np.empty((0, 1)), people(0))
    assert np.isnan([interval.mean, interval.std_error, interval.low, interval.high]).all()
    assert not interval.positive


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=30), st.floats(-5, 5), st.floats(0.1, 5))
def test_intervals_are_equivariant(values, shift, scale):
    values = np.array(values)[:, None]
    (plain,) = bootstrap(values, people(len(values)))
    (moved,) = bootstrap(values * scale + shift, people(len(values)))
    assert moved.low == pytest.approx(plain.low * scale + shift, abs=1e-9)
    assert moved.high == pytest.approx(plain.high * scale + shift, abs=1e-9)
