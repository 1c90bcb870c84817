"""Complementary products, on shops small enough to know the answer."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from segments import make_segment

from recommender.core.blocks import Layout
from recommender.core.segment import Segment
from training.cooccurrence.complements import bilinear_form, complements, pair_features
from training.cooccurrence.tables import CooccurrenceTables, Mixture

# Rows 0 to 3 are lamps, 4 to 7 tables, 8 and 9 rugs; each kind has similar images, and even rows are in one style.
KIND, STYLE = [0] * 4 + [1] * 4 + [2] * 2, [0, 1] * 5


def table(n: int, *cells: tuple[int, int]) -> sparse.csr_array:
    i, j = zip(*cells, strict=True) if cells else ((), ())
    return sparse.csr_array((np.ones(len(cells)), (np.array(i, int), np.array(j, int))), shape=(n, n))


def shop(layout: Layout) -> Segment:
    vectors = np.zeros((10, layout.d), dtype=np.float32)
    vectors[range(10), KIND] = 1.0
    vectors[range(10), 3 + np.array(STYLE)] = 1.0
    return replace(make_segment(0, 10, layout), vectors=vectors)


SHOP = shop(Layout({"image": 3, "text": 2}))
# Lamps 0 and 1 were bought with tables of their style; nobody bought lamps 2 and 3, or tables 6 and 7.
COUNTS = table(10, (0, 4), (4, 0), (1, 5), (5, 1))


@pytest.fixture(autouse=True)
def few_pairs_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.cooccurrence.complements.RIDGE_PENALTY", 0.1)


def strengths(row: int, counts: sparse.csr_array = COUNTS) -> dict[int, float]:
    columns, values = complements(SHOP, counts, counts).row(row)
    return dict(zip(columns.tolist(), values.tolist(), strict=True))


def test_observed_pairs_rank_before_predicted_ones() -> None:
    of_lamp = strengths(0)
    assert of_lamp[4] == max(of_lamp.values()) > of_lamp[6] > of_lamp.get(7, 0.0)


def test_a_new_product_gets_the_complements_of_similar_products() -> None:
    of_new_lamp = strengths(2)
    others = max(of_new_lamp.get(other, 0.0) for other in (5, 7, 8, 9))
    assert of_new_lamp[4] >= of_new_lamp[6] > others, "tables of its style, though nobody bought them yet"


def test_similarity_alone_does_not_make_a_complement() -> None:
    of_new_lamp = strengths(2)
    assert max(of_new_lamp.get(lamp, 0.0) for lamp in (0, 1, 3)) < of_new_lamp[4] / 2
    similarity = table(10, (2, 0))
    assert 0 in CooccurrenceTables(COUNTS, COUNTS, similarity).mixed(Mixture()).row(2)[0], "as it is in C"


def test_without_pairs_there_are_no_complements() -> None:
    assert complements(SHOP, table(10), table(10)).indices.size == 0


def test_those_of_a_large_catalogue_are_found_by_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    all_pairs = strengths(2)
    monkeypatch.setattr("training.cooccurrence.sparse.MAX_COMPARED_ROWS", 9)
    assert strengths(2) == pytest.approx(all_pairs, rel=1e-5), "of few products it finds all"


def test_popular_complements_are_predicted_for_new_products() -> None:
    counts = table(10, *((other, 9) for other in range(9)), *((9, other) for other in range(9)))
    columns, values = complements(replace(SHOP, vectors=np.zeros_like(SHOP.vectors)), counts, counts).row(0)
    assert columns[values.argmax()] == 9


def test_negative_predictions_are_no_complements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "training.cooccurrence.complements.bilinear_form",
        lambda x, pairs, penalty: -np.eye(x.shape[1], dtype=np.float32),
    )
    assert strengths(0) == {4: 1.0}, "all that is predicted is below 0"


def test_the_bilinear_form_is_a_ridge_regression_of_the_pairs() -> None:
    generator = np.random.default_rng(1)
    pairs = sparse.csr_array(generator.random((60, 60)) * (generator.random((60, 60)) < 0.2))
    x = pair_features(make_segment(1, 60), pairs).astype(np.float64)
    hat = x @ np.linalg.inv(x.T @ x + 3.0 * np.eye(x.shape[1])) @ x.T
    np.testing.assert_allclose(x @ bilinear_form(x, pairs, 3.0) @ x.T, hat @ pairs.toarray() @ hat.T, atol=1e-5)
