"""What tuning finds in planted shops: recent popularity, a table that knows more, a term that decides alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recommender.catalog import Catalog, Interactions
from recommender.core.blocks import Double
from recommender.core.cooccurrence import Cooccurrence
from recommender.events import EVENT_WEIGHTS
from recommender.towers.user import UserTower
from tests.segments import make_segment
from training.cooccurrence import autoencoder
from training.cooccurrence.autoencoder import autoencoder_table
from training.cooccurrence.tables import CooccurrenceTables, Mixture
from training.prior import CURVES, PopularityEvents, PriorShape
from training.tuning.held_out import HeldOutTerms, user_cases
from training.tuning.parts import never_worse
from training.tuning.search import Hyperparameters, TuningData, UserTuning, default_hyperparameters, tune
from training.tuning.weights import TunedWeights, alone, default_weights, soft_recalls, tune_weights

START = pd.Timestamp("2026-01-01")
TERMS = ("image", "text", "cooccurrence", "prior")


def shop_of(n: int, events: list[tuple[int, int, int]]) -> Interactions:
    """Purchases as (user, row, day)."""
    catalog = Catalog.from_frame(pd.DataFrame({"id": [f"p{row:03}" for row in range(n)], "title": "t"}))
    names = [
        (f"u{user:03}", f"p{row:03}", "purchase", START + pd.Timedelta(days=day)) for user, row, day in events
    ]
    columns = ["user_id", "item_id", "event_name", "timestamp"]
    return Interactions.from_frame(pd.DataFrame(names, columns=columns), catalog)


def tuned(
    events: Interactions, day: int, n: int, **tables: sparse.csr_array
) -> tuple[TuningData, Hyperparameters]:
    """Tune a shop of random vectors on its events from a day on."""
    moment = (START + pd.Timedelta(days=day)).to_pydatetime()
    nothing = sparse.csr_array((n, n))
    names = ("counts", "normalized", "similarity", "autoencoder")
    all_tables = CooccurrenceTables(**{name: tables.get(name, nothing) for name in names})
    empty = Cooccurrence.empty(n)
    segment = replace(make_segment(0, n), cooccurrence=empty, prior=np.zeros(n, np.float32))
    data = TuningData(segment, all_tables, events.before(moment), events.since(moment))
    initial = default_hyperparameters(segment, UserTower(EVENT_WEIGHTS), similar={})
    return data, tune(data, initial, user_cases(data.earlier, data.later, seed=0), seed=0)


@pytest.mark.parametrize("decay", [(0.8, 90.0), (1.0, float("inf")), (0.4, 30.0)])
def test_histories_are_queried_in_tuning_as_in_serving(decay: tuple[float, float]) -> None:
    generator = np.random.default_rng(1)
    events = [(user, int(row), int(day)) for user in range(40) for row, day in generator.integers(0, 40, (6, 2))]
    data, _ = tuned(shop_of(40, events), 24, 40)
    tower = UserTower(EVENT_WEIGHTS, *decay)
    cases = user_cases(data.earlier, data.later, seed=0)
    tuning = UserTuning(data, tower, cases, seed=0)
    histories = tuning._histories(tower)
    queries = [tower.query(case.steps, data.segment) for case in cases]
    for attention, vector, query in zip(
        np.split(histories.data, histories.indptr[1:-1]), tuning._query_vectors(histories), queries, strict=True
    ):
        np.testing.assert_allclose(attention, query.attention, atol=1e-12)
        np.testing.assert_allclose(vector, query.vector, atol=1e-6)


def test_recent_popularity_is_found_where_it_decides() -> None:
    generator = np.random.default_rng(0)
    events = []
    for day in range(36):  # ten products are in fashion for sixteen days, from day 20 on others
        fashion = 10 * ((day + 12) // 16)
        for user in generator.choice(60, 12, replace=False).tolist():
            row = fashion + generator.integers(0, 10) if generator.random() < 0.8 else generator.integers(0, 100)
            events.append((user, int(row), day))
    _, found = tuned(shop_of(100, events), 24, 100)
    user = found.weights["user"]
    assert found.prior.half_life_days <= 3.0
    assert user.soft_recalls.mean() > user.parts["prior"] - user.soft_recalls.std() / len(user.soft_recalls) ** 0.5
    assert user.weights["prior"] > 3 * default_weights(TERMS, events=True)["prior"]


def test_a_table_that_knows_more_than_neighbours_gets_its_share() -> None:
    generator = np.random.default_rng(1)
    n = 60
    follows = generator.permutation(n)
    events = []
    for user in range(150):
        row = int(generator.integers(0, n))
        events += [(user, row, user % 20), (user, int(follows[row]), 20 + user % 20)]
    chance = sparse.random_array((n, n), density=0.1, rng=generator, format="csr")
    truth = sparse.csr_array((np.ones(n), (np.arange(n), follows)), shape=(n, n))
    data, found = tuned(shop_of(n, events), 20, n, normalized=chance, autoencoder=truth)
    assert found.mixture.autoencoder > found.mixture.cooccurrence
    table = data.tables.mixed(found.mixture)
    assert all(table.row(row)[0][table.row(row)[1].argmax()] == follows[row] for row in range(n))
    assert found.weights["user"].soft_recalls.mean() > 0.8
    assert set(found.weights["user"].weights) == {*data.segment.layout.names, "cooccurrence", "prior"}


@pytest.mark.parametrize(("chosen", "sharpness"), [("a little like both", 2.0), ("much like one", 8.0)])
def test_the_sharpness_of_the_similarity_is_found(chosen: str, sharpness: float) -> None:
    groups, events = 15, []
    cosines = np.zeros((4 * groups, 4 * groups))
    for first in range(0, 4 * groups, 4):  # two products, one a little like both, one much like the first
        cosines[[first, first + 1], first + 2] = 0.6
        cosines[first, first + 3] = 0.75
    for user in range(150):
        first = 4 * (user % groups)
        target = first + (2 if chosen == "a little like both" else 3)
        events += [(user, first, 1), (user, first + 1, 1), (user, target, 20 + user % 20)]
    n = len(cosines)
    _, found = tuned(shop_of(n, events), 20, n, similarity=sparse.csr_array(cosines))
    assert found.mixture.sharpness == sharpness
    assert found.weights["user"].soft_recalls.mean() > 0.95


def noise_and(term: str, queries: int = 120) -> HeldOutTerms:
    """Targets that one term alone decides."""
    generator = np.random.default_rng(2)
    features = generator.normal(size=(queries, 60, 4)).astype(np.float32)
    decided = features[:, :, TERMS.index(term)]
    targets = decided == decided.max(axis=1, keepdims=True)
    ones = np.ones(60, np.float32)
    terms = dict(zip(TERMS, np.moveaxis(features, 2, 0), strict=True))
    return HeldOutTerms(np.arange(60, dtype=np.int32), terms, targets | True, ones, targets)


@pytest.mark.parametrize("term", TERMS)
def test_the_hybrid_is_level_with_a_term_that_is_best_alone(term: str) -> None:
    held_out = noise_and(term)
    found = never_worse(held_out, tune_weights(held_out, seed=0))
    weights = np.array([[found.weights[name] for name in TERMS]])
    assert soft_recalls(held_out, weights).mean() > 0.95
    assert found.parts[term] == max(found.parts.values()) > 0.95


def test_weights_behind_a_part_are_replaced_by_it_and_it_is_told() -> None:
    held_out = noise_and("prior")
    poor = default_weights(TERMS, events=True) | {"prior": 0.0}
    behind = TunedWeights(poor, soft_recalls(held_out, np.array([[*poor.values()]]))[:, 0])
    found = never_worse(held_out, behind)
    assert found.part == found.metrics()["part"] == "prior"
    assert found.weights == dict(zip(TERMS, alone(TERMS)[3].tolist(), strict=True))
    ahead = TunedWeights(found.weights, found.soft_recalls)
    assert never_worse(held_out, ahead).weights == ahead.weights
    assert never_worse(held_out, ahead).part is None


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("half_life", [1.0, 30.0, 365.0])
def test_every_shape_of_the_prior_orders_products_by_their_decayed_counts(curve: str, half_life: float) -> None:
    generator = np.random.default_rng(3)
    events = shop_of(9, [(i, int(generator.integers(0, 8)), int(generator.integers(0, 90))) for i in range(60)])
    prior, description = PriorShape(half_life, curve).fit(events, 9)
    counts = PopularityEvents.of(events).counts(half_life, 9)
    assert (np.diff(prior[np.argsort(counts, kind="stable")]) >= 0).all()
    assert prior.max() == 1.0
    assert prior[8] == prior.min() == 0.0
    assert description["half_life_days"] == half_life


def dense_autoencoder(events: Interactions, n: int, items: np.ndarray) -> Double:
    """EASE by its formula over some of the products."""
    x = np.zeros((events.frame["user_id"].nunique(), n))
    x[pd.factorize(events.frame["user_id"])[0], events.frame["row"]] = 1.0
    x = x[:, items]
    inverse = np.linalg.inv(x.T @ x + autoencoder.PENALTY * np.eye(len(items)))
    weights = np.zeros((n, n))
    weights[np.ix_(items, items)] = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


@pytest.mark.parametrize(("users", "limit"), [(12, 100), (300, 100), (300, 7)])
def test_the_autoencoder_is_ease_over_the_most_popular_products(
    users: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder, "MAX_MODELLED", limit)
    monkeypatch.setattr(autoencoder, "MAX_PARTNERS", 5)
    generator = np.random.default_rng(4)
    n, events = 25, []
    for user in range(users):
        cluster = 6 * int(generator.integers(0, 4))
        events += [(user, cluster + int(row), 0) for row in generator.choice(6, 3, replace=False)]
    shop = shop_of(n, events)
    found = autoencoder_table(shop, n).toarray()
    known = np.bincount(shop.frame["row"], minlength=n)
    items = np.sort(np.argsort(-known, kind="stable")[: min(limit, (known > 0).sum())])
    wanted = dense_autoencoder(shop, n, items).clip(min=0.0)
    wanted = np.where(wanted >= -np.sort(-wanted, axis=1)[:, [4]], wanted, 0.0)
    np.testing.assert_allclose(found, wanted / wanted.max(), atol=1e-4)


def test_a_shop_of_single_purchases_has_no_autoencoder() -> None:
    assert autoencoder_table(shop_of(3, [(0, 1, 0), (1, 1, 0)]), 3).nnz == 0


def test_the_mixture_of_weighted_tables_is_their_weighted_sum() -> None:
    generator = np.random.default_rng(5)
    parts = [sparse.random_array((8, 8), density=0.4, rng=generator, format="csr") for _ in range(3)]
    tables = CooccurrenceTables(parts[0], *parts)
    mixture, weight = Mixture.of({"cooccurrence": 3.0, "similarity": 0.5, "autoencoder": 1.5}, 2.0)
    table = tables.mixed(mixture)
    dense = np.zeros((8, 8))
    for row in range(8):
        dense[row, table.row(row)[0]] = table.row(row)[1]
    cosines = parts[1].toarray()
    similar = np.where(cosines > 0, np.exp(2.0 * (cosines - 1.0)), 0.0)
    wanted = 3.0 * parts[0].toarray() + 0.5 * similar + 1.5 * parts[2].toarray()
    np.testing.assert_allclose(weight * dense, wanted, atol=1e-6)
    assert Mixture.of(dict.fromkeys(("cooccurrence", "similarity", "autoencoder"), 0.0), 2.0)[1] == 0.0
