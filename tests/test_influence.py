"""One user's influence: what is popular and bought together is the shop's, whatever a bot does."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.catalog import Catalog, Interactions
from recommender.catalog.influence import bound_influence
from training.cooccurrence.pairs import count_pairs, normalize_counts
from training.prior import PriorShape

N = 40
CATALOG = Catalog.from_frame(pd.DataFrame({"id": [f"P{row:02}" for row in range(N)]}))
START = pd.Timestamp("2025-03-01")


def shop(users=60, each=6):
    """Users who mostly stay with one of four kinds; low rows are more popular."""
    draw = np.random.default_rng(3)
    user = np.repeat(np.arange(users), each)
    rows = (draw.geometric(0.3, len(user)).clip(max=10) - 1) * 4 + user % 4
    return pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in user],
            "item_id": [CATALOG.ids[row] for row in rows],
            "event_name": draw.choice(["view_item", "purchase"], len(user), p=[0.7, 0.3]),
            "timestamp": START + pd.to_timedelta(draw.permutation(len(user)), "h"),
        }
    )


def bot(rows, name="view_item", user="bot"):
    """Events of one user, a second apart, at the end of the shop's."""
    times = START + pd.Timedelta(days=15) + pd.to_timedelta(np.arange(len(rows)), "s")
    ids = [CATALOG.ids[row] for row in rows]
    return pd.DataFrame({"user_id": user, "item_id": ids, "event_name": name, "timestamp": times})


def read(*frames):
    return bound_influence(Interactions.from_frame(pd.concat(frames), CATALOG))


def popular(interactions):
    return PriorShape(30.0).fit(interactions, N)[0]


def partners(interactions):
    return normalize_counts(count_pairs(interactions, N), interactions).toarray()


SHOP = shop()
CLEAN = read(SHOP)
BOTS = {
    "one product": np.full(10_000, 39),
    "all products in turn": np.arange(10_000) % N,
    "all products at random": np.random.default_rng(0).integers(0, N, 10_000),
    "two products": np.arange(10_000) % 2 + 38,
}


def test_an_ordinary_shop_is_as_before():
    assert len(CLEAN) == len(SHOP)
    assert not CLEAN.report.counts


@pytest.mark.parametrize("rows", BOTS.values(), ids=BOTS.keys())
@pytest.mark.parametrize("name", ["view_item", "purchase"])
def test_a_bot_decides_neither_what_is_popular_nor_what_goes_together(rows, name):
    raw, found = Interactions.from_frame(pd.concat([SHOP, bot(rows, name)]), CATALOG), read(SHOP, bot(rows, name))
    best = np.argsort(-popular(CLEAN), kind="stable")[:4]
    assert set(np.argsort(-popular(found))[:4]) == set(best)
    before, after = (np.abs(popular(each) - popular(CLEAN)).max() for each in (raw, found))
    assert after < 0.5 < before
    own, bounded = partners(CLEAN), partners(found)
    for row in best:
        assert own[row, np.argmax(bounded[row])] > 0.5 * own[row].max()
    problem = found.report.problems[0]
    assert (problem.kind, problem.severity, problem.id) == ("bounded user", "warning", "bot")
    assert "has 10,000 events" in problem.message
    assert (found.frame["user_id"] != "bot").sum() == len(SHOP)


def test_the_latest_events_count():
    frame = read(SHOP, bot([*[39] * 5_000, 38, 37])).frame
    own = frame[frame["user_id"] == "bot"]
    assert own["item_id"].tolist()[-2:] == ["P38", "P37"]
    assert own["timestamp"].is_monotonic_increasing


def test_wholesalers_of_a_shop_of_wholesalers_stay():
    draw = np.random.default_rng(1)
    sizes = np.exp(draw.normal(3.5, 1.3, 400)).astype(int) + 1  # as at a gift wholesaler, most 41, some thousands
    rows = draw.integers(0, N, sizes.sum())
    sales = pd.DataFrame({"user_id": np.repeat(np.arange(400), sizes), "item_id": [CATALOG.ids[r] for r in rows]})
    sales = sales.assign(event_name="purchase", timestamp=START)
    found = read(sales)
    assert len(found) == len(sales)


def test_customers_stay_among_many_anonymous_sessions():
    sessions = pd.DataFrame({"session_id": [f"s{n}" for n in range(3_000)], "user_id": "", "item_id": "P01"})
    sessions = sessions.assign(event_name="view_item", timestamp=START)
    found = read(SHOP.assign(session_id=""), sessions, bot([3] * 60, user="u1").assign(session_id=""))
    assert (found.frame["user_id"].str[0] == "u").sum() < len(SHOP) + 60  # compared with customers
    assert (found.frame["user_id"].str[0] == "s").sum() == 3_000


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 19), st.integers(0, 3_000))
def test_too_few_users_have_no_distribution(users, events):
    frame = pd.concat([shop(users), bot([0] * events)])
    if len(frame) and users < 19:
        assert len(read(frame)) == len(frame)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, N - 1), st.integers(1, 400)), max_size=6))
def test_no_user_of_the_shop_loses_events_to_a_bot(runs):
    rows = [row for row, count in runs for _ in range(count)]
    frame = read(SHOP, bot(rows)).frame
    assert (frame["user_id"] != "bot").sum() == len(SHOP)
    counts = frame.loc[frame["user_id"] == "bot", "item_id"].value_counts()
    assert counts.max() <= 60 if len(counts) else not rows
