"""The parameters of baselines are those that are best on the latest part of the training events."""

import numpy as np
import pytest
from evaluation_events import events
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.evaluation import standard_baselines as module
from recommender.evaluation.baselines import Popularity
from recommender.evaluation.standard_baselines import (
    BaselineValidation,
    ease_options,
    knn_options,
    popularity_options,
    standard_baselines,
)

N, USERS, DAYS = 24, 20, 200


@pytest.fixture(autouse=True)
def few_queries(monkeypatch):
    monkeypatch.setattr(module, "MIN_QUERIES", 1)


def drawn(seed):
    """Random events: each user has four in the earlier days and three in the last."""
    draw = np.random.default_rng(seed)
    lines = []
    for user in range(USERS):
        days = [*draw.integers(0, DAYS, 4), *(DAYS + draw.integers(0, 9, 3))]
        lines += [
            (f"u{user:02}", int(row), int(day)) for day, row in zip(days, draw.permutation(N)[:7], strict=True)
        ]
    return events(lines)


@settings(max_examples=1, deadline=None)
@given(st.integers(0, 1000))
def test_a_chosen_option_is_the_best_on_validation(seed):
    train = drawn(seed)
    validation = BaselineValidation.of(train, N)
    for options in (popularity_options, knn_options, ease_options):
        best = validation.recall(validation.best(options(validation.train, N)))
        assert best == max(validation.recall(option) for option in options(validation.train, N))


def test_only_earlier_events_are_fitted_and_only_later_ones_counted():
    train = drawn(0)
    validation = BaselineValidation.of(train, N)
    cut = validation.train.frame["timestamp"].max()
    assert cut < train.frame["timestamp"].max()
    assert all(history["timestamp"].max() <= cut for history in validation.queries.histories)
    share = 1 - len(validation.train) / len(train)
    assert share == pytest.approx(module.HELD_OUT, abs=0.1)


def test_a_fashion_of_the_last_week_is_found():
    # six products are in fashion for six days, then six others; users buy half of the former, and all of the last
    bought = [(user, fashion, day) for user in range(USERS) for fashion in range(6) for day in range(6)]
    bought = [(user, fashion, day) for user, fashion, day in bought if fashion == 5 or day < 3]
    train = events([(f"u{u:02}", 6 * fashion + (u + day) % 6, 6 * fashion + day) for u, fashion, day in bought])
    popularity, *others = standard_baselines(train, 60)
    assert popularity.name == "popularity"
    assert popularity.detail == "last 7 days"
    np.testing.assert_array_equal(popularity.counts, Popularity(train, 60, 7).counts)
    assert [other.name for other in others] == [
        "popularity, last 30 days",
        "popularity, last 7 days",
        "ItemKNN + recency",
        "EASE + recency",
    ]


def test_without_later_users_the_defaults_hold():
    one_day = events([("a", 0, 0), ("b", 1, 0)])
    popularity, *_, knn, ease = standard_baselines(one_day, N)
    assert [popularity.detail, knn.detail] == ["all time", "recency 0.6, shrink 10"]
    assert ease.detail == "recency 0.7, penalty 250"
    assert BaselineValidation.of(events([]), N) is None
