"""Towers: the exported numpy form agrees with the training, and missing blocks are imputed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.core.blocks import Layout, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.scoring import Scorer
from recommender.events import EVENT_WEIGHTS, Steps, as_events, as_steps
from recommender.ranking.explanation import by_seed
from recommender.towers.behaviour import BehaviourPredictor
from recommender.towers.category import CategoryEmbedding, ColumnVocabulary, bag
from recommender.towers.content import ContentBlock
from recommender.towers.item import ItemInputs, ItemTower
from recommender.towers.predictor import BlockPredictor
from recommender.towers.user import UserTower, weighted_query
from recommender.towers.words import WordVocabulary
from tests.segments import TERMS, make_segment
from training.item_tower.train import fit_content, fit_imputation

VOCABULARIES = (
    ColumnVocabulary("brand", 0, values=("Acme", "Bolt")),
    ColumnVocabulary("price", 3, knots=(10.0, 20.0, 40.0)),
)
EMBEDDING = CategoryEmbedding(VOCABULARIES, np.eye(7, dtype=np.float32), np.zeros(7, dtype=np.float32))


def steps(*names: str, days: tuple[float, ...] | None = None) -> Steps:
    count = len(names)
    times = np.array(days if days is not None else range(count)) * 86_400.0
    return Steps(np.arange(count, dtype=np.int32), list(names), times, np.full(count, np.nan))


def test_cells_are_looked_up_and_unseen_values_are_unknown() -> None:
    bags = bag(VOCABULARIES, {"brand": ["Bolt", "?", ["Acme", "Bolt"]], "price": [20.0, None, 15.0]})
    found = [
        {int(e): float(w) for e, w in zip(entries, weights, strict=True)}
        for entries, weights in zip(
            np.split(bags.entries, bags.starts[1:]), np.split(bags.weights, bags.starts[1:]), strict=True
        )
    ]
    assert found == [{2: 1.0, 5: 1.0}, {0: 1.0, 3: 1.0}, {1: 0.5, 2: 0.5, 4: 0.5, 5: 0.5}]


def test_numbers_outside_the_training_range_take_the_nearest_knot() -> None:
    vectors, _ = EMBEDDING.vectors({"price": [-5.0, 10.0, 99.0, 40.0]})
    assert np.allclose(vectors[0], vectors[1])
    assert np.allclose(vectors[2], vectors[3])


def test_an_item_without_attributes_has_no_category_block() -> None:
    vectors, known = EMBEDDING.vectors({"brand": ["never seen", "Acme"], "price": [float("nan")] * 2})
    assert known.tolist() == [False, True]
    assert not vectors[0].any()
    assert np.linalg.norm(vectors[1]) == pytest.approx(1.0)


def test_content_blocks_are_centred_and_of_norm_one() -> None:
    generator = np.random.default_rng(0)
    encoded = (generator.normal(size=(200, 12)) + 7.0).astype(np.float32)
    projected = unit(generator.normal(size=(200, 4)) + 3.0)
    block = fit_content(encoded, np.ones(200, bool), projected, seed=0)
    vectors = block.vectors(encoded, projected)
    assert vectors.shape == (200, block.dim) == (200, 16)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert np.linalg.norm(vectors.mean(axis=0)) < 0.2  # 7 and 3 away from the origin, before


def planted(noise: float, n: int = 600) -> tuple[np.ndarray, np.ndarray, Layout]:
    """Text is a rotation of image, blurred by noise; every third item has no text."""
    generator = np.random.default_rng(1)
    layout = Layout({"image": 6, "text": 6})
    image = unit(generator.normal(size=(n, 6)))
    rotation = np.linalg.qr(generator.normal(size=(6, 6)))[0]
    text = unit(image @ rotation + noise * generator.normal(size=(n, 6)))
    vectors = np.hstack([image, text]).astype(np.float32)
    present = np.ones((n, 2), bool)
    present[::3, 1] = False
    return vectors, present, layout


@pytest.mark.parametrize(("noise", "least", "most"), [(0.0, 0.97, 1.0), (0.5, 0.4, 0.9), (50.0, 0.0, 0.3)])
def test_the_norm_of_a_predicted_block_is_its_confidence(noise: float, least: float, most: float) -> None:
    vectors, present, layout = planted(noise)
    known = vectors.copy()
    known[~present[:, 1], 6:] = 0.0
    predictor = fit_imputation(known, present, layout)
    filled = predictor.fill(known, present)
    norms = np.linalg.norm(filled[::3, 6:], axis=1)
    assert least <= norms.mean() <= most
    assert norms.max() <= 1.0 + 1e-6
    assert (filled[present[:, 1]] == vectors[present[:, 1]]).all()
    if noise == 0.0:
        assert (filled[::3, 6:] * vectors[::3, 6:]).sum(axis=1).min() > 0.95


def test_an_item_tower_round_trips(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    encoded = generator.normal(size=(50, 6)).astype(np.float32)
    layout = Layout({"image": 6, "category": 7})
    content = {"image": fit_content(encoded, np.ones(50, bool), None, seed=0)}
    tower = ItemTower(layout, content, None, EMBEDDING, BlockPredictor({}, layout))
    inputs = ItemInputs(encoded, np.arange(50) % 2 == 0, None, np.zeros(50, bool), {"brand": ["Acme", ""] * 25})
    own, present = tower.present_blocks(inputs)
    tower = ItemTower(layout, content, None, EMBEDDING, fit_imputation(own, present, layout))
    tower.save(tmp_path)
    again = ItemTower.open(lambda file: tmp_path / file, [path.name for path in tmp_path.iterdir()], layout)
    assert (again.blocks(inputs)[0] == tower.blocks(inputs)[0]).all()


@pytest.mark.parametrize("words", [None, WordVocabulary(3, ("oak", "elm"), np.array([1.0, 2.0], np.float32))])
def test_a_behaviour_predictor_round_trips(tmp_path: Path, words: WordVocabulary | None) -> None:
    generator = np.random.default_rng(2)
    rows = 3 if words is None else 3 + words.size
    shapes = ((4, 5), (rows, 5))
    matrix, table = (generator.normal(scale=0.1, size=shape).astype(np.float32) for shape in shapes)
    predictor = BehaviourPredictor(matrix, table, words)
    predictor.save(tmp_path)
    again = BehaviourPredictor.open(lambda file: tmp_path / file, [path.name for path in tmp_path.iterdir()])
    vectors, layout = generator.normal(size=(2, 4)).astype(np.float32), Layout({"text": 4})
    brand = [ColumnVocabulary("brand", 0, ("Acme", "Bolt"))]
    given = (vectors, layout, brand, {"brand": ["Acme", ""]}, [["oak", "elm", "oak"], []])
    assert (again.predict(*given) == predictor.predict(*given)).all()
    expected = vectors @ matrix + table[[1, 0]]
    if words is not None:
        expected[0] += table[4] / 3 + table[5] * 2 / 3
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(predictor.predict(*given), expected / np.maximum(length, 1), rtol=1e-4)


def test_attention_sums_to_one_and_decays() -> None:
    tower = UserTower(EVENT_WEIGHTS, position_decay=0.5, half_life_days=10.0)
    attention = tower.attention(steps("view_item", "view_item", "view_item", days=(0.0, 10.0, 10.0)))
    assert attention == pytest.approx(np.array([0.25, 1.0, 1.0]) / 2.25)


def test_a_dismissed_product_has_negative_attention() -> None:
    attention = UserTower(EVENT_WEIGHTS).attention(steps("purchase", "dismiss"))
    assert attention[0] > 0 > attention[1]
    assert np.abs(attention).sum() == pytest.approx(1.0)


def test_events_without_weight_have_no_attention() -> None:
    assert not UserTower(EVENT_WEIGHTS).attention(steps("view_item_list", "view_item_list")).any()
    assert UserTower(EVENT_WEIGHTS).attention(steps()).shape == (0,)


@given(st.integers(0, 1_000), st.lists(st.integers(0, 29), min_size=1, max_size=8))
def test_a_query_is_the_weighted_sum_of_its_seeds(seed: int, rows: list[int]) -> None:
    segment = make_segment(seed, 30)
    attention = np.random.default_rng(seed).dirichlet(np.ones(len(rows)))
    query = weighted_query(segment, np.array(rows, np.int32), attention)
    block_scales = np.repeat(query.block_scales, [*segment.layout.dims.values()])
    assert np.allclose(query.vector, block_scales * (attention @ segment.vectors[rows]), atol=1e-5)
    for place in segment.layout.slices.values():
        lengths = np.linalg.norm(segment.vectors[rows, place], axis=1)
        found = np.linalg.norm(query.vector[place])
        assert found == pytest.approx(attention @ lengths, abs=1e-5) or found < 2e-3
    dense = np.zeros(30)
    for row, weight in zip(rows, attention, strict=True):
        columns, values = segment.cooccurrence.row(row)
        dense[columns] += weight * values
    assert np.allclose(dense[query.cooccurrence_rows], query.cooccurrence)
    assert np.count_nonzero(dense) <= len(query.cooccurrence_rows)


@given(st.integers(0, 1_000), st.lists(st.integers(0, 29), min_size=1, max_size=6), st.integers(0, 29))
def test_every_term_splits_exactly_by_seed(seed: int, rows: list[int], row: int) -> None:
    segment = make_segment(seed, 30)
    weights = dict.fromkeys(TERMS, 0.25)
    query = weighted_query(
        segment, np.array(rows, np.int32), np.random.default_rng(seed).dirichlet(np.ones(len(rows)))
    )
    scorer = Scorer(segment.vectors, segment.prior, segment.layout, weights)
    explained = np.array([row, 29 - row, row], np.int32)
    parts = dict(zip(scorer.terms, scorer.parts(query, explained).T, strict=True))
    for term in TERMS[:-1]:
        split = by_seed(scorer, segment, query, explained, term)
        assert split.shape == (3, len(rows))
        assert split.sum(axis=1) == pytest.approx(parts[term], abs=1e-6)


def test_a_shop_without_events_has_an_empty_table() -> None:
    columns, sums = Cooccurrence.empty(4).combine(np.array([1, 2], np.int32), np.array([0.5, 0.5]))
    assert len(columns) == len(sums) == 0


def test_the_user_tower_round_trips_json() -> None:
    tower = UserTower({"purchase": 5.0}, 0.8, float("inf"))
    assert UserTower.from_dict(tower.to_dict()) == tower


def test_histories_are_read_in_every_form_oldest_first() -> None:
    frame_like = [
        {"item_id": "b", "event_name": "purchase", "timestamp": "2026-01-02T00:00:00Z"},
        {"item_id": "a", "event_name": "view_item", "timestamp": "2026-01-01T00:00:00"},
        {"item_id": "gone", "event_name": "view_item", "timestamp": "2026-01-03"},
    ]
    events = as_events(frame_like)
    read = as_steps(events, [1, 0, -1])
    assert read.rows.tolist() == [0, 1]
    assert read.names == ["view_item", "purchase"]


def test_an_image_query_fills_the_text_block_by_the_projection() -> None:
    block = ContentBlock(np.zeros(3, np.float32), np.eye(3, dtype=np.float32), np.zeros(2, np.float32), 0.5)
    filled = block.from_other(None, np.array([[0.0, 2.0]], np.float32), np.zeros(2, np.float32))
    assert filled.tolist() == [[0.0, 0.0, 0.0, 0.0, 1.0]]


@pytest.mark.parametrize("n", [40, 4000])  # many entries by products, and few
def test_combined_rows_of_c_are_their_weighted_sum(n: int) -> None:
    generator = np.random.default_rng(0)
    indices = np.concatenate([np.sort(generator.choice(n, 20, replace=False)) for _ in range(n)]).astype(np.int32)
    values = generator.random(20 * n).astype(np.float32)
    table = Cooccurrence(np.arange(0, 20 * n + 1, 20), indices, values)
    rows, attention = generator.integers(0, n, 10).astype(np.int32), generator.normal(size=10)
    columns, sums = table.combine(rows, attention)
    expected: dict[int, float] = {}
    for row, weight in zip(rows.tolist(), attention.tolist(), strict=True):
        for cell in range(20 * row, 20 * row + 20):
            expected[int(indices[cell])] = expected.get(int(indices[cell]), 0.0) + weight * float(values[cell])
    assert columns.tolist() == sorted(expected)
    np.testing.assert_allclose(sums, [expected[column] for column in sorted(expected)], rtol=1e-12)
