"""Baselines against their formulas written out, and planted structure."""

import numpy as np
import pytest
from evaluation_events import events
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.evaluation.baselines import (
    Ease,
    ItemKNN,
    OwnFrequency,
    Popularity,
    decayed_histories,
    user_item_matrix,
)
from recommender.evaluation.queries import with_weights

N = 9
baskets = st.lists(st.lists(st.integers(0, N - 2), min_size=1, max_size=6), min_size=1, max_size=14)


def log(lists):
    return events([(f"u{user:02}", row, day) for user, rows in enumerate(lists) for day, row in enumerate(rows)])


def histories(train):
    return [frame for _, frame in with_weights(train).groupby("user_id")]


def by_hand(train, decay):
    lines = []
    for frame in histories(train):
        moments = sorted(frame["timestamp"].unique(), reverse=True)
        line = np.zeros(N)
        for row, moment in zip(frame["row"], frame["timestamp"], strict=True):
            line[row] = max(line[row], decay ** moments.index(moment))
        lines.append(line)
    return np.array(lines)


@settings(max_examples=40, deadline=None)
@given(baskets, st.sampled_from([3, 15_000]))
def test_ease_equals_its_closed_form_for_items_and_users(lists, limit):
    train = log(lists)
    x = user_item_matrix(train, N).toarray()
    model = Ease(train, N, penalty=2.0, decay=0.7, limit=limit)
    if x[:, model.items].sum() < x.sum():
        return  # the least popular were left out: see below
    p = np.linalg.inv(x.T.astype(float) @ x + 2.0 * np.eye(N))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    np.testing.assert_allclose(model.scores(histories(train)), by_hand(train, 0.7) @ b, atol=1e-5)


def test_ease_takes_the_smaller_side():
    wide, tall = log([[0, 1, 2, 3], [4, 5]]), log([[0, 1], [1, 0], [0], [1]])
    assert Ease(wide, N).model.by_user
    assert not Ease(tall, N).model.by_user


def test_ease_beyond_its_limit_models_popular_items():
    train = log([[0, 1], [0, 1], [0, 1, 5], [0, 1]])
    model = Ease(train, N, limit=2)
    assert model.items.tolist() == [0, 1]
    assert not model.scores(histories(train))[:, 2:].any()


@settings(max_examples=40, deadline=None)
@given(baskets, st.sampled_from([0.0, 0.5]))
def test_itemknn_follows_its_formula(lists, power):
    train = log(lists)
    x = user_item_matrix(train, N).toarray().astype(float)
    both, bought = x.T @ x, x.sum(axis=0)
    similarity = np.zeros((N, N))
    for i in range(N):
        for j in range(N):
            if i != j and both[i, j]:
                similarity[i, j] = both[i, j] / np.sqrt(bought[i] * bought[j]) * both[i, j] / (both[i, j] + 10)
    scores = ItemKNN(train, N, decay=0.6, power=power).scores(histories(train))
    np.testing.assert_allclose(scores, by_hand(train, 0.6) @ similarity * bought**power, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(baskets)
def test_a_model_with_other_options_is_the_one_fitted_with_them(lists):
    train = log(lists)
    for model, own in ((ItemKNN, {"shrink": 3.0}), (Ease, {"penalty": 3.0})):
        fitted = model(train, N, **own, decay=0.9, power=0.5)
        retuned = model(train, N, **own).with_options(0.9, 0.5)
        np.testing.assert_array_equal(retuned.scores(histories(train)), fitted.scores(histories(train)))
        assert retuned.detail == fitted.detail


@pytest.mark.parametrize("model", [ItemKNN, Ease])
def test_co_occurring_items_are_found(model):
    clubs = [[0, 1, 2, 3], [4, 5, 6, 7]]
    rng = np.random.default_rng(0)
    train = log([rng.permutation(clubs[user % 2])[:3].tolist() for user in range(40)])
    for line, frame in zip(model(train, N).scores(histories(train)), histories(train), strict=True):
        missing = set(clubs[int(frame["row"].iloc[0] >= 4)]) - set(frame["row"])
        line[frame["row"]] = -np.inf
        assert int(np.argmax(line)) in missing


@pytest.mark.parametrize("model", [ItemKNN, Ease])
def test_the_latest_event_weighs_most(model):
    train = log([[0, 1]] * 10 + [[2, 3]] * 10 + [[0, 2]])
    (line,) = model(train, N).scores(histories(train)[-1:])
    assert line[3] > line[1] > 0


def test_items_of_one_basket_have_equal_weight():
    train = events([("a", 0, 0), ("a", 1, 3), ("a", 2, 3), ("a", 0, 9)])
    assert decayed_histories(histories(train), N, 0.5).toarray()[0, :3].tolist() == [1.0, 0.5, 0.5]


def test_popularity_counts_events_by_kind():
    train = events([("a", 0, 0), ("a", 0, 1), ("b", 1, 0), ("b", 2, 0, "view_item"), ("b", 1, 2, "refund")])
    assert Popularity(train, 4).counts.tolist() == [10, 5, 1, 0]


def test_recent_popularity_counts_the_last_days():
    train = events([("a", 0, 0), ("a", 1, 11), ("b", 2, 40)])
    assert Popularity(train, 3, days=30).counts.tolist() == [0, 5, 5]


@pytest.mark.parametrize("model", [ItemKNN, Ease])
def test_negative_events_alone_give_no_ranking(model):
    train = events([("a", 0, 0, "refund"), ("b", 1, 0), ("b", 2, 1)])
    assert not model(train, N).scores(histories(train)[:1]).any()
    assert not model(events([("a", 0, 0, "refund")]), N).scores(histories(train)).any()


def test_own_frequency_counts_the_users_events_by_age_then_the_popular():
    train = events([("a", 0, 0), ("a", 0, 10), ("a", 1, 20), ("a", 2, 20, "refund"), ("b", 3, 0), ("c", 3, 0)])
    scores = OwnFrequency(train, 5, half_life=10).scores(histories(train)[:1])[0]
    assert scores[:2] == pytest.approx([5 * (0.25 + 0.5), 5])
    assert scores[1] > scores[0] > scores[3] > scores[2] == scores[4] == 0
