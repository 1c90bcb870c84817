"""The profile of a user: attributes as a term of the score, in the bundle, in answers, and in training."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommender
from recommender import Recommender
from recommender.catalog import Catalog, Interactions, Users
from recommender.config import Config
from recommender.core.blocks import Layout, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.errors import RequestError
from recommender.stores import Store
from recommender.towers.category import ColumnVocabulary
from recommender.towers.profile import ProfileTower
from recommender.towers.user import UserTower
from tests.made_bundles import draw_product, publish_products
from tests.segments import LAYOUT
from training.cooccurrence.tables import CooccurrenceTables
from training.fit import _read_interactions as read_interactions
from training.profile.fit import ProfileFit, ProfileShape
from training.profile.tune import tune_profile
from training.tuning.held_out import user_cases
from training.tuning.search import TuningData, default_hyperparameters

SEGMENT = ColumnVocabulary("segment", 0, values=("private", "trade"))
AGE = ColumnVocabulary("age", 3, knots=(20.0, 40.0, 60.0))
HOUR = ColumnVocabulary("hour", 7, values=("evening", "morning"))
UNKNOWN = [0, 3, 7]
PRODUCTS = 40


def make_tower(events: float = float("inf")) -> ProfileTower:
    table = np.random.default_rng(3).normal(size=(10, LAYOUT.d)).astype(np.float32)
    table[UNKNOWN] = 0.0
    return ProfileTower((SEGMENT, AGE), (HOUR,), table, events)


@pytest.fixture(scope="module")
def recs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recommender, Recommender]:
    """The same products with a profile tower, and without."""
    generator = np.random.default_rng(0)
    ids = [f"P{i:02}" for i in range(PRODUCTS)]
    products = [draw_product(generator, item_id, ids[:i]) for i, item_id in enumerate(ids)]
    folder = tmp_path_factory.mktemp("profile")
    publish_products(folder / "with", products, profile=make_tower())
    publish_products(folder / "without", products)
    return recommender.load(folder / "with"), recommender.load(folder / "without")


def test_a_profile_is_the_sum_of_the_vectors_of_known_values() -> None:
    tower = make_tower()
    table = tower.table
    profile = tower.vector({"segment": "trade", "age": 35, "hat": "big"}, {"hour": "evening"})
    assert profile == pytest.approx(table[2] + 0.25 * table[4] + 0.75 * table[5] + table[8], abs=1e-6)
    assert tower.vector({"age": "99"}) == pytest.approx(table[6])  # the last knot
    assert tower.vector({"segment": ["trade", "private"]}) == pytest.approx((table[1] + table[2]) / 2)


@pytest.mark.parametrize(
    "user", [None, {}, {"segment": "other"}, {"age": "old"}, {"age": None}, {"age": float("nan")}]
)
def test_unknown_values_say_nothing(user: Mapping[str, Any] | None) -> None:
    assert make_tower().vector(user, {"hour": 7}) is None


def test_a_profile_counts_half_after_so_many_events() -> None:
    tower = make_tower(events=4.0)
    new, known = tower.vector({"segment": "trade"}), tower.vector({"segment": "trade"}, events=4)
    assert new is not None
    assert known == pytest.approx(new / 2)


HISTORIES = st.lists(st.integers(0, PRODUCTS - 1), max_size=4)
USERS = st.fixed_dictionaries(
    {},
    optional={
        "segment": st.sampled_from(["trade", "private", "?"]),
        "age": st.sampled_from([18, 47.5, "31", None]),
    },
)


def ids_of(rows: list[int]) -> list[str]:
    return [f"P{row:02}" for row in rows]


@settings(max_examples=30)
@given(rows=HISTORIES, user=st.sampled_from([None, {}, {"hat": "big"}, {"segment": "?", "age": "x"}]))
def test_answers_without_known_attributes_are_those_without_a_profile(
    recs: tuple[Recommender, Recommender], rows: list[int], user: Mapping[str, Any] | None
) -> None:
    with_profile, without = (rec.recommend(ids_of(rows), 8, user=user if rec is recs[0] else None) for rec in recs)
    assert [(item.item_id, item.score) for item in with_profile] == [(i.item_id, i.score) for i in without]
    assert (with_profile.strategy, with_profile.fallback_used) == (without.strategy, without.fallback_used)


@settings(max_examples=30)
@given(rows=HISTORIES, user=USERS, plan=st.sampled_from(["exact", "annoy"]))
def test_scores_are_the_sum_of_their_parts_on_every_plan(
    recs: tuple[Recommender, Recommender], rows: list[int], user: Mapping[str, Any], plan: Any
) -> None:
    rec = recs[0]
    answer = rec.recommend(ids_of(rows), PRODUCTS, user=user, plan=plan, variants="all", explain=True)
    profile = rec.user_tower.profile.vector(user, None, len(rows))  # type: ignore[union-attr]
    for item in answer:
        assert item.parts is not None
        assert item.score == pytest.approx(sum(item.parts.values()), abs=1e-9)
        if answer.strategy == "for_you":
            vector = rec.segment.vectors[rec.attributes.row_of(item.item_id)]
            expected = 0.0 if profile is None else 0.5 * float(vector @ profile)
            assert item.parts["profile"] == pytest.approx(expected, abs=1e-5)
    assert [item.score for item in answer] == sorted((item.score for item in answer), reverse=True)
    table = rec.recommend_many([ids_of(rows)], PRODUCTS, users=[user], plan=plan, variants="all")
    assert table.item_ids[0][: len(answer)].tolist() == [item.item_id for item in answer]


def test_a_user_without_a_history_is_answered_by_attributes(recs: tuple[Recommender, Recommender]) -> None:
    rec = recs[0]
    trade = rec.recommend(user={"segment": "trade"}, explain=True)
    private = rec.recommend(user={"segment": "private"})
    assert (trade.strategy, trade.fallback_used) == ("for_you", None)
    assert [item.item_id for item in trade] != [item.item_id for item in private]
    assert {reason.code for item in trade for reason in item.reasons or ()} >= {"your_profile"}
    assert any(item.text == "Popular with customers like you" for item in trade)
    assert rec.recommend(user={"segment": "?"}).fallback_used == "popular"
    assert rec.recommend(user={"segment": "trade"}, strategy="session").fallback_used == "popular"


def test_attributes_that_nothing_was_learned_from_are_named(recs: tuple[Recommender, Recommender]) -> None:
    with_profile, without = recs
    answer = with_profile.recommend(["P01"], user={"sgement": "trade"}, context={"device": "phone"})
    assert answer.warnings == ("attributes that this bundle did not learn from: user.sgement, context.device",)
    assert without.recommend(["P01"], user={"age": 3}).warnings != ()
    assert with_profile.recommend(["P01"], user={"age": 3}).warnings == ()


@pytest.mark.parametrize("user", ["trade", {"age": {"years": 3}}, {"age": [[3]]}])
def test_attributes_of_another_form_are_refused(recs: tuple[Recommender, Recommender], user: Any) -> None:
    with pytest.raises(RequestError, match="expected"):
        recs[0].recommend(["P01"], user=user)


def test_explain_knows_the_user(recs: tuple[Recommender, Recommender]) -> None:
    (status,) = recs[0].explain(["P05"], ["P01", "P02"], user={"segment": "trade"})
    assert status.recommendation is not None
    assert status.recommendation.parts is not None
    assert status.recommendation.parts["profile"] != 0.0


# Training

KINDS, PER_KIND = 4, 15  # of products


def planted(
    generator: np.random.Generator, users: int = 500, preferred: bool = True
) -> tuple[Segment, Interactions]:
    """Return products of four kinds, and users whose segments choose mostly one kind each."""
    n, kinds = KINDS * PER_KIND, np.arange(KINDS * PER_KIND) % KINDS
    layout = Layout({"category": 6})
    vectors = unit(generator.normal(size=(KINDS, 6))[kinds] + 0.2 * generator.normal(size=(n, 6)))
    empty = Cooccurrence.empty(n)
    segment = Segment(
        vectors.astype(np.float32),
        np.ones((n, 1), bool),
        np.zeros(n, np.float32),
        np.arange(n, dtype=np.int32),
        None,
        empty,
        empty,
        layout,
    )
    segments = generator.integers(KINDS, size=users)
    chances = np.where(kinds == segments[:, None], 6.0, 1.0) if preferred else np.ones((users, n))
    lines = [
        (f"u{user}", f"p{item:02}", datetime(2026, 1, 1) + timedelta(days=int(day)), "purchase")
        for user, chance in enumerate(chances)
        for item, day in zip(
            generator.choice(n, 4, replace=False, p=chance / chance.sum()), 100 * generator.random(4), strict=True
        )
    ]
    catalog = Catalog.from_frame(pd.DataFrame({"id": [f"p{i:02}" for i in range(n)], "title": "thing"}))
    attributes = pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in range(users)],
            "segment": [f"s{s}" for s in segments],
            "age": generator.integers(18, 80, users),
            "club": [f"club {user}" if user < 30 else "none" for user in range(users)],
        }
    )
    events = pd.DataFrame(lines, columns=["user_id", "item_id", "timestamp", "event_name"])
    kinds_of = {"club": "category"}
    return segment, Interactions.from_frame(events, catalog).with_users(
        Users.from_frame(attributes, kinds=kinds_of)
    )


def tuned(segment: Segment, events: Interactions) -> Any:
    cut = datetime(2026, 3, 1)
    earlier, later = events.before(cut), events.since(cut)
    data = TuningData(segment, CooccurrenceTables.of(segment, earlier), earlier, later)
    initial = default_hyperparameters(segment, UserTower({"purchase": 5.0}), similar={})
    return tune_profile(data, initial, user_cases(earlier, later, 0), 0)


def test_the_planted_preference_is_learned_and_noise_is_not() -> None:
    segment, events = planted(np.random.default_rng(0))
    fit = ProfileFit.of(segment, events)
    sizes = {v.name: float(np.abs(fit.centroids[v.first : v.first + v.size]).max()) for v in fit.user}
    assert sizes["segment"] > 0.1
    assert sizes["age"] < 0.1 * sizes["segment"]
    tower = ProfileShape(3.0, float("inf")).fit(segment, events)
    assert tower is not None
    kinds = np.arange(segment.n) % KINDS
    for kind in range(KINDS):
        profile = tower.vector({"segment": f"s{kind}"})
        assert profile is not None
        best = np.argsort(-(segment.vectors @ profile))[:PER_KIND]
        assert (kinds[best] == kind).mean() > 0.9


def test_the_hour_of_choices_is_learned_where_it_says_something() -> None:
    segment, events = planted(np.random.default_rng(0), preferred=False)
    kinds = events.frame["row"].to_numpy() % KINDS
    hours = pd.to_timedelta(np.where(kinds == 0, 20, 9), unit="h")  # products of kind 0 are bought in the evening
    timed = replace(events, frame=events.frame.assign(timestamp=events.frame["timestamp"] + hours), users=None)
    assert tuned(segment, timed).profile is None  # unless the config says so
    timed = replace(timed, context=("hour",))
    found = tuned(segment, timed)
    assert found.profile is not None
    tower = found.profile.fit(segment, timed)
    assert tower is not None
    assert tower.names == {"user": (), "context": ("hour",)}
    evening = tower.vector(None, {"hour": 20})
    assert evening is not None
    best = np.argsort(-(segment.vectors @ evening))[:PER_KIND]
    assert (best % KINDS == 0).mean() > 0.9
    assert ProfileFit.of(segment, replace(events, context=("hour",))).context == ()  # of dates alone


def test_a_bundle_has_no_user_and_no_rare_value(tmp_path: Path) -> None:
    segment, events = planted(np.random.default_rng(0))
    tower = ProfileShape(3.0, float("inf")).fit(segment, events)
    assert tower is not None
    exported = json.dumps(tower.save(tmp_path))
    assert "club" not in exported  # all its values but one are of one user
    assert "u1" not in exported
    opened = ProfileTower.open(np.load(tmp_path / "profile.npy"), json.loads(exported))
    assert opened.vector({"segment": "s1", "age": 30}) == pytest.approx(tower.vector({"segment": "s1", "age": 30}))


def test_the_term_is_there_where_it_helps_and_absent_where_not(caplog: pytest.LogCaptureFixture) -> None:
    found = tuned(*planted(np.random.default_rng(0)))
    assert found.profile is not None
    assert found.weights["user"].weights["profile"] > 0
    assert "profile" not in found.weights["item"].weights
    with caplog.at_level("INFO", "recommender"):
        nothing = tuned(*planted(np.random.default_rng(1), preferred=False))
    assert nothing.profile is None
    assert "profile" not in nothing.weights["user"].weights
    assert "attributes and context of users are not used" in caplog.text


def test_fit_uses_the_attributes_of_the_store_over_those_of_the_file(store: Store, tmp_path: Path) -> None:
    products = pd.DataFrame({"id": ["A", "B"], "title": ["a", "b"]})
    events = pd.DataFrame({"user_id": ["u1", "u2"], "item_id": ["A", "B"], "timestamp": "2026-01-01"})
    catalog = Catalog.from_frame(products)
    given = Interactions.from_frame(events, catalog, event_name="purchase")
    users = Users.from_frame(pd.DataFrame({"user_id": ["u1", "u2"], "age": [30, 40]}))
    store.users.put("u2", {"age": 41})
    store.users.put("later", {"age": 7})
    url, config = f"sqlite:///{tmp_path}/shop.sqlite", Config.from_mapping({"catalog": {"path": ""}})
    read = read_interactions(config, catalog, given, users, url, strict=False, until=None)
    assert read is not None
    assert read.users is not None
    assert read.users.attributes_of(["u1", "u2"]) == [{"age": 30.0}, {"age": 41.0}]
    alone = read_interactions(config, catalog, given, None, url, strict=False, until=None)
    assert alone is not None
    assert alone.users is not None
    assert alone.users.attributes_of(["u1", "u2", "later"]) == [None, {"age": 41.0}, {"age": 7.0}]


def test_without_attributes_nothing_changes() -> None:
    segment, events = planted(np.random.default_rng(0))
    hyperparameters = tuned(segment, replace(events, users=None))
    assert list(hyperparameters.weights["user"].weights) == ["category", "cooccurrence", "prior"]
