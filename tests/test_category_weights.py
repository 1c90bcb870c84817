"""Weights of categories: tuned where their interactions differ, used for the similar items of their products."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recommender
from recommender import Recommender
from recommender.catalog import Catalog, Interactions
from recommender.core.blocks import Layout, Mask, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.scoring import Scorer
from recommender.core.segment import Segment
from recommender.core.weights import category_kind, item_kind, resolve
from recommender.events import EVENT_WEIGHTS
from recommender.towers.user import UserTower
from tests.made_bundles import OWN, WEIGHTS, draw_product, publish_products
from training.tuning.search import Hyperparameters, default_hyperparameters
from training.tuning.similar_items import content_weights, substitutes, tune_for_items

CLUSTER = 6  # products chosen together


class Shop:
    """Hats that are chosen together by image, and books that are chosen together by the block `books`."""

    def __init__(self, books: str, seed: int, n: int = 240) -> None:
        generator = np.random.default_rng(seed)
        layout = Layout({"image": 8, "text": 8})
        self.kinds = np.array(["item: Hats", "item: Books"]).repeat(n // 2)
        self.cluster = np.arange(n) // CLUSTER
        deciding = {"image": self.kinds == "item: Hats", "text": np.zeros(n, bool)}
        deciding[books] = deciding[books] | (self.kinds == "item: Books")
        vectors = [self._block(generator, decides) for decides in deciding.values()]
        self.segment = Segment(
            vectors=np.concatenate(vectors, axis=1),
            present=np.ones((n, 2), bool),
            prior=np.zeros(n, np.float32),
            groups=np.arange(n, dtype=np.int32),
            neighbours=None,
            cooccurrence=Cooccurrence.empty(n),
            complements=Cooccurrence.empty(n),
            layout=layout,
        )
        self.events = self._events(generator)

    def _block(self, generator: np.random.Generator, decides: Mask) -> np.ndarray:
        """Vectors that lie by cluster where the block decides, and anyhow elsewhere."""
        n = len(decides)
        near = generator.normal(size=(n, 8))[self.cluster] + 0.6 * generator.normal(size=(n, 8))
        return unit(np.where(decides[:, None], near, generator.normal(size=(n, 8))))

    def _events(self, generator: np.random.Generator) -> Interactions:
        """Users who compare three products of one cluster each."""
        n = len(self.cluster)
        catalog = Catalog.from_frame(pd.DataFrame({"id": [f"p{i:03}" for i in range(n)], "title": "t"}))
        clusters = generator.integers(0, n // CLUSTER, 300)
        rows = np.concatenate([generator.choice(CLUSTER, 3, replace=False) + CLUSTER * c for c in clusters])
        days = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(len(rows)), "min")
        columns = {"item_id": [catalog.ids[row] for row in rows], "event_name": "view_item", "timestamp": days}
        users = [f"u{index // 3}" for index in range(len(rows))]
        return Interactions.from_frame(pd.DataFrame({"user_id": users, **columns}), catalog)

    def tuned(self) -> Hyperparameters:
        similar = content_weights(self.segment.layout)
        pairs = substitutes(self.events, self.events, self.segment.layout, [""] * self.segment.n)
        default = default_hyperparameters(self.segment, UserTower(EVENT_WEIGHTS), similar)
        tuned = tune_for_items(self.segment, pairs, similar, self.kinds.tolist(), seed=0)
        return default.with_item_weights(*tuned)

    def recall(self, weights: dict[str, float], kind: str) -> float:
        """Return the share of a product's cluster among as many products with the highest scores."""
        scorer = Scorer(self.segment.vectors, self.segment.prior, self.segment.layout, weights)
        shares = []
        for row in np.flatnonzero(self.kinds == kind).tolist():
            line = scorer.estimate([self.segment.item_query(row)])[0]
            line[row] = -np.inf
            best = np.argsort(-line)[: CLUSTER - 1]
            shares.append((self.cluster[best] == self.cluster[row]).mean())
        return float(np.mean(shares))


def test_each_category_gets_its_informative_weights() -> None:
    shop = Shop("text", seed=0)
    tuned = shop.tuned()
    weights = {kind: of_kind.weights for kind, of_kind in tuned.weights.items()}
    assert set(weights) == {"item", "user", "item: Hats", "item: Books"}
    hats, books, all_items = weights["item: Hats"], weights["item: Books"], weights["item"]
    assert hats["image"] > all_items["image"] + 0.1
    assert books["text"] > all_items["text"] + 0.1
    for kind, weighting in (("item: Hats", hats), ("item: Books", books)):
        assert weighting["image"] + weighting["text"] == pytest.approx(1.0)
        assert weighting["prior"] == 0.0
        assert shop.recall(weighting, kind) > shop.recall(all_items, kind) + 0.1
    assert set(tuned.metrics()["categories"]) == {"item: Hats", "item: Books"}


def test_similar_categories_share_the_overall_weights() -> None:
    for seed in range(2):
        tuned = Shop("image", seed).tuned()
        assert set(tuned.weights) == {"item", "user"}
        assert tuned.weights["item"].weights["image"] > 0.6
        assert len(tuned.categories) == 2


def test_a_single_category_has_the_overall_weights() -> None:
    shop = Shop("text", seed=0)
    shop.kinds[:] = "item: Everything"
    assert shop.tuned().categories == ()


def test_the_first_level_names_the_category() -> None:
    assert category_kind("Apparel > Tops > Shirts") == category_kind(["Apparel", "Sale"]) == "item: Apparel"
    assert [*map(category_kind, ("", None, float("nan"), []))] == ["item"] * 4
    assert item_kind({"item": 1, "item: Apparel": 2}, "Apparel > Hats") == "item: Apparel"
    assert item_kind({"item": 1, "item: Apparel": 2}, "Shoes") == "item"


@pytest.fixture(scope="module")
def rec(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Products of which those of type A, drawn with the others, have the weights `OWN`."""
    generator = np.random.default_rng(0)
    ids = [f"p{number:02}" for number in range(60)]
    root = tmp_path_factory.mktemp("own") / "bundles"
    publish_products(root, [draw_product(generator, item_id, ids) for item_id in ids])
    return recommender.load(root)


def of_type(rec: Recommender, first: str) -> list[str]:
    return [i for i in rec.ids if str(rec.product(i).get("product_type") or "").split(" > ")[0] == first]


@pytest.mark.search
def test_similar_uses_the_categorys_weights(rec: Recommender) -> None:
    assert min(len(of_type(rec, first)) for first in ("A", "B", "")) > 5
    for item_id in rec.ids:
        weights = OWN if item_id in of_type(rec, "A") else WEIGHTS
        tabled = rec.similar(item_id, 8)
        scanned = rec.similar(item_id, 8, plan="exact")
        explicit = rec.similar(item_id, 8, weights=weights)
        assert tabled.plan == "neighbours"
        for answer in (scanned, explicit):
            assert answer.item_ids == tabled.item_ids
            assert [one.score for one in answer] == pytest.approx([one.score for one in tabled], abs=1e-12)


@pytest.mark.search
def test_many_requests_equal_single_requests(rec: Recommender) -> None:
    for options in ({}, {"plan": "exact"}, {"weights": {"image": 0.9}}, {"variants": "all"}):
        table = rec.similar_many(k=6, **options)
        for line, item_id in enumerate(rec.ids):
            answer = rec.similar(item_id, 6, **options)
            assert [found for found in table.item_ids[line] if found] == answer.item_ids
            assert table.scores[line][: len(answer)].tolist() == [one.score for one in answer]


def test_explanations_add_up_to_the_score(rec: Recommender) -> None:
    item_id = of_type(rec, "A")[0]
    seed = rec.segment.vectors[rec.attributes.row_of(item_id), rec.layout.slices["text"]]
    for one in rec.similar(item_id, 8, explain=True):
        assert one.parts is not None
        assert sum(one.parts.values()) == pytest.approx(one.score)
        text = rec.segment.vectors[rec.attributes.row_of(one.item_id), rec.layout.slices["text"]]
        assert one.parts["text"] == pytest.approx(OWN["text"] * float(seed @ text), abs=1e-6)
        (placed,) = rec.explain([one.item_id], [item_id])
        assert placed.recommendation is not None
        assert placed.recommendation.score == pytest.approx(one.score)


def test_a_request_overrides_the_categorys_weights(rec: Recommender) -> None:
    item_id = of_type(rec, "A")[0]
    override = {"image": 2.0}
    whole = rec.similar(item_id, 8, weights=resolve(OWN, override))
    partly = rec.similar(item_id, 8, weights=override)
    assert partly.item_ids == whole.item_ids
    assert [one.score for one in partly] == pytest.approx([one.score for one in whole])


def test_recommend_uses_the_user_weights(rec: Recommender) -> None:
    history = of_type(rec, "A")[:2]
    default = rec.recommend(history, 8, weights=WEIGHTS)
    assert rec.recommend(history, 8).item_ids == default.item_ids
    assert [one.score for one in rec.recommend(history, 8)] == pytest.approx([one.score for one in default])


def test_a_bundle_without_category_weights_uses_one_set(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    ids = [f"p{number}" for number in range(9)]
    publish_products(tmp_path, [draw_product(generator, item_id, ids) for item_id in ids], own=False)
    rec = recommender.load(tmp_path)
    assert {rec.kind_of(row) for row in range(9)} == {"item"}
