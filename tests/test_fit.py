"""Fitting shops in which any of images, texts, categories and events are missing."""

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recommender
from recommender.bundle import current
from recommender.catalog import Catalog
from recommender.config import Config
from recommender.demo.shop import Shop
from recommender.errors import DataError
from recommender.events import PLAYED, Event
from recommender.recommender import Recommender
from recommender.stores import open_store
from training.fit import _read_interactions, evaluate_config, fit

COLUMNS = {
    "titles": ["title"],
    "photos": ["image_link"],
    "categories": ["product_type", "color", "brand"],
    "everything": ["title", "image_link", "product_type", "color", "price", "item_group_id"],
    "ids": [],
}


def fitted(
    folder: Path, shop: Shop, columns: list[str], events: pd.DataFrame | None, n: int = 80, **options: Any
) -> Recommender:
    """Fit a part of the demo shop's files; vectors come from the shop's cache."""
    home = shop.config.parent
    products = pd.read_csv(home / "products.csv", dtype=str)
    products[["id", *columns]].head(n).to_csv(folder / "products.csv", index=False)
    catalog: dict[str, object] = {"path": folder / "products.csv"}
    if "image_link" in columns:
        catalog["images"] = home / "photos.zip"
    found: dict[str, object] = {"catalog": catalog, "encoder": {"name": "offline"}}
    if events is not None:
        events.to_csv(folder / "events.csv", index=False)
        found["events"] = {"path": folder / "events.csv"}
    fit(Config.model_validate(found), folder / "bundles", cache_dir=home / "cache", **options)
    return recommender.load(folder / "bundles")


@pytest.fixture(autouse=True)
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train little: what is fitted here need not be good."""
    monkeypatch.setattr("training.behaviour.train.EPOCHS", 2)
    monkeypatch.setattr("training.behaviour.train.MIN_STEPS", 20)


@pytest.fixture(scope="module")
def events(demo_shop: Shop) -> pd.DataFrame:
    """A part of the demo shop's events: enough to tune hyperparameters on, few enough to be quick."""
    return pd.read_csv(demo_shop.config.parent / "events.csv", dtype=str).head(3_000)


@pytest.mark.parametrize(
    ("have", "blocks"),
    [
        ("titles", {"text"}),
        ("photos", {"image"}),
        ("categories", {"category"}),
        ("everything", {"image", "text", "category"}),
    ],
)
def test_a_shop_without_events(tmp_path: Path, demo_shop: Shop, have: str, blocks: set[str]) -> None:
    rec = fitted(tmp_path, demo_shop, COLUMNS[have], None)
    assert set(rec.layout.names) == blocks
    assert len(rec.similar(rec.ids[0], 5)) == len(rec.recommend(rec.ids[:2], 5)) == 5


@pytest.mark.parametrize(
    ("have", "change"),
    [
        ("ids", {}),
        ("titles", {"user_id": "u1"}),
        ("titles", {"timestamp": "2026-01-01T00:00:00Z"}),
        ("titles", {"event_name": "dismiss"}),
    ],
)
def test_few_events(
    tmp_path: Path, demo_shop: Shop, events: pd.DataFrame, have: str, change: dict[str, str]
) -> None:
    rec = fitted(tmp_path, demo_shop, COLUMNS[have], events.assign(**change))
    assert ("behaviour" in rec.layout.names) == (change != {"event_name": "dismiss"}), "dismissals lead nowhere"
    assert len(rec.recommend(rec.ids[:2], 5)) == 5


@pytest.mark.parametrize(("n", "few"), [(1, 0), (2, 30), (80, 30)])
def test_tiny_shops(tmp_path: Path, demo_shop: Shop, events: pd.DataFrame, n: int, few: int) -> None:
    known = events[events["item_id"].isin([product.id for product in demo_shop.products[:n]])]
    rec = fitted(tmp_path, demo_shop, COLUMNS["titles"], known.head(few) if few else None, n)
    assert len(rec.similar(rec.ids[0], 5)) == min(5, n - 1)


def test_ids_without_any_content_are_refused(tmp_path: Path, demo_shop: Shop) -> None:
    with pytest.raises(DataError, match="nothing tells them apart"):
        fitted(tmp_path, demo_shop, [], None)


def test_metrics_are_of_held_out_events(demo_bundles: Path) -> None:
    metrics = recommender.load(demo_bundles).manifest.metrics
    assert metrics["evaluation"]["queries"] > 10
    assert metrics["recall"]["recall"] >= 0.95
    assert set(metrics["seconds"]) >= {"reading", "encoding", "item tower", "publishing"}


def test_events_for_tuning_train_nothing(tmp_path: Path, demo_shop: Shop, events: pd.DataFrame) -> None:
    moment = datetime.fromisoformat(events["timestamp"].sort_values().iloc[len(events) // 2])
    rec = fitted(tmp_path, demo_shop, COLUMNS["titles"], events, learn_until=moment)
    late = pd.to_datetime(events["timestamp"]) >= moment
    never = ~np.isin(rec.ids, events.loc[~late & (events["event_name"] != "dismiss"), "item_id"])
    assert never.any()
    assert np.isin(rec.ids, events.loc[late, "item_id"])[never].any()
    predicted = rec.item_tower.predicted_prior(rec.segment.vectors[never])
    np.testing.assert_array_equal(rec.segment.prior[never], predicted)
    assert not rec.segment.present[never, rec.layout.index("behaviour")].any()
    assert rec.manifest.metrics["training"]["tuning"]["user"]["cases"] > 0


def test_events_without_a_training_part_are_refused(tmp_path: Path, demo_shop: Shop, events: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="nothing is left to learn from"):
        fitted(tmp_path, demo_shop, COLUMNS["titles"], events, learn_until=datetime(2000, 1, 1, tzinfo=UTC))


def test_storefront_shoppers_are_not_trained_on(tmp_path: Path, demo_shop: Shop) -> None:
    config = Config.load(demo_shop.config)
    catalog = Catalog.load(config)
    now = datetime.now(UTC)
    url = f"sqlite:///{tmp_path}/shop.sqlite"
    with open_store(url) as store:
        who = ("customer", f"{PLAYED}Ada")
        store.events.add([Event(catalog.ids[0], "view_item", now, user, event_id=user) for user in who])
    without_files = config.model_copy(update={"events": None})
    found = _read_interactions(without_files, catalog, None, None, url, strict=False, until=None)
    assert found is not None
    assert found.frame["user_id"].tolist() == ["customer"]


def test_evaluating_publishes_nothing(tmp_path: Path, demo_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    metrics = evaluate_config(Config.load(demo_shop.config), cache_dir=demo_shop.config.parent / "cache")
    assert metrics["evaluation"]["queries"] > 10
    assert not list(tmp_path.iterdir())


def test_a_killed_fit_leaves_the_old_generation_and_resumes(
    tmp_path: Path, demo_shop: Shop, demo_bundles: Path
) -> None:
    """kill -9 at several moments of a second fit; what was published before still answers."""
    rec = fitted(tmp_path, demo_shop, COLUMNS["titles"], None)
    before, answer = current(tmp_path / "bundles"), rec.similar(rec.ids[0], 5).item_ids
    code = (
        "from recommender.config import Config; from training.fit import fit;"
        f"fit(Config.model_validate({{'catalog': {{'path': {str(tmp_path / 'products.csv')!r}}},"
        f"'encoder': {{'name': 'offline'}}}}), {str(tmp_path / 'bundles')!r},"
        f"cache_dir={str(tmp_path / 'cache')!r})"
    )
    for seconds in (1.5, 3.0, 4.5):
        child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        child.wait()
        again = recommender.load(tmp_path / "bundles")
        assert again.similar(rec.ids[0], 5).item_ids == answer
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
    assert current(tmp_path / "bundles") >= before
    assert recommender.load(tmp_path / "bundles").n == rec.n
