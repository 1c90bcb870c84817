"""`recommender update` on the demo shop: what changed, what the service queued, compaction."""

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import typer

import recommender
from recommender.bundle import current, generations, open_bundle, rollback
from recommender.catalog import Catalog
from recommender.cli import app
from recommender.config import Config
from recommender.demo.shop import Shop
from recommender.encoders.base import Encoder
from recommender.encoders.registry import create_for
from recommender.errors import DataError
from recommender.stores import Store
from tests.attribute_tables import attributes
from training.update.compact import compact
from training.update.embed import attribute_cells, attribute_kinds
from training.update.updater import Updater


@pytest.fixture(scope="module")
def encoder(demo_bundles: Path) -> Encoder:
    return create_for(open_bundle(demo_bundles))


@pytest.fixture
def updater(bundles: Path, demo_shop: Shop, tmp_path: Path, encoder: Encoder) -> Updater:
    config = Config.load(demo_shop.config)
    return Updater(
        bundles, config, tmp_path / "changed.csv", cache_dir=demo_shop.config.parent / "cache", encoder=encoder
    )


def products(shop: Shop) -> pd.DataFrame:
    return pd.read_csv(shop.config.parent / "products.csv", dtype=str, keep_default_na=False)


def test_a_file_of_the_same_products_changes_nothing(updater: Updater, demo_shop: Shop) -> None:
    products(demo_shop).to_csv(updater.changed, index=False)
    assert updater.update().generation is None


def test_changed_new_and_missing_products_are_updated(updater: Updater, demo_shop: Shop) -> None:
    table = products(demo_shop)
    before = recommender.load(updater.root)
    changed, copied, removed = table["id"][3], table["id"][10], table["id"][20]
    table.loc[3, "title"] = "Something else altogether"
    copy = table.loc[[10]].assign(id="zz-copy", item_group_id="", price="1")
    pd.concat([table.drop(index=20), copy]).to_csv(updater.changed, index=False)
    updater.complete = True
    done = updater.update()
    now = recommender.load(updater.root)
    assert (done.embedded, done.removed, done.generation) == (2, 1, now.generation)
    assert len(now) == len(before)
    assert removed not in now
    assert now.product(changed)["title"] == "Something else altogether"
    assert now.product("zz-copy")["price"] == 1.0
    assert now.thumbnail("zz-copy") == before.thumbnail(copied)
    content = {"image": 1.0, "text": 1.0, "category": 0, "behaviour": 0, "cooccurrence": 0, "prior": 0}
    best = now.similar("zz-copy", 1, weights=content, stock="all")[0]
    assert best.item_id == copied
    assert best.score == pytest.approx(1.0, abs=1e-4)
    assert now.similar(changed, 1)[0].score != before.similar(changed, 1)[0].score


def test_columns_missing_from_a_file_are_unchanged(updater: Updater, demo_shop: Shop) -> None:
    first = products(demo_shop)["id"][0]
    before = recommender.load(updater.root).product(first)
    updater.changed.write_text(f"id,price\n{first},3.5\n")
    assert updater.update().embedded == 1
    assert recommender.load(updater.root).product(first) == {**before, "price": 3.5}


def test_queued_products_are_embedded_and_the_queue_emptied(
    updater: Updater, demo_shop: Shop, store: Store
) -> None:
    first, second = products(demo_shop)["id"][:2]
    attributes = {"title": "Red striped mug", "product_type": "Kitchen > Mugs", "price": 4.0}
    store.overlay.put({"new-mug": attributes, second: None}, queue=["new-mug", second], added=["new-mug"])
    updater.changed, updater.store = None, store
    done = updater.update()
    now = recommender.load(updater.root, overlay=store.overlay)
    assert (done.embedded, done.removed) == (1, 1)
    assert second not in now
    assert now.similar("new-mug", 3).strategy == "similar"
    assert now.product("new-mug")["title"] == "Red striped mug"
    assert not store.overlay.queued()
    assert updater.update().generation is None
    assert first in now


def test_a_changed_file_is_read_by_the_bundles_kinds() -> None:
    bundle = SimpleNamespace(
        attributes=attributes(["a", "b", "c"], stars=("number", [4.5, 3, 2]), code=("category", ["7"] * 3))
    )
    kinds = attribute_kinds(bundle)
    changed = pd.DataFrame({"id": ["a", "b", "c"], "stars": ["4.0", "many", "N/A"], "code": [8, 8, 9]})
    catalog = Catalog.from_frame(changed, attribute_kinds=kinds)
    assert catalog.report.counts == {"bad stars": 1}
    assert attribute_cells(catalog, bundle) == {
        "a": {"stars": 4.0, "code": "8"}, "b": {"stars": None, "code": "8"}, "c": {"stars": None, "code": "9"},
    }  # fmt: skip
    with pytest.raises(DataError, match='stars is "many", as most cells of it are; expected a number'):
        Catalog.from_frame(pd.DataFrame({"id": ["a"], "stars": ["many"]}), attribute_kinds=kinds)


def test_a_compacted_bundle_gives_the_same_results(updater: Updater, demo_shop: Shop) -> None:
    table = products(demo_shop)
    table.loc[[5]].assign(id="aa-copy").to_csv(updater.changed, index=False)
    updater.update()
    before = recommender.load(updater.root)
    assert "delta" in before.manifest.parts
    compact(updater.root)
    after = recommender.load(updater.root)
    assert "delta" not in after.manifest.parts
    assert after.ids == before.ids
    for item_id in after.ids[::7]:
        now, then = after.similar(item_id, 8, explain=True), before.similar(item_id, 8, explain=True)
        assert [(each.item_id, each.score, each.parts) for each in now] == [
            (each.item_id, each.score, each.parts) for each in then
        ]
        assert after.product(item_id) == before.product(item_id)
        assert after.thumbnail(item_id) == before.thumbnail(item_id)
    bought = [{"item_id": each, "event_name": "purchase", "timestamp": "2025-01-01"} for each in after.ids[:5]]
    now, then = (each.recommend(bought, explain=True).to_dict()["items"] for each in (after, before))
    assert now == then
    assert compact(updater.root) == after.generation


def test_a_rollback_takes_back_the_whole_of_an_update(
    updater: Updater, demo_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, first = products(demo_shop), current(updater.root)
    monkeypatch.setattr("training.update.updater.COMPACT_SHARE", 0.0)
    table.loc[3, "title"] = "Something else altogether"
    table.to_csv(updater.changed, index=False)
    second = updater.update()
    assert second.compacted
    assert len(generations(updater.root)) == 3
    monkeypatch.undo()
    table.loc[4, "title"] = "Another thing"
    table.to_csv(updater.changed, index=False)
    updater._stamp = 0.0
    updater.update()
    third = compact(updater.root)
    assert rollback(updater.root) == second.generation
    assert not updater.update().generation  # what was rolled back is not read again
    assert rollback(updater.root) == first
    assert rollback(updater.root, third) == third
    assert rollback(updater.root) == second.generation
    table.drop(index=5).to_csv(updater.changed, index=False)
    updater._stamp, updater.complete = 0.0, True
    assert updater.update().embedded == 1  # of the current generation, which lacks the third
    assert rollback(updater.root) == second.generation


def test_changes_over_http_are_embedded_again_after_a_rollback(
    updater: Updater, demo_shop: Shop, store: Store
) -> None:
    first, second, third = products(demo_shop)["id"][:3]
    updater.changed, updater.store = None, store
    store.overlay.put({first: {"title": "A red kite"}}, queue=[first])
    before = updater.update().generation
    store.overlay.put(
        {"new-mug": {"title": "Red striped mug"}, second: None}, queue=["new-mug", second], added=["new-mug"]
    )
    store.overlay.put({third: {"price": 3.0}})  # an offer, never queued
    assert updater.update().generation is not None
    assert updater.update().generation is None
    assert rollback(updater.root) == before
    assert "new-mug" not in recommender.load(updater.root)
    again = Updater(updater.root, updater.config, store=store, encoder=updater.encoder)  # or another process
    done = again.update()
    assert (done.embedded, done.removed) == (1, 1)
    now = recommender.load(updater.root)
    assert "new-mug" in now
    assert second not in now
    assert again.update().generation is None
    assert not store.overlay.queued()


def test_the_command_prints_a_summary(
    updater: Updater, demo_shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECOMMENDER_CACHE", str(updater.cache_dir))
    monkeypatch.setattr("training.update.updater.create_for_products", lambda bundle: updater.encoder)
    first, second = products(demo_shop)["id"][:2]
    updater.changed.write_text(f"id,price\n{first},3.5\n{second},4.5\n")
    command = ["update", str(updater.root), "--config", str(demo_shop.config), "--catalog", str(updater.changed)]
    app([*command, "--json"], standalone_mode=False)
    done = json.loads(capsys.readouterr().out)
    assert (done["embedded"], done["removed"], done["generation"]) == (2, 0, current(updater.root))
    app(command, standalone_mode=False)
    assert "nothing has changed" in capsys.readouterr().out
    with pytest.raises(typer.BadParameter, match="--catalog, --store"):
        app(["update", str(updater.root)], standalone_mode=False)


def test_a_crash_before_the_queue_is_emptied_loses_nothing_at_a_rollback(
    updater: Updater, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = current(updater.root)
    updater.changed, updater.store = None, store
    store.overlay.put({"new-mug": {"title": "Red striped mug"}}, queue=["new-mug"], added=["new-mug"])
    with monkeypatch.context() as patch:
        patch.setattr(type(store.overlay), "mark_embedded", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            updater.update()
    assert updater.update().generation is None  # it is published already
    assert rollback(updater.root) == first
    assert updater.update().embedded == 1
