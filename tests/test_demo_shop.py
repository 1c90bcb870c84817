"""The demo shop is reproducible, and follows the known tastes."""

import csv
import io
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recommender.demo.drawing import COLORS, PATTERNS, SIDE, SILHOUETTES, draw_product
from recommender.demo.products import KINDS
from recommender.demo.shop import Shop, make_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("shop"), n=120, users=150, events=4000)


@pytest.fixture(scope="module")
def events(shop: Shop) -> list[dict[str, str]]:
    with (shop.config.parent / "events.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, again, other = (
        make_shop(tmp_path / name, n=20, users=10, events=100, seed=seed).config.parent
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    for file in ("products.csv", "photos.zip", "events.csv", "shop.toml"):
        assert (first / file).read_bytes() == (again / file).read_bytes()
    assert (first / "products.csv").read_bytes() != (other / "products.csv").read_bytes()
    assert (first / "events.csv").read_bytes() != (other / "events.csv").read_bytes()


def test_counts_are_exact_and_ids_sorted(shop: Shop, events: list[dict[str, str]]) -> None:
    ids = [product.id for product in shop.products]
    assert len(ids) == len(set(ids)) == 120
    assert ids == sorted(ids)
    assert len(shop.tastes) == 150
    assert len(events) == 4000
    assert {event["item_id"] for event in events} <= set(ids)


def test_each_photo_is_in_the_zip(shop: Shop) -> None:
    with zipfile.ZipFile(shop.config.parent / "photos.zip") as archive:
        photographed = {f"{product.id}.jpg" for product in shop.products if product.has_photo}
        assert set(archive.namelist()) == photographed
        assert 0 < len(photographed) < len(shop.products)
        photo = Image.open(io.BytesIO(archive.read(min(photographed))))
    assert (photo.format, photo.size) == ("JPEG", (SIDE, SIDE))


def test_every_category_is_drawn_and_has_a_complement() -> None:
    assert set(KINDS) == set(SILHOUETTES)
    assert {kind.companion for kind in KINDS.values()} <= set(KINDS)


@pytest.mark.parametrize("color", COLORS)
def test_the_middle_of_a_plain_product_has_its_color(color: str) -> None:
    photo = Image.open(io.BytesIO(draw_product("cushion", color, "plain")))
    middle = np.asarray(photo)[SIDE // 2, SIDE // 2].astype(int)
    assert np.abs(middle - np.array(COLORS[color])).max() <= 4  # JPEG


def test_patterns_and_tilts_give_different_photos() -> None:
    photos = [draw_product("vase", "blue", pattern, tilt) for pattern in PATTERNS for tilt in (0.0, 5.0)]
    assert len(set(photos)) == len(photos)


def test_nothing_is_seen_before_it_is_published(shop: Shop, events: list[dict[str, str]]) -> None:
    published = {product.id: f"{product.published_at:%Y-%m-%dT%H:%M:%SZ}" for product in shop.products}
    assert all(event["timestamp"] >= published[event["item_id"]] for event in events)
    assert len(set(published.values())) > 1
    assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)


def test_shoppers_follow_their_tastes(shop: Shop, events: list[dict[str, str]]) -> None:
    kind = {product.id: product.kind for product in shop.products}
    own = [kind[event["item_id"]] in shop.tastes[event["user_id"]].kinds for event in events]
    assert np.mean(own) > 0.5  # two kinds of twelve: 0.17 by chance, the rest are companions


def test_complements_are_bought_together(shop: Shop, events: list[dict[str, str]]) -> None:
    kind = {product.id: product.kind for product in shop.products}
    carts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for event in events:
        if event["event_name"] == "purchase":
            carts[event["user_id"], event["timestamp"][:10]].append(kind[event["item_id"]])
    pairs = Counter((a, b) for cart in carts.values() for a in cart for b in cart if a != b)
    companions = sum(n for (a, b), n in pairs.items() if b == KINDS[a].companion or a == KINDS[b].companion)
    assert companions > 0.7 * pairs.total() > 0


def test_steps_of_the_funnel_narrow(events: list[dict[str, str]]) -> None:
    steps = Counter(event["event_name"] for event in events)
    assert steps["view_item"] > steps["add_to_cart"] > steps["purchase"] > 100


def test_a_shop_without_events_has_no_events_file(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, n=5, users=0, events=0)
    assert not (tmp_path / "events.csv").exists()
    assert "[events]" not in shop.config.read_text()
    assert "[catalog]" in shop.config.read_text()
