"""The graph, the int8 codes and the trees by themselves, and the index without numba."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommender
from recommender.bundle import open_bundle
from recommender.config import IndexConfig
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.core.weights import resolve
from recommender.filters import Subset
from recommender.retrieval import candidates
from recommender.retrieval.candidates import Index
from recommender.retrieval.codes import Codes
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Budget, Budgets, Planner, RowQuery
from tests.segments import LAYOUT, TERMS, indexed, make_segment
from training.retrieval.calibration import CalibrationQuery, choose_budget
from training.retrieval.index import build_index

LEARNED = resolve(dict.fromkeys(TERMS, 0.5) | {"prior": 0.1}, {"image": 0.5})


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Planner:
    """3,000 products with duplicates, and all there is to search them."""
    segment = make_segment(5, 3_000)
    return indexed(tmp_path_factory.mktemp("index"), segment, LEARNED, Budget(64, 100, 3_000))


def learned_scorer(search: Planner) -> Scorer:
    segment = search.segment
    return Scorer(segment.vectors, segment.prior, LAYOUT, LEARNED)


def queries(segment: Segment, count: int) -> list[Query]:
    generator = np.random.default_rng(0)
    return [Query.free(vector) for vector in generator.normal(size=(count, segment.layout.d)).astype(np.float32)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80), st.lists(st.floats(0, 3), min_size=6, max_size=6).filter(any))
def test_quantization_error_is_within_the_slack(seed: int, n: int, values: list[float]) -> None:
    segment = make_segment(seed, n)
    weights = dict(zip(TERMS, values, strict=True)) | {"cooccurrence": 0.0}
    scorer = Scorer(segment.vectors, segment.prior, LAYOUT, weights)
    with TemporaryDirectory() as folder:
        Codes.build(Path(folder), segment.vectors, segment.prior, LAYOUT, LEARNED)
        codes = Codes.open(lambda file: np.load(Path(folder) / file), LAYOUT)
    for query in queries(segment, 3):
        exact = scorer.total(scorer.parts(query, np.arange(n, dtype=np.int32)))
        estimated = codes.estimate(codes.query(scorer, query), None)
        slack = scorer.slack(query) + codes.slack(scorer, query)
        assert np.abs(estimated - exact).max() <= slack / 2 + 1e-9


def test_a_filtered_walk_returns_only_matching_rows(search: Planner) -> None:
    allowed = np.arange(search.segment.n) % 3 == 0
    subset = Subset(allowed, search.segment.groups)
    scorer = learned_scorer(search)
    for query in queries(search.segment, 20):
        rows = search.index.walk(scorer, query, 40, subset)
        assert len(rows) >= 40
        assert allowed[rows].all()
        assert len(set(rows.tolist())) == len(rows)


@pytest.mark.parametrize("scanned", [candidates.SCAN_FACTOR, 0], ids=["scan", "wide walk"])
@pytest.mark.parametrize("like", [True, False])
def test_a_filter_correlated_with_the_query_costs_no_recall(
    search: Planner, monkeypatch: pytest.MonkeyPatch, like: bool, scanned: int
) -> None:
    monkeypatch.setattr(candidates, "SCAN_FACTOR", scanned)
    scorer, n = learned_scorer(search), search.segment.n
    for query in queries(search.segment, 20):
        scores = search.index.codes.estimate(search.index.codes.query(scorer, query), None)
        allowed = (scores > np.median(scores)) == like
        best = np.argsort(-np.where(allowed, scores, -np.inf))[:10]
        found = search.index.walk(scorer, query, 24, Subset(allowed, search.segment.groups))
        assert len(found) <= candidates.NEGATIVE_FACTOR * 24 < n
        assert allowed[found].all()
        assert np.isin(best, found).mean() >= 0.9


def test_a_filter_uncorrelated_with_the_query_does_not_widen_the_walk(search: Planner) -> None:
    half = Subset(np.random.default_rng(3).random(search.segment.n) < 0.5, search.segment.groups)
    for query in queries(search.segment, 20):
        assert len(search.index.walk(learned_scorer(search), query, 24, half)) == 24


def test_a_wide_filtered_walk_is_replaced_by_a_scan(search: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recommender.retrieval.planner.SCAN_ROWS", 0)
    half = Subset(np.random.default_rng(3).random(search.segment.n) < 0.5, search.segment.groups)
    eligibility, row_query = (
        Eligibility(search.segment, half),
        RowQuery(queries(search.segment, 1)[0], 5, np.empty(0, np.int32)),
    )
    plans = []
    for width in (2, 64):
        limited = replace(search, budgets=Budgets(filtered=Budget(width, 0, 0, entries=2)), learned=(LEARNED,))
        plans.append(limited.search(learned_scorer(search), row_query, eligibility).plan)
    assert plans == ["annoy+graph", "exact"]


def test_every_row_has_edges_to_other_rows(search: Planner) -> None:
    graph = search.index.graph
    assert ((graph >= -1) & (graph < len(graph))).all()
    assert not (graph == np.arange(len(graph))[:, None]).any()
    for edges in graph:
        neighbours = edges[edges >= 0]
        assert 0 < len(neighbours) == len(set(neighbours.tolist()))


def test_walks_are_thread_safe(search: Planner) -> None:
    batch, scorer = queries(search.segment, 200), learned_scorer(search)
    alone = [search.index.walk(scorer, query, 30).tolist() for query in batch]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda query: search.index.walk(scorer, query, 30).tolist(), batch))
    assert together == alone


@pytest.mark.parametrize("numba", [True, False])
def test_both_walks_have_high_recall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numba: bool) -> None:
    if not numba:
        for module in (
            "recommender.retrieval.candidates",
            "recommender.retrieval.selection",
            "training.retrieval.index",
        ):
            monkeypatch.setattr(f"{module}.kernels", lambda: None)
    segment = make_segment(5, 3_000)
    search = indexed(tmp_path, segment, LEARNED, Budget(64, 100, 3_000))
    assert (tmp_path / "graph.npy").exists() == numba
    scorer = Scorer(segment.vectors, segment.prior, LAYOUT, LEARNED)
    eligibility, hits = Eligibility(search.segment, collapse=False), []
    for query in queries(segment, 60):
        row_query = RowQuery(query, 10, np.empty(0, np.int32))
        found = search.search(scorer, row_query, eligibility, "annoy")
        assert found.plan == ("annoy+graph" if numba else "annoy+hop")
        assert found.candidates < segment.n / 2
        best = search.search(scorer, row_query, eligibility, "exact").selection.scores
        hits.append(np.mean(found.selection.scores >= best[-1]))
    assert np.mean(hits) >= 0.95


DAMAGED = """
import io, sys
from itertools import permutations
from pathlib import Path
import numpy as np
import recommender
from annoy import AnnoyIndex
from recommender.errors import BundleError
base, root = Path(sys.argv[1]), sys.argv[2]
NAMES = ("index.ann", "index_axes.npy", "codes.npy", "graph.npy", "neighbours.npy", "vectors.npy")

def of_the_same_bytes(name):
    if name.endswith(".npy"):  # other dims; and another type, where the file's length allows it
        array = np.load(base / name)
        for other in (array.reshape(len(array) // 2, -1), array.view(np.uint8).view(f"V{array.dtype.itemsize}")):
            buffer = io.BytesIO()
            np.save(buffer, other)
            yield buffer.getvalue()
        return
    dims = np.load(base / "index_axes.npy").shape[1] + 2
    for other in (dims - 1, 2 * dims + 3):  # the second has nodes of exactly twice the length
        forest = AnnoyIndex(other, "angular")
        for row in range(80):
            forest.add_item(row, [float(row == column) for column in range(other)])
        forest.build(1)
        forest.save("other.ann")
        size = (base / name).stat().st_size
        yield (Path("other.ann").read_bytes() * (1 + size // 1024))[-size:]

for name in NAMES:
    whole = (base / name).read_bytes()
    others = [(base / other).read_bytes() for other in NAMES if other != name]
    cut = [whole[: len(whole) // 2], whole[: len(whole) * 9 // 10], whole[:-1], b"", whole + b"0"]
    for damaged in (*cut, *others, *of_the_same_bytes(name)):
        (base / name).write_bytes(damaged)
        try:
            recommender.load(root).similar(sys.argv[3], weights={"prior": 0.5}, plan="annoy")
        except BundleError:
            continue
        finally:
            (base / name).write_bytes(whole)
        sys.exit(f"{name} of {len(damaged)} bytes was opened")
recommender.load(root).similar(sys.argv[3], weights={"prior": 0.5}, plan="annoy")
"""


def test_damaged_files_are_an_error_not_a_crash(demo_bundles: Path, tmp_path: Path) -> None:
    root = shutil.copytree(demo_bundles, tmp_path / "bundles")
    base = open_bundle(root).folder("base")
    item_id = recommender.load(root).ids[0]
    command = [sys.executable, "-c", DAMAGED, str(base), str(root), item_id]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_more_entry_points_or_the_table_walk_where_the_graph_stalls(
    search: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search.index is not None
    assert search.index.graph is not None
    cut = replace(search.index, graph=np.full_like(search.index.graph, -1))
    scorer = Scorer(search.segment.vectors, search.segment.prior, LAYOUT, LEARNED)
    rows = range(0, search.segment.n, 50)
    row_queries = [RowQuery(search.segment.item_query(row), 10, search.segment.variants(row)) for row in rows]
    eligibility = Eligibility(search.segment, None, False)
    exact = Planner(search.segment).search_many(scorer, row_queries, eligibility, "exact")
    oracle = [
        CalibrationQuery(scorer, row_query, result.selection.scores)
        for row_query, result in zip(row_queries, exact, strict=True)
    ]
    whole, _, _ = choose_budget(search, [oracle], 0.9)
    broad, recall, _ = choose_budget(replace(search, index=cut), [oracle], 0.9)
    assert whole.width > 0
    assert whole.entries < broad.entries == broad.width
    assert recall >= 0.9
    monkeypatch.setattr("training.retrieval.calibration.GRAPH_BUDGETS", [(whole.width, whole.entries)])
    stalled, recall, _ = choose_budget(replace(search, index=cut), [oracle], 0.9)
    assert stalled.width == 0
    assert recall >= 0.9


def test_a_budget_with_recall_by_chance_is_not_chosen(search: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    def recalls(planner: Planner, queries: list[CalibrationQuery], budget: Budget) -> np.ndarray:
        missed = {16: 40, 24: 19, 32: 8}.get(budget.width, 0)  # of 100 whole answers
        return np.arange(100) >= missed

    monkeypatch.setattr("training.retrieval.calibration._recalls", recalls)
    chosen, recall, curve = choose_budget(search, [[]], 0.8)
    assert (chosen.width, recall) == (32, 0.92)
    assert [point["recall"] for point in curve if point["width"]] == [0.6, 0.81, 0.92]


def test_the_build_calibrates_the_budget_of_filtered_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.retrieval.index.SCAN_ROWS", 0)
    monkeypatch.setattr("recommender.retrieval.planner.SCAN_ROWS", 0)
    monkeypatch.setattr("recommender.retrieval.planner.WALK_ROWS", 0)
    monkeypatch.setattr("recommender.retrieval.planner.ROWS_EACH", 0)
    weights = {"item": LEARNED, "user": LEARNED}
    built = build_index(tmp_path, make_segment(6, 3_000), weights, [], IndexConfig(), 0)
    filtered = Budget(**built.metrics["budgets"]["filtered"])
    assert built.metrics["curves"]["filtered"][-1]["recall"] >= 0.98
    index = Index.open(tmp_path / "index.ann", lambda file: np.load(tmp_path / file), LAYOUT, graph=True)
    search = Planner(built.segment, index, Budgets(filtered=filtered), (LEARNED,))
    scorer = Scorer(search.segment.vectors, search.segment.prior, LAYOUT, LEARNED)
    half = Subset(np.random.default_rng(1).random(search.segment.n) < 0.5, search.segment.groups)
    plans = {}
    for subset in (None, half):
        eligibility, hits = Eligibility(search.segment, subset, collapse=False), []
        for query in queries(search.segment, 60):
            row_query = RowQuery(query, 10, np.empty(0, np.int32))
            found = search.search(scorer, row_query, eligibility)
            best = search.search(scorer, row_query, eligibility, "exact").selection.scores
            hits.append(np.mean(found.selection.scores >= best[-1]))
            plans[subset is None] = found.plan
        assert np.mean(hits) >= 0.95
    assert plans == {True: "exact", False: "annoy+graph"}
