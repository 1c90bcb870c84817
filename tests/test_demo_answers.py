"""The engine finds what is planted in the demo shop, and the demo's tour runs."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

import recommender
from recommender.batch import by_user
from recommender.catalog import read_events
from recommender.cli import main
from recommender.config import EventsConfig
from recommender.demo.products import KINDS, DemoProduct
from recommender.demo.shop import Shop
from recommender.demo.tour import introduce, shopper, tour
from recommender.recommender import Recommender


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


def kinds_with_complements(kinds: Iterable[str]) -> set[str]:
    return {*kinds, *(KINDS[kind].companion for kind in kinds)}


def shares(shop: Shop, wanted: Sequence[set[str]], answers: Sequence[Sequence[str | None]]) -> tuple[float, float]:
    """Share of products of a wanted kind: among those answered, and among all."""
    by_id: dict[str, DemoProduct] = {product.id: product for product in shop.products}
    hits = [by_id[i].kind in kinds for kinds, line in zip(wanted, answers, strict=True) for i in line if i]
    return float(np.mean(hits)), float(np.mean([p.kind in kinds for kinds in wanted for p in shop.products]))


def test_similar_items_are_of_the_same_kind_though_their_companions_are_bought_with_them(
    rec: Recommender, demo_shop: Shop
) -> None:
    designs = {(product.kind, product.item_group_id) for product in demo_shop.products}
    several = {kind for kind, count in Counter(kind for kind, _ in designs).items() if count > 1}
    products = [product for product in demo_shop.products if product.kind in several]
    first = rec.similar_many([product.id for product in products], 1).item_ids
    same, chance = shares(demo_shop, [{product.kind} for product in products], first)
    assert same >= 0.85 > 4 * chance


def test_complementary_products_are_of_the_kind_that_is_bought_together(rec: Recommender, demo_shop: Shop) -> None:
    companions = [{KINDS[product.kind].companion} for product in demo_shop.products]
    found = [rec.recommend([p.id], 1, strategy="complementary").item_ids for p in demo_shop.products]
    share, chance = shares(demo_shop, companions, found)
    assert share > 4 * chance


@pytest.mark.parametrize("block", ["image", "text", "category"])
def test_each_content_block_finds_the_category(rec: Recommender, demo_shop: Shop, block: str) -> None:
    alone = {name: float(name == block) for name in rec.weights["item"]}
    table = rec.similar_many([product.id for product in demo_shop.products], 5, weights=alone)
    found, chance = shares(demo_shop, [{product.kind} for product in demo_shop.products], table.item_ids)
    assert found > 2 * chance


def test_recommendations_follow_the_generated_tastes(rec: Recommender, demo_shop: Shop) -> None:
    file = demo_shop.config.parent / "events.csv"
    histories = by_user(read_events(file, EventsConfig(path=file)))
    table = rec.recommend_many(list(histories.values()), 5, exclude_history=False)
    wanted = [kinds_with_complements(demo_shop.tastes[user].kinds) for user in histories]
    found, chance = shares(demo_shop, wanted, table.item_ids)
    assert found > 1.5 * chance


def test_each_step_of_the_tour_runs(
    demo_bundles: Path, demo_shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [step for step in tour(demo_shop) if step[0] != "fit"]  # `demo_bundles` is what fit would make
    assert {step[0] for step in steps} == {"validate", "evaluate", "similar", "recommend"}
    for step in steps:
        monkeypatch.setattr(sys, "argv", ["recommender", *step])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, step
        assert capsys.readouterr().out


def test_the_tour_can_end_by_serving(demo_shop: Shop) -> None:
    assert tour(demo_shop, port=8123)[-1][0] == "serve"
    assert tour(demo_shop, port=8123)[-1][-2:] == ["--port", "8123"]
    assert "serve" not in {step[0] for step in tour(demo_shop)}


def test_the_shopper_shown_is_introduced_with_their_taste(demo_shop: Shop) -> None:
    user = shopper(demo_shop)
    assert user in introduce(demo_shop)
    assert demo_shop.tastes[user].brand in introduce(demo_shop)
