"""The graph, the int8 codes and the trees by themselves, and the index without numba."""

import os
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

from recommender.bundle import open_bundle
from recommender.config import IndexConfig
from recommender.core.blocks import Layout
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.core.weights import resolve
from recommender.filters import Subset
from recommender.retrieval import candidates
from recommender.retrieval.candidates import Index
from recommender.retrieval.codes import Codes
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.kernels import kernels
from recommender.retrieval.planner import Budget, Budgets, Planner, RowQuery
from tests.made_bundles import draw_product, publish_products
from tests.segments import LAYOUT, TERMS, indexed, make_segment
from training.retrieval.calibration import CalibrationQuery, choose_budget
from training.retrieval.index import build_index

pytestmark = pytest.mark.search
LEARNED = resolve(dict.fromkeys(TERMS, 0.5) | {"prior": 0.1}, {"image": 0.5})
needs_graph = pytest.mark.skipif(kernels() is None, reason="without numba there is no graph")


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> list[Planner]:
    """Three times 3,000 products with duplicates, and all there is to search them."""
    budget = Budget(64, 32, 300)
    folders = [tmp_path_factory.mktemp("index") for _ in range(3)]
    return [indexed(folder, make_segment(5 + i, 3_000), LEARNED, budget) for i, folder in enumerate(folders)]


@pytest.fixture(scope="module")
def search(searches: list[Planner]) -> Planner:
    """The first of them."""
    return searches[0]


def learned_scorer(search: Planner) -> Scorer:
    segment = search.segment
    return Scorer(segment.vectors, segment.prior, LAYOUT, LEARNED)


def queries(segment: Segment, count: int) -> list[Query]:
    generator = np.random.default_rng(0)
    return [Query.free(vector) for vector in generator.normal(size=(count, segment.layout.d)).astype(np.float32)]


@needs_graph
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


@needs_graph
def test_a_filtered_walk_returns_only_matching_rows(search: Planner) -> None:
    allowed = np.arange(search.segment.n) % 3 == 0
    subset = Subset(allowed, search.segment.groups)
    scorer = learned_scorer(search)
    for query in queries(search.segment, 20):
        rows = search.index.walk(scorer, query, 40, subset)
        assert len(rows) >= 40  # of 1,000, in each of 4,800 walks over 24 draws of the graph
        assert allowed[rows].all()
        assert len(set(rows.tolist())) == len(rows)


def half_by_score(search: Planner, query: Query, inside: bool) -> tuple[np.ndarray, Subset]:
    """Return the estimated scores, and a filter that keeps the half with the highest scores or the other half."""
    assert search.index is not None
    assert search.index.codes is not None
    scores = search.index.codes.estimate(search.index.codes.query(learned_scorer(search), query), None)
    return scores, Subset((scores > np.median(scores)) == inside, search.segment.groups)


# Mean recall of 60 queries, in 18 draws of the index (three builds of Annoy, two OpenBLAS kernels, three
# segments): 1 by the scan; by the walk 0.945 to 0.970 inside and 0.998 to 1 outside; without widening 0.715 to
# 0.805 inside and 0.940 to 0.978 outside. The standard error of 180 queries is 0.006 at most.
@needs_graph
@pytest.mark.parametrize("scanned", [candidates.SCAN_FACTOR, 0], ids=["scan", "wide walk"])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_a_correlated_filter_keeps_recall(
    searches: list[Planner], monkeypatch: pytest.MonkeyPatch, inside: bool, scanned: int
) -> None:
    monkeypatch.setattr(candidates, "SCAN_FACTOR", scanned)
    width, recalls, sizes = 10, [], []
    for search in searches:
        for query in queries(search.segment, 60):
            scores, subset = half_by_score(search, query, inside)
            best = np.argsort(-np.where(subset.mask, scores, -np.inf))[:10]
            found = search.index.walk(learned_scorer(search), query, width, subset)
            assert subset.mask[found].all()
            recalls.append(np.isin(best, found).mean())
            sizes.append(len(found))
    assert np.mean(recalls) >= (0.9 if inside and not scanned else 0.99)
    wide = width * (candidates.POSITIVE_FACTOR if inside else candidates.NEGATIVE_FACTOR)
    assert max(sizes) <= candidates.NEGATIVE_FACTOR * width < search.segment.n
    assert np.mean(np.array(sizes) == wide) >= 0.95


# Share of 300 walks that stay narrow, in 24 draws of the index: 0.997 to 1; of 60 walks, with a limit of one
# standard error in place of four, 0.65 to 0.87.
@needs_graph
def test_an_uncorrelated_filter_does_not_widen_the_walk(searches: list[Planner]) -> None:
    sizes = []
    for search in searches:
        half = Subset(np.random.default_rng(3).random(search.segment.n) < 0.5, search.segment.groups)
        sizes += [
            len(search.index.walk(learned_scorer(search), query, 24, half))
            for query in queries(search.segment, 60)
        ]
    assert np.mean(np.array(sizes) == 24) >= 0.97


@needs_graph
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


@needs_graph
def test_every_row_has_edges_to_other_rows(search: Planner) -> None:
    graph = search.index.graph
    assert ((graph >= -1) & (graph < len(graph))).all()
    assert not (graph == np.arange(len(graph))[:, None]).any()
    for edges in graph:
        neighbours = edges[edges >= 0]
        assert 0 < len(neighbours) == len(set(neighbours.tolist()))


@needs_graph
def test_walks_are_thread_safe(search: Planner) -> None:
    batch, scorer = queries(search.segment, 200), learned_scorer(search)
    alone = [search.index.walk(scorer, query, 30).tolist() for query in batch]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda query: search.index.walk(scorer, query, 30).tolist(), batch))
    assert together == alone


# Mean recall of 200 queries, in 24 draws of the index: 0.952 to 0.964 by the graph, 0.62 to 0.70 with the first
# four edges of each product alone. Of 60 queries, in 12 draws: 0.997 to 1 by the neighbour table, 0.742 to 0.820
# without a step over it. The standard error of the graph's 180 queries is 0.006.
@pytest.mark.parametrize(("numba", "recall"), [pytest.param(True, 0.92, marks=needs_graph), (False, 0.98)])
def test_both_walks_have_high_recall(
    searches: list[Planner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numba: bool, recall: float
) -> None:
    if not numba:
        for module in (
            "recommender.retrieval.candidates",
            "recommender.retrieval.selection",
            "training.retrieval.index",
        ):
            monkeypatch.setattr(f"{module}.kernels", lambda: None)
        searches = [indexed(tmp_path, make_segment(5, 3_000), LEARNED, Budget(64, 32, 300))]
    hits = []
    for search in searches:
        assert search.index is not None
        assert (search.index.graph is not None) == numba
        eligibility = Eligibility(search.segment, collapse=False)
        for query in queries(search.segment, 60):
            row_query = RowQuery(query, 10, np.empty(0, np.int32))
            found = search.search(learned_scorer(search), row_query, eligibility, "annoy")
            assert found.plan == ("annoy+graph" if numba else "annoy+hop")
            assert found.candidates < search.segment.n / 2
            best = search.search(learned_scorer(search), row_query, eligibility, "exact").selection.scores
            hits.append(np.mean(found.selection.scores >= best[-1]))
    assert np.mean(hits) >= recall


DAMAGED = """
import io, sys
from itertools import permutations
from pathlib import Path
import numpy as np
import recommender
from annoy import AnnoyIndex
from recommender.errors import BundleError
base, root = Path(sys.argv[1]), sys.argv[2]
NAMES = ["index.ann", "index_axes.npy", "codes.npy", "graph.npy", "neighbours.npy", "vectors.npy"]
NAMES = [name for name in NAMES if (base / name).exists()]  # without numba there are neither codes nor a graph

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


def test_damaged_files_are_an_error_not_a_crash(tmp_path: Path) -> None:
    generator, root = np.random.default_rng(0), tmp_path / "bundles"
    ids = [f"p{number:02}" for number in range(80)]
    publish_products(root, [draw_product(generator, item_id, ids) for item_id in ids])
    base, item_id = open_bundle(root).folder("base"), ids[0]
    command = [sys.executable, "-c", DAMAGED, str(base), str(root), item_id]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr


@needs_graph
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


@needs_graph
def test_a_budget_with_recall_by_chance_is_not_chosen(search: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    def recalls(planner: Planner, queries: list[CalibrationQuery], budget: Budget) -> np.ndarray:
        missed = {16: 40, 24: 19, 32: 8}.get(budget.width, 0)  # of 100 whole answers
        return np.arange(100) >= missed

    monkeypatch.setattr("training.retrieval.calibration._recalls", recalls)
    chosen, recall, curve = choose_budget(search, [[]], 0.8)
    assert (chosen.width, recall) == (32, 0.92)
    assert [point["recall"] for point in curve if point["width"]] == [0.6, 0.81, 0.92]


# Mean recall of the 60 filtered queries, in 16 draws of the index: 0.972 to 0.990; 0.920 to 0.947 with the
# narrowest walk in place of the measured one.
@needs_graph
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


@needs_graph
@given(dims=st.lists(st.integers(1, 700), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_compiled_and_numpy_terms_have_the_same_bits(dims: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    layout = Layout({f"block{position}": dim for position, dim in enumerate(dims)})
    scale = 10.0 ** generator.integers(-8, 8, layout.d)
    vectors = (generator.standard_normal((20, layout.d)) * scale).astype(np.float32)
    weights = {name: float(generator.random()) for name in layout.names}
    scorer = Scorer(vectors, np.zeros(20, np.float32), layout, weights)
    query = Query.free(generator.standard_normal(layout.d).astype(np.float32))
    rows = generator.integers(0, 20, 9).astype(np.int32)
    few = scorer.parts(query, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recommender.core.scoring.COMPILED_MIN_ROWS", 0)
        np.testing.assert_array_equal(few, scorer.parts(query, rows))
