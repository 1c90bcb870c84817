"""The walk by one-bit codes: estimates, entry points and recall, for one block and for weighted ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.core.blocks import Layout
from recommender.core.scoring import Query, Scorer
from recommender.core.weights import resolve
from recommender.retrieval.codes import Codes
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.kernels import walk_kernels
from recommender.retrieval.neighbour_codes import NeighbourCodes, random_rotation
from recommender.retrieval.planner import Budget, Planner, RowQuery
from recommender.towers.user import weighted_query
from tests.segments import LAYOUT, TERMS, indexed, make_segment

pytestmark = [
    pytest.mark.search,
    pytest.mark.skipif(walk_kernels() is None, reason="without numba or AVX2 there is no such walk"),
]
LEARNED = resolve(dict.fromkeys(TERMS, 0.5) | {"prior": 0.1}, {"image": 0.5})
DIMS = st.sampled_from([5, 64, 96, 130, 256])


def estimates(vectors: np.ndarray, query: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return estimates of <q, v - u> of all pairs of node 0 and another, the int8 vectors, and D."""
    loops = walk_kernels()
    assert loops is not None
    n, d = vectors.shape
    scale = np.abs(vectors).max() / 127
    codes = np.zeros((n, d + 2), np.int8)
    codes[:, :d] = np.rint(vectors / scale)
    layout = Layout({"image": d})
    quantized = Codes(codes, np.append(np.full(d, scale), [0, 0]), 0.0, layout)
    rotation = random_rotation(layout, {"image": 1.0}, seed)
    near = NeighbourCodes.empty(rotation, 1, 32)
    edges = np.full((1, 32), -1, np.int32)
    edges[0, : n - 1] = np.arange(1, n)
    near.encode(quantized, np.zeros(1, np.int32), edges, 0, 1)
    rotated = np.zeros(len(near.scales), np.float32)
    rotated[:d] = query
    loops.rotate(rotated, near.signs)
    tables, out = np.empty((2, len(rotated) // 8, 16), np.uint8), np.empty(32, np.float32)
    step, start = loops.look_up_tables(rotated, tables)
    loops.estimate(near.codes, near.factors, 0, n - 1, tables, step, start, np.empty(16, np.uint16), out)
    return out[: n - 1], codes[:, :d] * scale, len(rotated)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), DIMS)
def test_a_rotation_keeps_inner_products(seed: int, d: int) -> None:
    loops = walk_kernels()
    assert loops is not None
    signs = random_rotation(Layout({"image": d}), {"image": 1.0}, seed)[1:]
    pair = np.zeros((2, signs.shape[1]), np.float32)
    pair[:, :d] = np.random.default_rng(seed).normal(size=(2, d))
    before = pair.astype(np.float64) @ pair.T
    for vector in pair:
        loops.rotate(vector, signs)
    np.testing.assert_allclose(pair.astype(np.float64) @ pair.T, before, rtol=1e-3, atol=1e-3 * before.max())


# The error of an estimate is about 0.76 |q| |v - u| / sqrt(D) in standard deviation (RaBitQ, theorem 3.2), and
# the tables' rounding adds little: of 31 x 40 estimates none is off by 6 times that.
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), DIMS, st.integers(2, 32))
def test_estimates_are_within_the_bound(seed: int, d: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    vectors, query = generator.normal(size=(n, d)).astype(np.float32), generator.normal(size=d).astype(np.float32)
    estimated, quantized, padded = estimates(vectors, query, seed)
    differences = quantized[1:] - quantized[0]
    bound = 6 * 0.76 * np.linalg.norm(query) * np.linalg.norm(differences, axis=1) / padded**0.5
    assert (np.abs(estimated - differences @ query) <= bound + 1e-4).all()


# Standard error of the mean of 12,400 estimates with a relative error of 0.76: 0.007.
def test_estimates_are_unbiased() -> None:
    generator, slopes = np.random.default_rng(0), []
    for seed in range(400):
        vectors = generator.normal(size=(32, 96)).astype(np.float32)
        query = generator.normal(size=96).astype(np.float32)
        estimated, quantized, padded = estimates(vectors, query, seed)
        differences = quantized[1:] - quantized[0]
        scale = np.linalg.norm(query) * np.linalg.norm(differences, axis=1) / padded**0.5
        # by the sign of the inner product: a shrunken estimate is biased, too
        slopes.append((estimated - differences @ query) * np.sign(differences @ query) / scale)
    assert abs(np.mean(slopes)) < 0.05


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> list[Planner]:
    """Three times 3,000 products with duplicates, weak blocks and a prior."""
    folders = [tmp_path_factory.mktemp("walk") for _ in range(3)]
    return [indexed(folder, make_segment(5 + i, 3_000), LEARNED, None) for i, folder in enumerate(folders)]


@pytest.mark.parametrize("weights", [LEARNED, {"text": 0.7, "prior": 0.3}, {"image": 1.0}], ids=str)
def test_a_wide_walk_finds_what_a_scan_finds(searches: list[Planner], weights: dict[str, float]) -> None:
    weights = dict.fromkeys(TERMS, 0.0) | weights
    hits = []
    for search in searches:
        segment, index = search.segment, search.index
        assert index is not None
        assert index.neighbour_codes is not None
        scorer = Scorer(segment.vectors, segment.prior, LAYOUT, weights)
        for vector in np.random.default_rng(1).normal(size=(40, LAYOUT.d)).astype(np.float32):
            rows = index.walk(scorer, query := Query.free(vector), 600, entries=64)
            assert len(set(rows.tolist())) == len(rows) <= 600
            exact = scorer.total(scorer.parts(query, np.arange(segment.n, dtype=np.int32)))
            hits.append(np.count_nonzero(exact[rows] >= np.sort(exact)[-10]) >= 10)
    assert np.mean(hits) >= 0.9


def test_a_walk_starts_at_the_products_of_a_history(searches: list[Planner]) -> None:
    hits: list[bool] = []  # without the history 81 % of 95
    for search in searches:
        segment, index = search.segment, search.index
        assert index is not None
        scorer = Scorer(segment.vectors, segment.prior, LAYOUT, LEARNED | {"cooccurrence": 0.0})
        for rows in np.random.default_rng(7).integers(0, segment.n, (40, 3)).astype(np.int32):
            history = weighted_query(segment, rows, np.ones(3) / 3)
            exact = scorer.total(scorer.parts(history, np.arange(segment.n, dtype=np.int32)))
            near = rows[exact[rows] >= np.sort(exact)[-10]]
            hits += np.isin(near, index.walk(scorer, history, 20, entries=2)).tolist()
    assert np.mean(hits) >= 0.98


def test_scores_of_a_walk_are_those_of_a_scan(searches: list[Planner]) -> None:
    search, eligibility = searches[0], Eligibility(searches[0].segment)
    scorer = Scorer(search.segment.vectors, search.segment.prior, LAYOUT, LEARNED)
    plan = replace(search, budgets=replace(search.budgets, learned=Budget(48, 32, 300)))
    for vector in np.random.default_rng(2).normal(size=(20, LAYOUT.d)).astype(np.float32):
        row_query = RowQuery(Query.free(vector), 10, np.empty(0, np.int32))
        found = plan.search(scorer, row_query, eligibility, "annoy").selection
        exact = scorer.total(scorer.parts(row_query.query, np.arange(search.segment.n, dtype=np.int32)))
        assert found.scores.tolist() == exact[found.rows].tolist()
        assert (np.diff(found.scores) <= 0).all()


def test_entry_points_are_rows_of_the_leaves(searches: list[Planner]) -> None:
    index = searches[0].index
    assert index is not None
    weighted = np.random.default_rng(3).normal(size=LAYOUT.d)
    rows = index._leaf_rows(weighted, 0.1, 12)
    assert 0 < len(rows) <= 12
    assert ((rows >= 0) & (rows < searches[0].segment.n)).all()
    # Annoy opens the same leaves first
    near = index._entries(weighted, 0.1, searches[0].segment.n, 600)
    assert np.isin(rows, near).mean() >= 0.5


def test_a_bundle_without_one_bit_codes_is_walked_by_int8_codes(searches: list[Planner], tmp_path: Path) -> None:
    search = searches[0]
    assert search.index is not None
    older = replace(search.index, neighbour_codes=None, prior=None, trees=None)
    scorer = Scorer(search.segment.vectors, search.segment.prior, LAYOUT, LEARNED)
    query = Query.free(np.random.default_rng(4).normal(size=LAYOUT.d).astype(np.float32))
    rows = older.walk(scorer, query, 600, entries=64)
    exact = scorer.total(scorer.parts(query, rows))
    assert len(rows) > 100
    assert exact[0] >= exact.mean()
