"""What is remembered between requests: the same answers as without, until anything that they depend on changes."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apiflask import APIFlask

import recommender
from recommender.items.overlay import OverlaySnapshot
from recommender.ranking.cache import SizedCache
from recommender.recommender import Recommender
from recommender.retrieval.planner import Planner
from recommender.stores import Store, open_store
from serving.app import create_app
from serving.service import KEY, Service
from serving.settings import Settings
from tests.made_bundles import DemoProduct, draw_product, publish_products

HISTORY = ["p1", "p2"]
PATH = "/v1/items/p1/similar?fields=price&limit=20"


def products(seed: int = 0) -> list[DemoProduct]:
    """Twelve products in stock, all with prices."""
    generator = np.random.default_rng(seed)
    ids = sorted(f"p{number}" for number in range(12))
    drawn = [draw_product(generator, item_id, ids) for item_id in ids]
    cells = {"availability": "in_stock", "item_group_id": "", "price": 10.0}
    return [replace(product, cells={**product.cells, **cells}) for product in drawn]


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    publish_products(tmp_path / "bundles", products())
    return tmp_path / "bundles"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
def app(bundles: Path, tmp_path: Path) -> Iterator[APIFlask]:
    app = create_app(bundles, Settings(store=f"sqlite:///{tmp_path}/store.db"), watch_seconds=None)
    yield app
    app.extensions[KEY].close()


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every search of a planner."""
    search, done = Planner.search, []

    def counted(self: Planner, *arguments: Any) -> Any:
        done.append(arguments)
        return search(self, *arguments)

    monkeypatch.setattr(Planner, "search", counted)
    return done


def test_a_history_is_searched_for_once(bundles: Path, store: Store, searches: list[Any]) -> None:
    overlay = OverlaySnapshot(store.overlay)
    rec = recommender.load(bundles, overlay)
    first = rec.recommend(HISTORY)
    assert rec.recommend(HISTORY) == first
    assert len(searches) == 1
    rec.recommend(HISTORY, k=3)
    rec.recommend(HISTORY, exclude=[first.item_ids[0]])
    rec.recommend(HISTORY, plan="exact")
    rec.recommend([*HISTORY, "p3"])
    assert len(searches) == 5, "another k, exclusion, plan and event"
    assert rec.recommend(HISTORY) == first
    assert len(searches) == 5
    assert rec.recommend(HISTORY, weights={"image": 1.0}) != first
    assert rec.recommend(HISTORY) == first


def test_what_is_remembered_follows_the_stock(bundles: Path, store: Store) -> None:
    overlay = OverlaySnapshot(store.overlay)
    rec = recommender.load(bundles, overlay)
    for ask in (lambda: rec.recommend(HISTORY), lambda: rec.popular()):
        before = ask()
        best = before.item_ids[0]
        overlay.put({best: {"availability": "out_of_stock"}})
        assert best not in ask().item_ids
        overlay.put({best: {"availability": "in_stock"}})
        assert ask() == before
        overlay.put({best: None})
        assert best not in ask().item_ids


def test_a_changed_answer_is_equal_to_a_new_one(bundles: Path, store: Store) -> None:
    overlay = OverlaySnapshot(store.overlay)
    rec = recommender.load(bundles, overlay)
    for number in range(6):
        overlay.put({f"p{number}": {"availability": "out_of_stock", "price": 1.0 * number}})
        for history in (HISTORY, HISTORY[:1], []):
            new = recommender.load(bundles, overlay)
            assert rec.recommend(history) == new.recommend(history)


def test_a_repeated_request_has_the_same_answer_but_its_own_id(app: APIFlask, searches: list[Any]) -> None:
    client, service = app.test_client(), service_of(app)
    answers = [client.get(PATH) for _ in range(3)]
    bodies = [answer.json for answer in answers]
    ids = {body.pop("recommendation_id") for body in bodies}
    assert len(ids) == 3
    assert all(service.signer.is_genuine(each) for each in ids)
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    assert bodies[0] == bodies[1] == bodies[2]
    assert len(searches) == 1


def test_a_repeated_request_follows_changes_and_generations(app: APIFlask, bundles: Path) -> None:
    client, service = app.test_client(), service_of(app)
    first = client.get(PATH).json
    best = first["items"][0]["item_id"]
    service.live.overlay.put({best: {"price": 99.0}})
    assert client.get(PATH).json["items"][0] == first["items"][0] | {"fields": {"price": 99.0}}
    service.live.overlay.put({best: {"availability": "out_of_stock"}})
    assert best not in [item["item_id"] for item in client.get(PATH).json["items"]]
    generation = publish_products(bundles, products(seed=1))
    service.live.refresh()
    assert client.get(PATH).json["bundle"] == generation


def test_an_old_generation_is_freed(app: APIFlask, bundles: Path) -> None:
    client, service = app.test_client(), service_of(app)
    client.get(PATH)
    client.get("/v1/users/nobody/recommendations")
    old: weakref.ref[Recommender] = weakref.ref(service.live.recommender._products)  # type: ignore[arg-type]
    publish_products(bundles, products(seed=1))
    service.live.refresh()
    gc.collect()
    assert old() is None


def service_of(app: APIFlask) -> Service:
    service: Service = app.extensions[KEY]
    return service


def test_a_cache_evicts_what_was_used_least_recently() -> None:
    cache: SizedCache[str] = SizedCache(10, len)
    for key in "abc":
        cache.put(key, 3 * key)
    assert cache.get("a") == "aaa"
    cache.put("d", "dddd")
    assert [cache.get(key) for key in "abcd"] == ["aaa", None, "ccc", "dddd"]
    cache.put("e", 11 * "e")
    assert (cache.get("e"), cache.get("d")) == (None, "dddd"), "what is too large evicts nothing"
