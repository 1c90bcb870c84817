"""Live changes beside the catalogue: the newer wins, through updates, fits, crashes and rollbacks."""

import gc
import json
import time
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from flask.testing import FlaskClient

import recommender
from recommender.bundle import current, open_bundle, prune, rollback
from recommender.catalog import Catalog
from recommender.cli import app
from recommender.config import Config
from recommender.demo.shop import Shop
from recommender.encoders.base import Encoder
from recommender.encoders.registry import create_for
from recommender.errors import DataError, RequestError
from recommender.items.moments import past_seconds
from recommender.items.overlay import OverlaySnapshot
from recommender.recommender import Recommender
from recommender.stores import Store
from recommender.stores.base import OverlayEntry
from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from training.update.compact import compact
from training.update.live import CatalogTimes, with_overlay
from training.update.updater import Updater

MUG = {"title": "Red striped mug", "product_type": "Kitchen > Mugs", "price": 4.0}


@cache
def now() -> float:
    """Return the moment of the first test, which is after the bundle was made."""
    return time.time()


@pytest.fixture(scope="module")
def encoder(demo_bundles: Path) -> Encoder:
    return create_for(open_bundle(demo_bundles))


@pytest.fixture(scope="module")
def table(demo_shop: Shop) -> pd.DataFrame:
    return pd.read_csv(demo_shop.config.parent / "products.csv", dtype=str, keep_default_na=False)


@pytest.fixture
def updater(bundles: Path, demo_shop: Shop, tmp_path: Path, encoder: Encoder, store: Store) -> Updater:
    """Of the same products as in the bundle, an hour from now."""
    config, path = Config.load(demo_shop.config), tmp_path / "changed.csv"
    path.write_bytes((demo_shop.config.parent / "products.csv").read_bytes())
    cache = demo_shop.config.parent / "cache"
    return Updater(bundles, config, path, store=store, cache_dir=cache, encoder=encoder, as_of=now() + 3600)


def again(updater: Updater) -> Updater:
    """Return what another process would start."""
    given = {"cache_dir": updater.cache_dir, "encoder": updater.encoder, "as_of": updater.as_of}
    return Updater(updater.root, updater.config, updater.changed, updater.complete, updater.store, **given)


def served(updater: Updater) -> Recommender:
    """Return the recommender as a service has it: with the overlay after a refresh."""
    assert updater.store is not None
    overlay = OverlaySnapshot(updater.store.overlay)
    overlay.refresh(current(updater.root))
    return recommender.load(updater.root, overlay=overlay)


def entries(store: Store) -> dict[str, OverlayEntry]:
    return {entry.item_id: entry for entry in store.overlay.page(limit=1000)}


def test_newer_rows_win_over_changes_and_deletions(updater: Updater, table: pd.DataFrame, store: Store) -> None:
    first = current(updater.root)
    priced, deleted, later = table["id"][:3]
    store.overlay.put({priced: {"price": 0.5}}, at=now())
    store.overlay.put({deleted: None}, queue=[deleted], at=now())
    store.overlay.put({later: {"price": 0.7, "title": "Later"}}, queue=[later], at=now() + 7200)
    assert served(updater).product(priced)["price"] == 0.5
    assert deleted not in served(updater).ids
    done = updater.update()
    assert done.generation is not None
    live = served(updater)
    assert live.product(priced)["price"] == float(table["price"][0])
    assert deleted in live.ids
    assert (live.product(later)["price"], live.product(later)["title"]) == (0.7, "Later")
    assert entries(store).keys() == {later}  # the others are absorbed
    assert again(updater).update().generation is None
    assert rollback(updater.root) == first
    then = served(updater)
    assert then.product(priced)["price"] == 0.5
    assert deleted not in then.ids
    assert entries(store).keys() == {priced, deleted, later}


def test_older_rows_do_not(updater: Updater, table: pd.DataFrame, store: Store) -> None:
    priced, deleted = table["id"][:2]
    store.overlay.put({priced: {"price": 0.5}, deleted: None}, queue=[deleted], at=now() + 7200)
    updater.update()
    live = served(updater)
    assert live.product(priced)["price"] == 0.5
    assert deleted not in live.ids
    assert entries(store).keys() == {priced, deleted}
    assert deleted not in recommender.load(updater.root)  # the generation has it, too


def test_an_update_without_the_store_has_times_all_the_same(
    updater: Updater, table: pd.DataFrame, store: Store
) -> None:
    priced = table["id"][0]
    store.overlay.put({priced: {"price": 0.5}}, at=now())
    table.assign(price=["9.5", *table["price"][1:]]).to_csv(updater.changed, index=False)
    updater.store = None
    assert updater.update().embedded == 1
    updater.store = store
    assert served(updater).product(priced)["price"] == 9.5
    again(updater).update()
    assert not entries(store)


def test_rows_may_have_times_of_their_own(updater: Updater, table: pd.DataFrame, store: Store) -> None:
    first, second, third = table["id"][:3]
    store.overlay.put({item_id: {"price": 0.5} for item_id in (first, second, third)}, at=now() - 4)
    moments = [now() - 6, now() - 2, None]  # the fit of the bundle takes longer
    updated = [moment and pd.Timestamp(moment, unit="s", tz="UTC").isoformat() for moment in moments]
    table[:3].assign(changed_on=updated).to_csv(updater.changed, index=False)
    columns = updater.config.catalog.model_copy(update={"updated_at": "changed_on"})
    updater.config = updater.config.model_copy(update={"catalog": columns})
    updater.update()
    live = served(updater)
    assert "changed_on" not in live.attributes.names
    assert [live.product(item_id)["price"] for item_id in (first, second, third)] == [
        0.5, *map(float, table["price"][1:3])
    ]  # fmt: skip
    assert entries(store).keys() == {first}


def test_products_of_the_api_stay_until_the_catalogue_has_them_or_they_are_removed(
    updater: Updater, table: pd.DataFrame, store: Store
) -> None:
    first = current(updater.root)
    store.overlay.put({"mug": MUG, "cup": MUG}, queue=["mug", "cup"], added=["mug", "cup"], at=now())
    updater.complete = True
    assert updater.update().embedded == 2
    table.drop(index=7).to_csv(updater.changed, index=False)
    updater._stamp, updater.as_of = 0.0, now() + 7200
    assert updater.update().removed == 1  # which the file lacks
    compact(updater.root)
    assert {"mug", "cup"} < {*served(updater).ids}
    rollback(updater.root, first)
    updater.changed = None
    assert served(updater).product("mug")["title"] == MUG["title"]
    assert again(updater).update().embedded == 2
    assert {"mug", "cup"} < {*served(updater).ids}
    store.overlay.put({"cup": None}, queue=["cup"], at=now() + 60)
    assert again(updater).update().removed == 1
    assert "cup" not in served(updater).ids
    updater.changed, updater.as_of = updater.root.parent / "with.csv", now() + 9000
    pd.concat([table, table[:1].assign(id="mug", title="A mug of the catalogue")]).to_csv(
        updater.changed, index=False
    )
    again(updater).update()
    assert served(updater).product("mug")["title"] == "A mug of the catalogue"
    assert not entries(store)
    table.to_csv(updater.changed, index=False)
    updater.as_of = now() + 10000
    assert again(updater).update().removed == 1  # the catalogue had it, and has it no longer
    assert "mug" not in served(updater).ids


def test_a_change_of_a_product_that_the_catalogue_has_dropped_adds_no_product(
    updater: Updater, table: pd.DataFrame, store: Store
) -> None:
    dropped = table["id"][5]
    store.overlay.put({dropped: {"title": "Another"}}, queue=[dropped], at=now())
    table.drop(index=5).to_csv(updater.changed, index=False)
    updater.complete = True
    assert updater.update().removed == 1
    assert dropped not in served(updater).ids
    assert not entries(store)
    assert not store.overlay.queued()


def test_a_crash_before_absorbing_leaves_what_is_served_right(
    updater: Updater, table: pd.DataFrame, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    priced = table["id"][0]
    store.overlay.put({priced: {"price": 0.5}}, at=now())
    with monkeypatch.context() as patch:
        patch.setattr("training.update.updater.settle", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            updater.update()
    assert served(updater).product(priced)["price"] == float(table["price"][0])
    assert entries(store).keys() == {priced}
    assert again(updater).update().generation is None
    assert not entries(store)


def test_a_change_during_an_update_is_not_absorbed(
    updater: Updater, table: pd.DataFrame, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    priced = table["id"][0]
    store.overlay.put({priced: {"price": 0.5}}, at=now())
    publish = Updater._publish_delta

    def slow(self: Updater, *arguments: object) -> object:
        done = publish(self, *arguments)  # type: ignore[arg-type]
        store.overlay.put({priced: {"price": 0.6}}, at=now() + 9000)
        return done

    monkeypatch.setattr(Updater, "_publish_delta", slow)
    updater.update()
    assert served(updater).product(priced)["price"] == 0.6


def test_what_no_rollback_can_need_is_deleted(updater: Updater, table: pd.DataFrame, store: Store) -> None:
    first = current(updater.root)
    store.overlay.put({table["id"][0]: {"price": 0.5}}, at=now())
    updater.update()
    gc.collect()  # a generation that is open is not pruned
    assert prune(updater.root, 1) == [first]
    again(updater).update()
    assert store.overlay.restore(first) == 0


def _catalog() -> Catalog:
    frame = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "title": ["A", "B", "C"],
            "price": [1, 2, 3],
            "published_at": ["2026-01-01"] * 3,
            "tags": [["x"], ["y"], []],
        }
    )
    return Catalog.from_frame(frame, as_of=100.0)


def test_a_catalogue_takes_what_is_newer_and_the_products_of_the_api() -> None:
    changes = [
        OverlayEntry("a", {"price": 9, "title": "Older"}, 200.0, {"title": 50.0}),
        OverlayEntry("b", None, 50.0),
        OverlayEntry("c", None, 200.0),
        OverlayEntry("aa", {"title": "New", "published_at": "2026-02-03", "size": "M"}, 10.0, added=True),
        OverlayEntry("gone", {"price": 1}, 200.0),  # a change of what the catalogue has dropped
    ]
    before = _catalog()
    after = with_overlay(before, changes)
    assert after.ids == ["a", "aa", "b"]
    assert after.frame["title"].tolist() == ["A", "New", "B"]
    assert after.frame["price"].tolist()[::2] == [9.0, 2.0]
    assert after.frame["tags"].tolist() == [["x"], [], ["y"]]
    assert str(after.frame["published_at"][1]) == "2026-02-03 00:00:00"
    assert after.frame.dtypes.equals(before.frame.dtypes)
    assert after.times().tolist()[::2] == [100.0, 100.0]
    assert after.times()[1] != after.times()[1]
    assert with_overlay(before, []) is before
    times = CatalogTimes.of(before, complete=True)
    nan = float("nan")
    assert [entry.is_older(times.latest(entry, nan)) for entry in changes] == [False, True, False, False, False]
    assert OverlayEntry("gone", {"price": 1}, 50.0).is_older(times.latest(changes[-1], nan))


def test_a_fit_has_the_products_of_the_api(tmp_path: Path, store: Store) -> None:
    url = f"sqlite:///{tmp_path}/shop.sqlite"
    types = ["Mugs", "Bowls"]
    frame = pd.DataFrame(
        {
            "id": [f"p{n:02}" for n in range(40)],
            "title": [f"{types[n % 2]} number {n}" for n in range(40)],
            "product_type": [types[n % 2] for n in range(40)],
            "price": [float(n + 1) for n in range(40)],
        }
    )
    fit = {"encoder": "tfidf", "cache": tmp_path / "cache", "store": url}
    added = {"title": "Mugs of the API", "product_type": "Mugs", "price": 5.0}
    store.overlay.put({"mug": added, "p00": None}, queue=["mug", "p00"], added=["mug"])
    store.overlay.put({"p01": {"price": 0.5}})
    rec = recommender.fit(frame, out=tmp_path / "bundles", **fit, as_of="2020-01-01")
    assert "mug" in rec.similar("p02", 40).item_ids
    assert "p00" not in rec
    assert rec.product("p01")["price"] == 0.5
    assert not store.overlay.queued()
    assert entries(store).keys() == {"mug", "p00", "p01"}
    rec = recommender.fit(frame, out=tmp_path / "bundles", **fit)  # as it is now
    assert {"mug", "p00"} < {*rec.ids}
    assert rec.product("p01")["price"] == 2.0
    assert entries(store).keys() == {"mug"}
    del fit["store"]
    rec = recommender.fit(frame, out=tmp_path / "bundles", **fit)
    assert "mug" not in rec  # it knows nothing of the store
    assert recommender.update(tmp_path / "bundles", store=url, cache=tmp_path / "cache").embedded == 1
    assert "mug" in recommender.load(tmp_path / "bundles")


@pytest.mark.parametrize("moment", ["2999-01-01", "yesterday", 0])
def test_a_moment_that_cannot_be_is_refused(moment: object) -> None:
    with pytest.raises(RequestError, match=r"as_of is .*expected a moment of the past"):
        past_seconds(moment, "as_of")


def test_the_command_takes_the_store_of_a_service_without_one(
    updater: Updater,
    demo_shop: Shop,
    table: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RECOMMENDER_CACHE", str(updater.cache_dir))
    monkeypatch.setattr("training.update.updater.create_for_products", lambda bundle: updater.encoder)
    service = create_app(updater.root, Settings(), watch_seconds=None)
    client, priced = service.test_client(), table["id"][0]
    client.patch(f"/v1/items/{priced}", json={"price": 0.5})
    time.sleep(0.01)
    table.to_csv(updater.changed, index=False)
    command = ["update", str(updater.root), "--config", str(demo_shop.config), "--catalog", str(updater.changed)]
    app([*command, "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["generation"] == current(updater.root)
    service.extensions[KEY].live.refresh()
    assert client.get(f"/v1/items/{priced}").json["price"] == float(table["price"][0])
    assert client.get("/v1/overlay").json["entries"] == []
    service.extensions[KEY].close()


def test_a_column_that_is_not_there_is_named(table: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"no column 'changed' \(mapped to updated_at\)"):
        Catalog.from_frame(table, updated_at="changed")


def test_the_overlay_is_listed_over_http(bundles: Path, table: pd.DataFrame) -> None:
    service = create_app(bundles, Settings(), watch_seconds=None)
    client: FlaskClient = service.test_client()
    ids = sorted(table["id"][:5])
    for item_id in ids[:4]:
        client.patch(f"/v1/items/{item_id}", json={"price": 1, "title": "Oak"})
    client.patch(f"/v1/items/{ids[0]}", json={"price": 2})
    client.delete(f"/v1/items/{ids[4]}")
    service.extensions[KEY].live.overlay.put({ids[1]: {"price": 3}}, replace=True, at=1.0)
    pages, cursor = [], None
    while not pages or cursor:
        answer = client.get(
            "/v1/overlay", query_string={"limit": 2, **({"cursor": cursor} if cursor else {})}
        ).json
        pages, cursor = [*pages, answer["entries"]], answer["next_cursor"]
    assert [len(page) for page in pages] == [2, 2, 1]
    listed = [entry for page in pages for entry in page]
    assert [entry["item_id"] for entry in listed] == ids
    first, second, *_, last = listed
    assert (first["attributes"], first["source"]) == ({"price": 2, "title": "Oak"}, "api")
    assert first["earlier"].keys() == {"title"}
    assert first["earlier"]["title"] < first["updated_at"]
    assert (first["queued"], first["in_force"], second["in_force"]) == (True, True, False)
    assert (last["removed"], last["attributes"]) == (True, {})
    refused = client.get("/v1/overlay?cursor=%C3%A4")
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/cursor")
    service.extensions[KEY].close()
