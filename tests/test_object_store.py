"""A shop at a URL from end to end: fitted, asked, served, updated, batched, rolled back, each from elsewhere."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import httpx
import pandas as pd
import pytest
from typer.testing import CliRunner

import recommender
from recommender.cli import app
from recommender.commands.benchmarks.service import running
from tests.object_store import ENVIRONMENT, new_bucket, s3_server
from tests.test_fitting import EVENTS, PRODUCTS

Command = Callable[..., dict[str, Any]]
ITEM = "103"


@pytest.fixture(params=["s3", "memory"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://{uuid4().hex}/bundles"
        return
    with s3_server() as address:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)
        yield new_bucket()


@pytest.fixture
def on_new_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command with an empty cache, as a machine has it that knows the URL alone."""

    def run(*arguments: Any) -> dict[str, Any]:
        monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / uuid4().hex))
        done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run


def test_a_shop_lives_at_a_url(url: str, on_new_machine: Command, tmp_path: Path) -> None:
    products, events = tmp_path / "products.csv", tmp_path / "events.csv"
    PRODUCTS.to_csv(products, index=False)
    EVENTS.to_csv(events, index=False)
    first = on_new_machine("fit", "--catalog", products, "--events", events, "--out", url)["generation"]

    similar = on_new_machine("similar", url, ITEM, "-k", 3)
    assert (similar["bundle"], len(similar["items"])) == (first, 3)
    if url.startswith("s3:"):
        served(url, tmp_path, similar["items"])

    PRODUCTS.assign(price=1.0).to_csv(products, index=False)
    second = on_new_machine("update", url, "--catalog", products)["generation"]
    cheap = on_new_machine("similar", url, ITEM, "-k", 3, "--filter", "price = 1")
    assert (cheap["bundle"], len(cheap["items"])) == (second, 3)

    recs, state = f"{url}-recs", f"{url}-state.parquet"
    options = ("--kind", "user", "--events", events, "-k", 2, "--changed-since", state)
    users = EVENTS["user_id"].nunique()
    assert on_new_machine("batch", url, *options, "--out", f"{recs}/1")["users"] == users
    assert on_new_machine("batch", url, *options, "--out", f"{recs}/2")["users"] == 0
    with fsspec.open(f"{recs}/1/part-00000.parquet", "rb") as file:
        assert len(pd.read_parquet(file)) == 2 * users

    again = on_new_machine("fit", "--catalog", products, "--events", events, "--out", url)["generation"]
    assert recommender.load(url).generation == again
    assert on_new_machine("bundles", "rollback", url)["generation"] == second
    names = [each["generation"] for each in on_new_machine("bundles", "list", url)["generations"]]
    assert (names[0], names[-1]) == (first, again)
    assert second in names  # the last of the update, which may compact what it changed


def served(url: str, folder: Path, items: list[dict[str, Any]]) -> None:
    """Serve the bundle by processes of their own, and compare what they answer."""
    settings = {"RECOMMENDER_CACHE": str(folder / "cache of the service")}
    with running(url, f"sqlite:///{folder}/store.sqlite", workers=1, settings=settings) as service:
        answer = httpx.get(f"{service.url}/v1/items/{ITEM}/similar?limit=3", timeout=30)
    assert [item["item_id"] for item in answer.json()["items"]] == [item["item_id"] for item in items]
