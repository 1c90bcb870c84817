"""What training counts and learns from events, on shops small enough to know the answer."""

import numpy as np
import pandas as pd
import pytest

from recommender.catalog import Catalog, Interactions
from tests.segments import make_segment
from training.behaviour import fit_behaviour
from training.category import train_category
from training.choices import item_cases, user_cases
from training.cooccurrence import HALF_LIFE_DAYS, SHRINK, fit_cooccurrence
from training.model import groups_of
from training.pairs import pairs_of
from training.prior import PriorShape
from training.weights import equal

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2026-01-01")


def catalog(n: int, **columns: list) -> Catalog:
    return Catalog.from_frame(pd.DataFrame({"id": [f"p{i:03}" for i in range(n)], "title": "t", **columns}))


def interactions(shop: Catalog, *events: tuple[str, int, float], name: str = "purchase") -> Interactions:
    """Events as (user, row, day)."""
    frame = pd.DataFrame(
        [(user, shop.ids[row], name, START + day * DAY) for user, row, day in events],
        columns=["user_id", "item_id", "event_name", "timestamp"],
    )
    return Interactions.from_frame(frame, shop)


def test_pairs_stay_within_a_user_and_know_their_distance() -> None:
    shop = catalog(4)
    pairs = pairs_of(interactions(shop, ("a", 0, 0), ("a", 1, 2), ("a", 0, 3), ("b", 3, 0), ("b", 2, 10)))
    found = sorted(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.days.tolist(), strict=True))
    assert found == [(0, 1, 2.0), (1, 0, 1.0), (3, 2, 10.0)]
    assert len(pairs_of(interactions(shop, ("a", 0, 0)))) == 0


def test_dismissed_products_pair_with_nothing() -> None:
    shop = catalog(3)
    assert len(pairs_of(interactions(shop, ("a", 0, 0), ("a", 1, 1), name="dismiss"))) == 0


def test_cooccurrence_is_the_shrunk_cosine_of_nearness() -> None:
    shop = catalog(3)
    events = interactions(shop, ("a", 0, 0), ("a", 1, HALF_LIFE_DAYS), ("b", 0, 0), ("c", 2, 0))
    table = fit_cooccurrence(events, pairs_of(events), 3)
    columns, values = table.row(0)
    assert columns.tolist() == [1]
    assert values[0] == pytest.approx(0.5 / (np.sqrt(2 * 1) + SHRINK))
    assert table.row(1)[0].tolist() == [0]
    assert not len(table.row(2)[0])


def test_the_prior_counts_lately_more() -> None:
    shop = catalog(3)
    events = interactions(shop, ("a", 0, 0), ("b", 0, 0), ("c", 1, 60), ("d", 1, 60))
    prior, stated = PriorShape(half_life_days=30.0).fit(events, 3)
    assert prior[1] == 1.0 > prior[0] > prior[2] == 0.0
    assert prior[0] == pytest.approx(np.log1p(2.5) / np.log1p(10))  # four half as two, weight 5 each
    assert stated["as_of"].startswith("2026-03-02")


def test_behaviour_brings_together_what_the_same_people_choose() -> None:
    shop = catalog(20)
    generator = np.random.default_rng(0)
    events = [
        (f"u{user}", int(row), float(day))
        for user in range(200)
        for day, row in enumerate(generator.choice(np.arange(9) + 9 * (user % 2), 4, replace=False))
    ]
    vectors, counts = fit_behaviour(interactions(shop, *events), 20, seed=0)
    similar = vectors @ vectors.T
    assert similar[:9, :9].mean() > similar[:9, 9:18].mean() + 0.3
    assert not vectors[18:].any()
    assert counts[:18].min() > 0 == counts[18:].max()


def test_category_embeddings_follow_their_values() -> None:
    kinds = [["red", "blue", "green"][i % 3] for i in range(60)]
    shapes = [["round", "square"][i % 2] for i in range(60)]
    shop = catalog(60, color=kinds, pattern=shapes)
    embedding = train_category(shop, None, None, seed=0)
    assert embedding is not None
    vectors, known = embedding.vectors({"color": kinds, "pattern": shapes})
    similar = vectors @ vectors.T
    same = (np.array(kinds)[:, None] == kinds).astype(int) + (np.array(shapes)[:, None] == shapes)
    assert known.all()
    assert similar[same == 2].min() > 0.99
    assert similar[same == 1].mean() > similar[same == 0].mean() + 0.2
    half, _ = embedding.vectors({"color": ["red"], "pattern": [""]})
    assert (half @ vectors.T)[0, np.array(kinds) == "red"].mean() > 0.3


def test_columns_of_one_value_teach_nothing() -> None:
    assert train_category(catalog(10), None, None, seed=0) is None


def test_groups_are_the_shops_and_never_meet_an_id() -> None:
    shop = catalog(4, item_group_id=["g", "", "g", "p001"])
    groups = groups_of(shop)
    assert groups[0] == groups[2]
    assert len(set(groups.tolist())) == 3


def test_later_choices_leave_out_what_was_known() -> None:
    shop = catalog(5)
    early = interactions(shop, ("a", 0, 0), ("b", 1, 0))
    late = interactions(shop, ("a", 0, 9), ("a", 2, 9), ("b", 1, 9), ("c", 3, 9))
    cases = user_cases(early, late, seed=0)
    assert [(case.steps.rows.tolist(), case.chosen.tolist(), case.struck.tolist()) for case in cases] == [
        ([0], [2], [0])
    ]


def test_item_cases_leave_out_variants() -> None:
    segment = make_segment(0, 6)
    shop = catalog(6)
    events = interactions(shop, *[("a", row, float(row)) for row in range(6)])
    for case in item_cases(segment, pairs_of(events), seed=0):
        own = segment.groups[case.steps.rows[0]]
        assert own not in segment.groups[case.chosen]
        assert set(case.struck.tolist()) == set(np.flatnonzero(segment.groups == own).tolist())


def test_equal_weights_leave_behaviour_out_unless_it_is_all_there_is() -> None:
    assert equal(("image", "text", "behaviour"), events=False) == {"image": 0.5, "text": 0.5, "behaviour": 0.0}
    assert equal(("behaviour",), events=True) == {"behaviour": 1.0, "cooccurrence": 0.1, "prior": 0.01}
