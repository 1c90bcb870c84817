"""What is bought again: counts and ages of purchases, values by due time, and how they are learned."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.catalog import Interactions
from recommender.events import Steps
from recommender.towers.repeat import DAY, DUE_EDGES, RepeatModel
from training.repeat.fit import fit_repeat
from training.repeat.occasions import Occasions

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=100)
HALF_LIVES = np.array([30.0, 120.0])
MODEL = RepeatModel(half_life_days=30.0, latest=NOW.timestamp())


def steps(*events: tuple[int, str, float]) -> Steps:
    """Return a history of (row, name, day since `START`), oldest first."""
    ordered = sorted(events, key=lambda event: event[2])
    times = np.array([START.timestamp() + day * DAY for _, _, day in ordered], dtype=np.float64)
    rows = np.array([row for row, _, _ in ordered], dtype=np.int32)
    return Steps(rows, [name for _, name, _ in ordered], times, np.full(len(ordered), np.nan))


def test_purchases_are_counted_by_day_net_of_refunds_and_decay() -> None:
    history = steps((3, "purchase", 10), (3, "purchase", 10.1), (3, "purchase", 40), (3, "view_item", 60))
    found = MODEL.repeats(history, NOW.timestamp())
    assert (found.rows.tolist(), found.counts.tolist(), found.ages.tolist()) == ([3], [2.0], [60.0])
    assert found.values[0] == pytest.approx(np.log1p(0.5**3 + 0.5**2))
    refunded = MODEL.repeats(steps((3, "purchase", 10), (3, "purchase", 40), (3, "refund", 41)), NOW.timestamp())
    assert (refunded.counts.tolist(), refunded.ages.tolist()) == ([1.0], [90.0])
    assert not len(MODEL.repeats(steps((3, "purchase", 10), (3, "refund", 41)), NOW.timestamp()).rows)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["purchase", "view_item"]), st.integers(0, 99))),
    st.floats(0, 300),
)
def test_values_are_those_of_the_formula(events: list[tuple[int, str, float]], later: float) -> None:
    products = np.array([[7.0, 14.0, 28.0], [0.5, 1.0, 2.0]], dtype=np.float32)  # of rows 0 to 2
    model = replace(MODEL, due=tuple(np.linspace(0.1, 2.7, 14)), steepness=5.0, scale=1.5, products=products)
    now = NOW.timestamp() + later * DAY
    found = model.repeats(steps(*events), now)
    bought = {row: sorted({day for r, name, day in events if r == row and name == "purchase"}) for row in range(5)}
    assert found.rows.tolist() == [row for row, days in bought.items() if days]
    day_of_request = max(min(np.floor(100 + later), 130), max((day for _, _, day in events), default=0))
    for row, value, count, age in zip(found.rows, found.values, found.counts, found.ages, strict=True):
        days = bought[row]
        interval, rate = (products[0, row], products[1, row]) if row < 3 else (model.interval, 1.0)
        own = len(days) - 1
        logs = [np.log(max((days[-1] - days[0]) / max(own, 1), 1))] * own + [np.log(interval)] * 2
        relative = age / np.exp(np.mean(logs))
        due = model.due[int(np.searchsorted(DUE_EDGES, relative))]
        expected = sum(0.5 ** ((day_of_request - day) / 30) for day in days) * rate * due
        assert (count, age) == (len(days), pytest.approx(day_of_request - days[-1]))
        if not np.isclose(relative, DUE_EDGES).any():  # either class is right there
            assert value == pytest.approx(np.log1p(5 * expected) / 1.5)


def test_the_moment_is_no_later_than_a_month_after_all_known_events() -> None:
    history = steps((0, "purchase", 10))
    year_later = (NOW + timedelta(days=365)).timestamp()
    assert MODEL.repeats(history, year_later).ages[0] == 120.0
    assert MODEL.repeats(history, START.timestamp()).ages[0] == 0.0
    newer = steps((0, "purchase", 200))
    assert MODEL.repeats(newer, year_later).ages[0] == 30.0
    undated = Steps(history.rows, history.names, np.zeros(1), history.values)
    assert MODEL.repeats(undated, year_later).ages[0] == 0.0


def interactions(lines: list[tuple[str, int, float]]) -> Interactions:
    """Return purchases of (user, row, day since `START`)."""
    frame = pd.DataFrame(lines, columns=["user_id", "row", "day"])
    frame["timestamp"] = START.replace(tzinfo=None) + pd.to_timedelta(frame.pop("day"), unit="D")
    frame = frame.assign(item_id=frame["row"].astype(str), event_name="purchase", value=np.nan)
    frame = frame.sort_values(["user_id", "timestamp"], kind="stable", ignore_index=True)
    return Interactions(frame.astype({"row": "int32", "timestamp": "datetime64[us]"}), {"purchase": 5.0})


def staples(seed: int = 0) -> Interactions:
    """Return purchases of rows 0 and 1 every 10 and 40 days or so; of row 2 never again, of row 3 at random."""
    generator, lines = np.random.default_rng(seed), []
    for user in range(60):
        for row, interval in ((0, 10.0), (1, 40.0)):
            day = generator.uniform(0, interval)
            while day < 200:
                lines.append((f"u{user}", row, day))
                day += interval * generator.normal(1, 0.1)
        lines += [(f"u{user}", 2, generator.uniform(0, 100))]
        lines += [(f"u{user}", 3, day) for day in generator.uniform(0, 200, 5)]
    return interactions(lines)


def test_intervals_rates_and_due_times_are_found() -> None:
    events = staples()
    occasions = Occasions.of(events, HALF_LIVES, seed=0)
    model = fit_repeat(occasions, HALF_LIVES, [1.0], np.zeros(4, int), events)[1]
    intervals, rates = model.products
    assert intervals[0] == pytest.approx(10, rel=0.15)
    assert intervals[1] == pytest.approx(40, rel=0.15)
    assert rates[2] < 0.3 < rates[0]
    due = dict(zip(np.append(DUE_EDGES, np.inf), model.due, strict=True))
    assert due[2**0.5] > 5 * due[0.5]
    assert model.latest == pytest.approx(events.frame["timestamp"].max().timestamp())


def test_occasions_are_those_of_a_replay() -> None:
    events = staples(1)
    occasions = Occasions.of(events, HALF_LIVES, seed=0)
    model = RepeatModel(half_life_days=HALF_LIVES[0])
    expected = []
    for _, history in events.histories():
        days = history["timestamp"].dt.floor("D")
        for day in days.unique():
            before, basket = history[days < day], set(history.loc[days == day, "row"])
            if basket & set(before["row"]):
                dates = (days[days < day] - pd.Timestamp(START.replace(tzinfo=None))).dt.days
                known = steps(*((row, "purchase", at) for row, at in zip(before["row"], dates, strict=True)))
                found = model.repeats(known, day.tz_localize(UTC).timestamp())
                lines = zip(found.rows, found.counts, found.ages, found.values, strict=True)
                expected += [(row, n, age, row in basket, np.expm1(value)) for row, n, age, value in lines]
    columns = (occasions.rows, occasions.counts, occasions.ages, occasions.again, occasions.decayed[:, 0])
    replayed, built = np.array(expected, dtype=float).T, np.array(columns, dtype=float)
    np.testing.assert_allclose(
        built[:, np.lexsort(built.round(2))], replayed[:, np.lexsort(replayed.round(2))], rtol=0.02
    )


def test_nothing_is_said_where_nothing_is_bought_again() -> None:
    once = interactions([(f"u{user}", user % 7, day) for user in range(50) for day in (1, 1.2)])
    several = interactions([(f"u{user}", row, row) for user in range(50) for row in range(5)])
    for events in (once, several, interactions([])):
        occasions = Occasions.of(events, HALF_LIVES, seed=0)
        assert fit_repeat(occasions, HALF_LIVES, [1.0], np.zeros(7, int), events) == []
