"""A base with a delta answers as the same products published as one base do: ids, scores, order, counts."""

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
from recommender.index.search import Budget
from tests.made_bundles import KINDS, Product, draw_product, publish_products
from training.delta import Embedded, publish_delta

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


def embedded(products: list[Product]) -> Embedded:
    return Embedded(
        [product.item_id for product in products],
        np.stack([product.vector for product in products]) if products else np.zeros((0, 18), np.float32),
        np.stack([product.present for product in products]) if products else np.zeros((0, 4), bool),
        {name: [product.cells[name] for product in products] for name in KINDS},
        [f"{product.item_id} now".encode() for product in products],
    )


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
        self, generator: np.random.Generator, products: dict[str, Product]
    ) -> tuple[list[Product], list[str]]:
        """Draw products to change, to add (ids that come before, between and after) and to remove."""
        known = list(products)
        some = generator.permutation(known)[: generator.integers(len(known))].tolist()
        cut = int(generator.integers(len(some) + 1))
        again = [item_id for item_id in self.base if item_id not in products]
        new = [f"{generator.choice(['a', 'p05x', 'q'])}{number}" for number in range(generator.integers(4))]
        drawn = []
        for item_id in sorted({*some[:cut], *new, *again[:1]} - {*some[cut:]}):
            fresh = draw_product(generator, item_id, [])
            taught = products.get(item_id) or self.base.get(item_id) or replace(fresh, prior=0.0, partners={})
            drawn.append(replace(fresh, prior=taught.prior, partners=taught.partners))
        return drawn, some[cut:]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    with TemporaryDirectory() as folder:
        return World(Path(folder), draw(st.integers(0, 10_000)), draw(st.integers(2, 24)), draw(st.integers(1, 3)))


def told(answer: recommender.Recommendations) -> tuple:
    """Everything of an answer but which bundle gave it and how it was found."""
    items = [(item.item_id, item.score, item.parts, item.reasons) for item in answer]
    return items, answer.strategy, answer.eligible, answer.fallback_used, answer.warnings


@settings(max_examples=60, deadline=None)
@given(worlds(), st.data())
def test_every_question_is_answered_as_by_a_rebuild(world: World, data: st.DataObject) -> None:
    live, oracle = world.live, world.oracle
    assert live.ids == oracle.ids == sorted(world.products)
    assert len(live) == len(oracle)
    options = data.draw(st.sampled_from(OPTIONS)) | {"filter": data.draw(st.sampled_from(FILTERS))}
    k = data.draw(st.sampled_from([1, 3, 10, 50]))
    seed, other = data.draw(st.sampled_from(live.ids)), data.draw(st.sampled_from(live.ids))
    for ask in (
        lambda rec: rec.similar(seed, k, **options),
        lambda rec: rec.recommend([seed, "unknown", other], k, **options),
        lambda rec: rec.complementary([seed], k, **options),
        lambda rec: rec.popular(k, **options),
        lambda rec: rec.newest(k, **options),
    ):
        assert told(ask(live)) == told(ask(oracle))


@settings(max_examples=25, deadline=None)
@given(worlds(), st.sampled_from(FILTERS), st.booleans())
def test_batches_are_answered_as_by_a_rebuild(world: World, filter: str | None, collapse: bool) -> None:
    options: Any = {"filter": filter, "variants": "collapse" if collapse else "all"}
    histories = [[item_id] for item_id in world.live.ids]
    for ask in (
        lambda rec: rec.similar_many(None, 5, **options),
        lambda rec: rec.recommend_many(histories, 5, **options),
    ):
        live, oracle = ask(world.live), ask(world.oracle)
        assert live.item_ids.tolist() == oracle.item_ids.tolist()
        np.testing.assert_array_equal(live.scores, oracle.scores)


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_the_neighbour_table_is_the_beginning_of_the_exact_order(world: World) -> None:
    rec = world.live
    for item_id in rec.ids:
        table = rec.segment.neighbours[rec.attributes.row_of(item_id)]
        listed = rec.attributes.ids.ids_of(table[table >= 0])
        exact = rec.similar(item_id, 100, plan="exact", variants="all", stock="all")
        assert listed == exact.item_ids[: len(listed)]


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_products_are_described_as_they_are_now(world: World) -> None:
    for item_id in {*world.base, *world.products, "a1"}:
        assert (item_id in world.live) == (item_id in world.products)
        if item_id in world.products:
            assert world.live.product(item_id) == world.oracle.product(item_id)
            changed = world.products[item_id] is not world.base.get(item_id)
            assert world.live.thumbnail(item_id) == (f"{item_id} now" if changed else item_id).encode()
        else:
            with pytest.raises(recommender.UnknownItemError):
                world.live.similar(item_id)


def test_a_walk_over_the_graph_finds_what_was_added_and_never_what_was_removed(tmp_path: Path) -> None:
    world = World(tmp_path, seed=3, n=99, updates=2, budget=Budget(64, 50, 1_000))
    changed = set(world.products) - set(world.base)
    found: set[str] = set()
    for item_id in world.live.ids:
        best = world.live.similar(item_id, 10, plan="annoy", variants="all", stock="all")
        found |= set(best.item_ids)
        assert set(best.item_ids) <= set(world.products)
        exact = world.oracle.similar(item_id, 10, plan="exact", variants="all", stock="all")
        missed = [e for e in exact if e.item_id in changed and e.item_id not in best.item_ids]
        assert all(each.score <= best[-1].score for each in missed)
    assert changed & found


def test_what_was_published_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    World(tmp_path, seed=1, n=8, updates=0)
    early = recommender.load(tmp_path / "live")
    drawn = draw_product(np.random.default_rng(0), "p01", [])
    now = publish_delta(recommender.load(tmp_path / "live"), embedded([drawn]))
    with pytest.raises(recommender.errors.BundleError, match="published meanwhile"):
        publish_delta(early, embedded([]), ["p02"])
    assert Recommender(recommender.bundle.open_bundle(tmp_path / "live")).generation == now


def test_a_delta_leaves_the_base_files_as_they_are(tmp_path: Path) -> None:
    World(tmp_path, seed=1, n=30, updates=0)
    before = {path: path.read_bytes() for path in (tmp_path / "live" / "parts").rglob("*") if path.is_file()}
    drawn = draw_product(np.random.default_rng(0), "zz", [])
    publish_delta(recommender.load(tmp_path / "live"), embedded([drawn]), ["p02"])
    rec = recommender.load(tmp_path / "live")
    rec.similar("zz")
    assert all(path.read_bytes() == content for path, content in before.items())
