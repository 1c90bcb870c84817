"""Weights of complementary products: what held-out baskets tell of pairs, similarity and popularity."""

from dataclasses import replace

import numpy as np
import pandas as pd
from segments import make_segment

from recommender.catalog import Catalog, Interactions
from recommender.core.blocks import Layout, Rows, unit
from recommender.core.scoring import Scorer
from recommender.core.segment import Segment
from recommender.core.weights import COMPLEMENTARY, complementary_weights
from recommender.events import EVENT_WEIGHTS
from recommender.towers.user import UserTower
from training.cooccurrence.complements import complements
from training.cooccurrence.tables import CooccurrenceTables
from training.tuning.complementary_items import tune_for_complements
from training.tuning.search import default_hyperparameters
from training.tuning.weights import TunedWeights

LAYOUT = Layout({"image": 8, "text": 8})
LOOKS, PER_LOOK = 20, 8
N = LOOKS * PER_LOOK
LOOK = np.arange(N) // PER_LOOK
TOWER = UserTower(EVENT_WEIGHTS)


def baskets(pairs: Rows, day: int) -> Interactions:
    """Purchases of two products each."""
    catalog = Catalog.from_frame(pd.DataFrame({"id": [f"p{row:03}" for row in range(N)], "title": "t"}))
    columns = {
        "user_id": np.repeat([f"u{day}-{number}" for number in range(len(pairs))], 2),
        "item_id": [catalog.ids[row] for row in pairs.ravel()],
        "timestamp": pd.Timestamp("2026-01-01") + pd.to_timedelta(day, "D"),
    }
    return Interactions.from_frame(pd.DataFrame(columns).assign(event_name="purchase"), catalog)


def shop(earlier: Interactions) -> Segment:
    """Products whose image vectors tell their look, with the complements of earlier baskets."""
    generator = np.random.default_rng(0)
    near = generator.normal(size=(LOOKS, 8))[LOOK] + 0.4 * generator.normal(size=(N, 8))
    vectors = np.concatenate([unit(near), unit(generator.normal(size=(N, 8)))], axis=1).astype(np.float32)
    segment = replace(make_segment(0, N, LAYOUT), vectors=vectors)
    tables = CooccurrenceTables.of(segment, earlier)
    return replace(segment, complements=complements(segment, tables.counts, tables.normalized))


def tuned(segment: Segment, later: Interactions) -> dict[str, TunedWeights]:
    users = default_hyperparameters(segment, TOWER, {}).weights["user"].weights
    return tune_for_complements(segment, TOWER, later, {"user": users}, 0)


def drawn(seed: int, step: int, count: int = 400) -> Rows:
    """Pairs of a random product and one of the look `step` further."""
    generator = np.random.default_rng(seed)
    first = generator.integers(0, N - step * PER_LOOK, count)
    second = (LOOK[first] + step) * PER_LOOK + generator.integers(0, PER_LOOK, count)
    pairs = np.stack([first, second], axis=1)
    return pairs[first != second]


def recall(segment: Segment, weights: dict[str, float], pairs: Rows) -> float:
    """Return the share of the second products that are among the ten best of the first."""
    scorer = Scorer(segment.vectors, segment.prior, LAYOUT, weights)
    hits = []
    for first, second in pairs:
        line = scorer.estimate([segment.item_query(int(first)).with_table(segment.complements)])[0]
        line[first] = -np.inf
        hits.append(second in np.argsort(-line)[:10])
    return float(np.mean(hits))


def test_where_baskets_hold_similar_products_similarity_counts() -> None:
    segment = shop(baskets(drawn(0, 0, 40), 0))
    (weights,) = tuned(segment, baskets(drawn(1, 0), 1)).values()
    start = complementary_weights({"user": {"image": 0.5, "text": 0.5, "cooccurrence": 8.0, "prior": 0.4}})
    assert weights.weights["image"] > 0.6
    found = recall(segment, weights.weights, drawn(2, 0, 100))
    assert found > recall(segment, dict(start), drawn(2, 0, 100)) + 0.1


def test_where_they_hold_pairs_of_other_looks_the_pairs_decide() -> None:
    segment = shop(baskets(drawn(0, 1), 0))
    users = {"image": 0.5, "text": 0.5, "cooccurrence": 8.0, "prior": 0.4}
    kinds = {"user": users} | {kind: one.weights for kind, one in tuned(segment, baskets(drawn(1, 1), 1)).items()}
    weights = dict(complementary_weights(kinds))
    held_out = drawn(2, 1, 100)
    pairs_alone = {"image": 0.0, "text": 0.0, "cooccurrence": 1.0, "prior": 0.0}
    assert recall(segment, weights, held_out) > recall(segment, pairs_alone, held_out) - 0.05
    similar = {"image": 0.5, "text": 0.5, "cooccurrence": 0.0, "prior": 0.0}
    assert recall(segment, weights, held_out) > recall(segment, similar, held_out) + 0.2


def test_few_baskets_change_nothing() -> None:
    segment = shop(baskets(drawn(0, 1), 0))
    assert tuned(segment, baskets(drawn(1, 1, 5), 1)) == {}


def test_a_bundle_without_weights_for_complements_ranks_by_pairs() -> None:
    users = {"image": 1.0, "cooccurrence": 8.0, "prior": 0.4}
    weights = complementary_weights({"user": users})
    assert weights["cooccurrence"] == 1.0 > 100 * max(weights["image"], weights["prior"])
    assert complementary_weights({"user": users, COMPLEMENTARY: users}) == users
