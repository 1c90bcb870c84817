"""The Python entry points: fit, update and evaluate from frames, files and configs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recommender
from recommender import Recommender
from recommender.config import Config
from recommender.errors import ConfigError, DataError, RecommenderError, RequestError

ROOT = Path(__file__).parent.parent
KINDS = ("mug", "lamp", "scarf", "chair")


def products_of(n: int = 40) -> pd.DataFrame:
    """A shop whose ids are whole numbers, as `read_csv` makes them of digits."""
    rows = np.arange(n)
    return pd.DataFrame(
        {
            "id": 100 + rows,
            "title": [f"{('red', 'blue', 'green')[row % 3]} {KINDS[row % 4]} {row}" for row in rows],
            "product_type": [f"Home > {KINDS[row % 4]}" for row in rows],
            "price": 5.0 + rows,
        }
    )


def events_of(products: pd.DataFrame) -> pd.DataFrame:
    """Users who stay with one kind."""
    draw = np.random.default_rng(0)
    users = np.repeat(np.arange(120), 5)
    rows = draw.integers(0, len(products) // 4, len(users)) * 4 + users % 4
    return pd.DataFrame(
        {
            "user_id": users,
            "item_id": products["id"].to_numpy()[rows],
            "event_name": draw.choice(["view_item", "purchase"], len(users)),
            "timestamp": pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(np.arange(len(users)), "h"),
        }
    )


PRODUCTS = products_of()
EVENTS = events_of(PRODUCTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fitting")


@pytest.fixture(scope="module")
def rec(folder: Path) -> Recommender:
    return recommender.fit(PRODUCTS, EVENTS, out=folder / "bundles", encoder="tfidf", cache=folder / "cache")


def test_two_frames_become_a_recommender(rec: Recommender) -> None:
    assert len(rec) == len(PRODUCTS)
    result = rec.similar("100", 3)
    assert len(result) == 3
    assert rec.products()["title"].tolist() == PRODUCTS["title"].tolist()
    assert "behaviour" in rec.layout.names
    assert "evaluation" in rec.manifest.metrics


def test_files_equal_frames(rec: Recommender, folder: Path) -> None:
    PRODUCTS.to_csv(folder / "products.csv", index=False)
    EVENTS.to_csv(folder / "events.csv", index=False)
    config = Config.from_mapping(
        {
            "catalog": {"path": folder / "products.csv"},
            "events": {"path": folder / "events.csv"},
            "encoder": {"name": "tfidf"},
        }
    )
    again = recommender.fit(config, out=folder / "again", cache=folder / "cache")
    for item_id in rec.ids[:5]:
        assert again.similar(item_id, 5).item_ids == rec.similar(item_id, 5).item_ids


def test_an_update_from_a_frame_changes_and_adds_products(rec: Recommender, folder: Path) -> None:
    changed = pd.concat([PRODUCTS.iloc[[0]].assign(price=1.0), products_of(41).iloc[[40]]])
    result = recommender.update(folder / "bundles", changed, cache=folder / "cache")
    assert result.embedded == 2
    updated = recommender.load(folder / "bundles")
    assert updated.product("100")["price"] == 1.0
    assert "140" in updated
    assert updated.similar("140", 3).strategy == "similar"


def test_evaluate_publishes_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*.json"))
    metrics = recommender.evaluate(PRODUCTS, EVENTS, encoder="tfidf", cache=folder / "cache")
    assert "hybrid" in metrics["evaluation"]["rankers"]
    assert sorted(folder.rglob("generations/*.json")) == [path for path in before if "generations" in str(path)]


@pytest.mark.parametrize(
    ("products", "options", "message"),
    [
        (PRODUCTS.rename(columns={"id": "sku"}), {}, r"no column 'id'.*id=\"sku\""),
        (PRODUCTS.iloc[:0], {}, "the products frame has no rows; expected at least one"),
        (PRODUCTS.assign(id=PRODUCTS["id"].astype(float) + 0.5), {}, r"floats in the column 'id'.*dtype=str"),
        ([{"id": "1"}], {}, "is a list; expected a pandas DataFrame or a path"),
        (PRODUCTS, {"columns": {"titel": "name"}}, "titel"),
        (PRODUCTS, {"encoder": "tfidff"}, "did you mean 'tfidf'"),
        ("nowhere.csv", {}, "nowhere.csv"),
        ("nowhere.toml", {"encoder": "auto"}, "nowhere.toml"),
    ],
    ids=["no id column", "empty", "float ids", "a list", "a wrong key", "a wrong encoder", "no file", "no TOML"],
)
def test_invalid_input_is_one_clear_error(
    tmp_path: Path, products: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecommenderError, match=message) as raised:
        recommender.fit(products, out=tmp_path / "bundles", **{"encoder": "tfidf"} | options)
    assert "\n" not in str(raised.value)


def test_events_of_a_frame_are_checked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="user_id"):
        recommender.fit(PRODUCTS, EVENTS.drop(columns="user_id"), out=tmp_path / "bundles", encoder="tfidf")


def test_a_config_names_everything_itself(tmp_path: Path) -> None:
    config = Config.from_mapping({"catalog": {"path": "p.csv"}})
    with pytest.raises(ConfigError, match="events is given beside a config"):
        recommender.fit(config, EVENTS, out=tmp_path)
    with pytest.raises(ConfigError, match="encoder is given beside a config"):
        recommender.fit(config, out=tmp_path, encoder="tfidf")
    with pytest.raises(TypeError, match="encodr"):
        recommender.fit(PRODUCTS, out=tmp_path, encodr="tfidf")  # type: ignore[call-arg]
    with pytest.raises(RequestError, match="nothing to update from"):
        recommender.update(tmp_path)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import recommender
for call in (
    lambda: recommender.fit("p.csv", out="b"),
    lambda: recommender.update("b", "p.csv"),
    lambda: recommender.evaluate("p.csv"),
):
    try:
        call()
    except recommender.RecommenderError as error:
        print(error)
"""


def test_without_torch_the_error_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    lines = [f"recommender.{name} needs torch, which is not installed" for name in ("fit", "update", "evaluate")]
    assert [line.partition(";")[0] for line in done.stdout.splitlines()] == lines
