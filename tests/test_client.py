"""The client against the real app: each method makes its call, and errors are raised."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from recommender.client import Client, ServiceError
from recommender.recommender import load
from serving.app import create_app
from serving.service import KEY
from serving.settings import Key, Settings

PLACEMENTS = {"pdp": {"question": {"strategy": "similar", "limit": 3}}, "home": {"question": {"limit": 3}}}


@pytest.fixture(scope="module")
def client(demo_bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    store = f"sqlite:///{tmp_path_factory.mktemp('client')}/store.db"
    keys = {"shop": Key(sha256=Key.hash("secret"), scopes=("public", "server", "admin"))}
    settings = Settings.model_validate({"store": store, "keys": keys, "placements": PLACEMENTS})
    app = create_app(demo_bundles, settings, watch_seconds=None)
    with Client("http://shop", "secret", transport=httpx.WSGITransport(app=app)) as client:
        yield client
    app.extensions[KEY].close()


@pytest.fixture(scope="module")
def ids(demo_bundles: Path) -> list[str]:
    return load(demo_bundles).ids


def test_recommendations(client: Client, ids: list[str]) -> None:
    answer = client.similar(ids[0], limit=2, fields=["title", "price"], weights={"image": 1, "text": 0.5})
    assert len(answer["items"]) == 2
    assert set(answer["items"][0]["fields"]) == {"title", "price"}
    assert client.complementary(ids[0])["strategy"] == "complementary"
    assert client.trending(limit=1)["items"]
    assert client.new(limit=1)["strategy"] == "new"
    seeds = {"items": [{"item_id": ids[0]}]}
    assert client.recommend(seeds=seeds, limit=2)["strategy"] == "similar"
    assert client.recommend(placement="pdp", seeds=seeds)["placement"] == "pdp"
    page = client.page([{"placement": "pdp"}, {"placement": "home"}], seeds=seeds)
    shown = [item["item_id"] for answer in page["placements"] for item in answer["items"]]
    assert len(shown) == len(set(shown)) == 6
    assert client.explain([ids[1]], seeds=seeds)["items"][0]["item_id"] == ids[1]


def test_events_and_users(client: Client, ids: list[str]) -> None:
    def event(number: int, **who: str) -> dict[str, object]:
        now = datetime.now(UTC).isoformat()
        items = [{"item_id": ids[number]}]
        return {"event_id": f"e{number}", "event_name": "view_item", "timestamp": now, "items": items, **who}

    assert client.send(event(0, user_id="u/1"))["status"] == "stored"
    results = client.send_many([event(0, user_id="u/1"), event(1, session_id="s")])["events"]
    assert [each["status"] for each in results] == ["known", "stored"]
    assert client.merge("s", "u/1") == {"merged": 1}
    assert [each["item_id"] for each in client.user_events("u/1")["events"]] == ids[:2]
    assert client.for_user("u/1", limit=3)["strategy"] == "for_you"
    assert client.erase_user("u/1")["events"] == 2
    assert client.user_events("u/1")["events"] == []


def test_products(client: Client, ids: list[str]) -> None:
    results = client.change_items([{"id": ids[5], "price": 1.5}, {"id": "new/1", "title": "A new mug"}])
    assert results["queued"] == ["new/1"]
    assert client.item(ids[5])["price"] == 1.5
    assert client.item("new/1")["title"] == "A new mug"
    client.delete_item("new/1")
    with pytest.raises(ServiceError, match="unknown item"):
        client.item("new/1")
    assert client.thumbnail(ids[0]).startswith(b"\xff\xd8")


def test_operations(client: Client) -> None:
    generation = client.info()["bundle"]
    assert client.generations()["in_service"] == generation
    assert client.activate(generation) == {"generation": generation}
    assert "placements" in client.report("2026-11-01", "2026-11-30")
    assert client.order_report("2026-11-01", "2026-11-30", by=["day", "arm"])["lines"] == []
    with pytest.raises(ServiceError, match="unknown experiment 'x'"):
        client.experiment_report("x", "2026-11-01")
    with pytest.raises(ServiceError) as refused:
        client.rollback()
    assert refused.value.status == 409


def test_an_error_has_its_problem_document(client: Client) -> None:
    with pytest.raises(ServiceError, match="did you mean") as refused:
        client.trending(filter="prise < 5")
    assert refused.value.status == 422
    assert refused.value.problem["errors"][0]["suggestion"] == "price"
    with pytest.raises(ServiceError, match="501"):
        client.search(image=b"no image")


def test_an_error_without_a_problem_document_has_its_status() -> None:
    def busy(request: httpx.Request) -> httpx.Response:
        assert "Authorization" not in request.headers
        return httpx.Response(503, headers={"Retry-After": "5"}, text="<html>")

    with (
        Client("http://shop", transport=httpx.MockTransport(busy)) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.info()
    assert (caught.value.status, caught.value.retry_after) == (503, 5.0)
