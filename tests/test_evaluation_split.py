"""Splits by time and by user, and the queries of a split."""

from datetime import datetime

import numpy as np
import pandas as pd
from evaluation_events import events

from recommender.evaluation import split
from recommender.evaluation.queries import Queries, warm_items


def test_events_at_the_split_date_are_held_out():
    parts = split.at(events([("a", 0, 0), ("a", 1, 5), ("a", 2, 6)]), datetime(2024, 1, 6))
    assert parts.train.frame["row"].tolist() == [0]
    assert parts.test.frame["row"].tolist() == [1, 2]


def test_a_window_ends_before_its_last_day():
    parts = split.at(events([("a", row, row) for row in range(10)]), datetime(2024, 1, 4), days=3)
    assert parts.test.frame["row"].tolist() == [3, 4, 5]


def test_rolling_splits_are_the_last_covered_months_of_the_anchor():
    daily = events([("a", 0, day) for day in range(366)])  # 2024-01-01 to 2024-12-31
    cuts = [parts.date for parts in split.rolling(daily, datetime(2024, 6, 22), splits=3, days=31)]
    # 31 days from 22 November end on 23 December; from 22 December, in January 2025: not covered
    assert cuts == [datetime(2024, 9, 22), datetime(2024, 10, 22), datetime(2024, 11, 22)]


def test_rolling_splits_stop_where_the_events_begin():
    daily = events([("a", 0, day) for day in range(80)])
    cuts = [parts.date for parts in split.rolling(daily, datetime(2024, 1, 10), splits=6, days=31)]
    assert cuts == [datetime(2024, 1, 10), datetime(2024, 2, 10)]


def test_leave_last_out_takes_one_event_of_each_user():
    log = events([("a", 0, 0), ("a", 1, 1), ("a", 2, 2), ("b", 3, 0), ("c", 4, 0), ("c", 5, 1)])
    test, valid = split.leave_last_out(log), split.leave_last_out(log, back=2)
    assert test.test.frame["row"].tolist() == [2, 5]
    assert test.train.frame["row"].tolist() == [0, 1, 4]
    assert valid.test.frame["row"].tolist() == [1]
    assert valid.train.frame["row"].tolist() == [0]


def test_relevant_items_are_held_out_and_new_to_the_user():
    train = events([("a", 0, 0), ("a", 1, 1, "view_item"), ("b", 2, 0), ("z", 2, 0)])
    test = events([("a", 0, 9), ("a", 3, 9), ("a", 3, 10), ("a", 4, 9, "refund"), ("b", 2, 9), ("new", 5, 9)])
    queries = Queries.of(train, test, n=6)
    assert queries.user_ids.tolist() == ["a"]  # b chose nothing new, z nothing, new has no past
    assert queries.relevant.toarray().tolist() == [[False, False, False, True, False, False]]
    assert queries.seen.toarray().tolist() == [[True, True, False, False, False, False]]
    assert queries.histories[0]["weight"].tolist() == [5.0, 1.0]


def test_cold_items_have_no_training_events():
    train = events([("a", 0, 0), ("b", 1, 0, "refund")])
    assert warm_items(train, 3).tolist() == [True, False, False]
    queries = Queries.of(train, events([("a", 1, 9), ("a", 2, 9)]), n=3)
    cold = queries.relevant_among(~warm_items(train, 3))
    assert cold.nnz == 2
    assert queries.relevant_among(warm_items(train, 3)).nnz == 0


def test_a_sample_of_users_keeps_rows_aligned():
    train = events([(f"u{user}", user, 0) for user in range(30)])
    test = events([(f"u{user}", (user + 1) % 30, 9) for user in range(30)])
    queries = Queries.of(train, test, n=30, limit=7)
    users = [int(user[1:]) for user in queries.user_ids]
    assert len(queries) == len(set(users)) == 7
    assert [history["row"].tolist() for history in queries.histories] == [[row] for row in users]
    assert queries.relevant.indices.tolist() == [(row + 1) % 30 for row in users]
    assert isinstance(queries.histories[0], pd.DataFrame)
    assert np.array_equal(queries.seen.indices, users)


def test_the_history_is_included_or_masked():
    past = events([("a", 0, 0), ("a", 1, 1), ("b", 2, 0)])
    future = events([("a", 0, 9), ("a", 5, 9), ("b", 2, 9)])
    new, every = (Queries.of(past, future, 6, include_history=whole) for whole in (False, True))
    assert new.user_ids.tolist() == ["a"]  # all that b chooses was chosen before
    assert [each.indices.tolist() for each in (new.seen, new.relevant)] == [[0, 1], [5]]
    assert every.user_ids.tolist() == ["a", "b"]
    assert [each.indices.tolist() for each in (every.seen, every.relevant)] == [[], [0, 5, 2]]
    assert every[np.array([1])].include_history
