"""A base with a delta answers as the same products published as one base do: ids, scores, order, counts."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommender
from recommender import Recommender
from recommender.bundle import open_bundle
from recommender.errors import BundleError, UnknownItemError
from recommender.evaluation.data_quality import data_quality
from recommender.evaluation.latency import latency
from recommender.pages import positions, write_map
from recommender.retrieval.kernels import walk_kernels
from recommender.retrieval.neighbour_codes import FILES
from recommender.retrieval.planner import Budget
from tests.made_bundles import KINDS, DemoProduct, draw_product, publish_products
from tests.test_bundle_crashes import kill_at
from training.update.compact import live_segment
from training.update.delta import EmbeddedProducts, publish_delta

FILTERS = [
    None,
    "price < 25",
    'brand = "Acme"',
    'tags: ANY("a") AND NOT brand = "Best"',
    'published_at >= "2026-02-01"',
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"variants": "all"},
    {"weights": {"image": 1.0}},
    {"stock": "all", "exclude": ["p05", "q1"]},
    {"boost": [{"when": 'brand = "Acme"', "add": 0.2}], "explain": True},
    {"diversity": {"mmr": 0.5, "max_per": {"brand": 2}}},
]

WIDE = Budget(64, 50, 1_000)


def embedded(products: list[DemoProduct]) -> EmbeddedProducts:
    return EmbeddedProducts(
        [product.item_id for product in products],
        np.stack([product.vector for product in products]) if products else np.zeros((0, 18), np.float32),
        np.stack([product.present for product in products]) if products else np.zeros((0, 4), bool),
        np.array([product.prior for product in products], dtype=np.float32),
        {name: [product.cells[name] for product in products] for name in KINDS},
        [f"{product.item_id} now".encode() for product in products],
    )


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


class World:
    """Products before and after some updates; `root` has a base and deltas, `oracle` the same as one base."""

    def __init__(self, folder: Path, seed: int, n: int, updates: int, budget: Budget | None = None) -> None:
        generator = np.random.default_rng(seed)
        ids = [f"p{number:02}" for number in range(n)]
        products = {item_id: draw_product(generator, item_id, ids) for item_id in ids}
        self.base = products.copy()
        publish_products(folder / "live", list(products.values()), budget)
        for _ in range(updates):
            changed, removed = self._drawn(generator, products)
            publish_delta(recommender.load(folder / "live"), embedded(changed), removed)
            products |= {product.item_id: product for product in changed}
            products = {item_id: products[item_id] for item_id in sorted(products) if item_id not in removed}
        publish_products(folder / "oracle", list(products.values()), budget)
        self.products = products
        self.live, self.oracle = recommender.load(folder / "live"), recommender.load(folder / "oracle")

    def _drawn(
        self, generator: np.random.Generator, products: dict[str, DemoProduct]
    ) -> tuple[list[DemoProduct], list[str]]:
        """Draw products to change, to add (ids that come before, between and after) and to remove."""
        known = list(products)
        some = generator.permutation(known)[: generator.integers(len(known))].tolist()
        cut = int(generator.integers(len(some) + 1))
        again = [item_id for item_id in self.base if item_id not in products]
        new = [f"{generator.choice(['a', 'p05x', 'q'])}{number}" for number in range(generator.integers(4))]
        drawn = []
        for item_id in sorted({*some[:cut], *new, *again[:1]} - {*some[cut:]}):
            fresh = draw_product(generator, item_id, [])
            taught = products.get(item_id) or self.base.get(item_id) or replace(fresh, partners={})
            drawn.append(replace(fresh, prior=taught.prior, partners=taught.partners))
        return drawn, some[cut:]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    with TemporaryDirectory() as folder:
        return World(Path(folder), draw(st.integers(0, 10_000)), draw(st.integers(2, 24)), draw(st.integers(1, 3)))


def contents(answer: recommender.Recommendations) -> tuple:
    """Everything of an answer but which bundle gave it and how it was found."""
    items = [(item.item_id, item.score, item.parts, item.reasons) for item in answer]
    return items, answer.strategy, answer.eligible, answer.fallback_used, answer.warnings


def test_pages_and_timings_leave_out_removed_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The map layout of the base is not that of an update, and no request names a removed product."""
    products = [draw_product(np.random.default_rng(n), f"p{n:02}", []) for n in range(12)]
    publish_products(tmp_path / "live", products)
    assert positions(recommender.load(tmp_path / "live"), method="pca").shape == (12, 2)
    new = [draw_product(np.random.default_rng(n), f"q{n}", []) for n in range(3)]
    removed = [product.item_id for product in products[:9]]
    publish_delta(recommender.load(tmp_path / "live"), embedded(new), removed)
    rec = recommender.load(tmp_path / "live")
    assert positions(rec, method="pca").shape == (15, 2)
    monkeypatch.setattr("recommender.pages.map_page.sheets", lambda ids, picture: [picture(ids[0])])
    assert write_map(rec, tmp_path / "map.html", method="pca") == 6
    page = (tmp_path / "map.html").read_text()
    assert [item_id in page for item_id in ("p00", "p08", "p09", "q0")] == [False, False, True, True]
    assert data_quality(rec).products == 6
    assert latency(rec).similar.p50_ms > 0


@pytest.mark.search
@settings(max_examples=30, deadline=None)
@given(worlds(), st.data())
def test_every_request_equals_a_rebuild(world: World, data: st.DataObject) -> None:
    live, oracle = world.live, world.oracle
    assert live.ids == oracle.ids == sorted(world.products)
    assert len(live) == len(oracle)
    for options in OPTIONS:
        request = options | {"filter": data.draw(st.sampled_from(FILTERS))}
        k = data.draw(st.sampled_from([1, 3, 10, 50]))
        seed, other = data.draw(st.sampled_from(live.ids)), data.draw(st.sampled_from(live.ids))
        assert answers(live, seed, other, k, request) == answers(oracle, seed, other, k, request)


def answers(rec: Recommender, seed: str, other: str, k: int, options: Any) -> list[tuple]:
    """Make every kind of request."""
    history = [seed, "unknown", other]
    return [
        contents(rec.similar(seed, k, **options)),
        contents(rec.recommend(history, k, **options)),
        contents(rec.recommend([seed], k, strategy="complementary", **options)),
        contents(rec.recommend(k=k, strategy="popular", **options)),
        contents(rec.recommend(k=k, strategy="new", **options)),
    ]


@pytest.mark.search
@settings(max_examples=20, deadline=None)
@given(worlds(), st.sampled_from(FILTERS), st.sampled_from(["collapse", "all"]))
def test_batches_equal_a_rebuild(world: World, filter: str | None, variants: Any) -> None:
    histories = [[item_id] for item_id in world.live.ids]
    for request in (
        lambda rec: rec.similar_many(None, 5, filter=filter, variants=variants),
        lambda rec: rec.recommend_many(histories, 5, filter=filter, variants=variants),
    ):
        live, oracle = request(world.live), request(world.oracle)
        assert live.item_ids.tolist() == oracle.item_ids.tolist()
        np.testing.assert_array_equal(live.scores, oracle.scores)


@pytest.mark.search
@settings(max_examples=20, deadline=None)
@given(worlds())
def test_the_neighbour_table_is_a_prefix_of_the_exact_ranking(world: World) -> None:
    rec = world.live
    for item_id in rec.ids:
        table = rec.segment.neighbours[rec.attributes.row_of(item_id)]
        listed = rec.attributes.ids.ids_of(table[table >= 0])
        exact = rec.similar(item_id, 100, plan="exact", variants="all", stock="all")
        assert listed == exact.item_ids[: len(listed)]


@settings(max_examples=20, deadline=None)
@given(worlds())
def test_products_have_their_current_attributes(world: World) -> None:
    codes, brands = world.live.attributes.codes("brand"), world.live.attributes.categories("brand")
    starts, tags = world.live.attributes.multi("tags")
    for item_id in {*world.base, *world.products, "a1"}:
        assert (item_id in world.live) == (item_id in world.products)
        if item_id in world.products:
            product, row = world.live.product(item_id), world.live.attributes.row_of(item_id)
            assert product == world.oracle.product(item_id)
            assert product["brand"] == (brands[codes[row]] if codes[row] >= 0 else None)
            assert len(product["tags"] or []) == len(tags[starts[row] : starts[row + 1]])
            changed = world.products[item_id] is not world.base.get(item_id)
            assert world.live.thumbnail(item_id) == (f"{item_id} now" if changed else item_id).encode()
        else:
            with pytest.raises(UnknownItemError):
                world.live.similar(item_id)


@pytest.mark.search
@settings(max_examples=20, deadline=None)
@given(worlds())
def test_compaction_changes_no_result(world: World) -> None:
    live, compacted = live_segment(world.live), world.oracle.segment
    for name in ("vectors", "present", "prior"):
        np.testing.assert_array_equal(getattr(live, name), getattr(compacted, name))
    for row in range(live.n):
        np.testing.assert_array_equal(live.cooccurrence.row(row), compacted.cooccurrence.row(row))
        assert live.variants(row).tolist() == compacted.variants(row).tolist()


@pytest.mark.search
def test_a_graph_walk_finds_added_and_no_removed_products(tmp_path: Path) -> None:
    check_walks(World(tmp_path, seed=3, n=99, updates=2, budget=WIDE))


@pytest.mark.search
@pytest.mark.skipif(walk_kernels() is None, reason="without numba or AVX2 neither has one-bit codes")
@pytest.mark.parametrize(
    ("part", "modules"), [("base", ("retrieval.graph", "retrieval.index")), ("delta", ("update.delta",))]
)
def test_a_part_written_without_avx2_lies_over_or_under_one_with_one_bit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, modules: tuple[str, ...]
) -> None:
    for module in modules:
        monkeypatch.setattr(f"training.{module}.walk_kernels", lambda: None)
    world = World(tmp_path, seed=3, n=99, updates=2, budget=WIDE)
    bundle = open_bundle(tmp_path / "live")
    assert bundle.has("base", FILES[0]) == (part == "delta")
    assert not bundle.has("delta", FILES[0])
    check_walks(world)


def check_walks(world: World) -> None:
    """Compare walks over base and delta with scans of the oracle."""
    changed = set(world.products) - set(world.base)
    found: set[str] = set()
    for item_id in world.live.ids:
        for filter in (None, "price < 25"):
            options: dict[str, Any] = {"variants": "all", "stock": "all", "filter": filter}
            best = world.live.similar(item_id, 10, plan="annoy", **options)
            found |= set(best.item_ids)
            exact = world.oracle.similar(item_id, 100, plan="exact", **options)
            scores = {each.item_id: each.score for each in exact}
            assert len(best) == min(10, len(exact))
            assert [scores[each.item_id] for each in best] == [each.score for each in best]
            missed = [e for e in exact if e.item_id in changed and e.item_id not in best.item_ids]
            assert all(each.score <= best[-1].score for each in missed)
    assert changed & found


def test_a_concurrent_publication_is_not_overwritten(tmp_path: Path) -> None:
    World(tmp_path, seed=1, n=8, updates=0)
    early = recommender.load(tmp_path / "live")
    drawn = draw_product(np.random.default_rng(0), "p01", [])
    now = publish_delta(recommender.load(tmp_path / "live"), embedded([drawn]))
    with pytest.raises(BundleError, match="published meanwhile"):
        publish_delta(early, embedded([]), ["p02"])
    assert recommender.load(tmp_path / "live").generation == now


def test_a_delta_does_not_change_the_base_files(tmp_path: Path) -> None:
    World(tmp_path, seed=1, n=30, updates=0)
    before = {path: path.read_bytes() for path in (tmp_path / "live" / "parts").rglob("*") if path.is_file()}
    drawn = draw_product(np.random.default_rng(0), "zz", [])
    publish_delta(recommender.load(tmp_path / "live"), embedded([drawn]), ["p02"])
    rec = recommender.load(tmp_path / "live")
    rec.similar("zz")
    assert all(path.read_bytes() == content for path, content in before.items())


def killed_updates(folder: Path) -> list[bool]:
    """Kill an update at every 17th step that touches the disk; say after each whether its change is there."""
    removed, *others = World(folder / "before", seed=1, n=12, updates=1).live.ids
    drawn = embedded([draw_product(np.random.default_rng(0), "zz", [])])
    outcomes, step, killed = [], 0, True
    while killed:
        root = shutil.copytree(folder / "before" / "live", folder / str(step))
        killed = kill_at(step, lambda root=root: publish_delta(recommender.load(root), drawn, [removed]))
        rec = Recommender(open_bundle(root, verify=True))
        assert ("zz" in rec) != (removed in rec)
        assert len(rec.similar(others[0], 3, stock="all", variants="all")) == 3
        outcomes.append("zz" in rec)
        step += 17
    return outcomes


def test_an_update_killed_at_any_step_leaves_the_old_or_new_generation(tmp_path: Path) -> None:
    code = f"from tests.test_delta import *; print(json.dumps(killed_updates(Path({str(tmp_path)!r}))))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, timeout=120, check=True
    )
    outcomes = json.loads(ran.stdout)
    assert outcomes == sorted(outcomes)
    assert outcomes.count(False) > 5
    assert outcomes[-1]
