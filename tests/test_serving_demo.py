"""The service over the real recommender on the demo shop: what HTTP answers is what the library answers."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

import recommender
from recommender.recommender import Recommender
from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings

HEAVY = {"torch", "torchvision", "open_clip", "timm", "transformers", "pandas", "sklearn", "scipy", "pyarrow"}


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


@pytest.fixture
def app(demo_bundles: Path, tmp_path: Path) -> Iterator[APIFlask]:
    app = create_app(demo_bundles, Settings(store=f"sqlite:///{tmp_path}/store.db"), watch_seconds=None)
    yield app
    app.extensions[KEY].close()


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    return app.test_client()


def body_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.data
    body: dict[str, Any] = answer.json
    assert body.pop("recommendation_id")
    assert body.pop("placement") is None
    return body


def as_json(answer: Any) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads(json.dumps(answer.to_dict()))
    return expected


def test_every_product_has_the_librarys_results(client: FlaskClient, rec: Recommender) -> None:
    for item_id in rec.ids:
        body = body_of(client.get(f"/v1/similar?item_id={item_id}&limit=5&explain=summary"))
        assert body == as_json(rec.similar(item_id, 5, explain=True))
        for item in body["items"]:
            assert sum(item["explanation"]["parts"].values()) == pytest.approx(item["score"], abs=1e-6)


def test_filter_weights_and_fields(client: FlaskClient, rec: Recommender) -> None:
    item_id = rec.ids[3]
    query = {"filter": "price < 40", "weights": "image=1,category=0", "fields": "title,price,brand", "limit": 8}
    body = body_of(client.get(f"/v1/items/{item_id}/similar", query_string=query))
    fields = [item.pop("fields") for item in body["items"]]
    assert body == as_json(rec.similar(item_id, 8, filter="price < 40", weights={"image": 1, "category": 0}))
    assert fields == [
        {name: rec.product(item["item_id"])[name] for name in ("title", "price", "brand")}
        for item in body["items"]
    ]
    assert all(field["price"] < 40 for field in fields)


def test_both_forms_of_a_filter_are_equal(client: FlaskClient) -> None:
    tree = {"must": [{"field": "price", "range": {"lt": 40}}], "must_not": [{"field": "brand", "any": ["Nara"]}]}
    text = 'price < 40 AND NOT brand: ANY("Nara")'
    answers = [
        body_of(client.post("/v1/recommendations", json={"filter": form, "limit": 30})) for form in (tree, text)
    ]
    assert answers[0] == answers[1]
    assert answers[0]["items"]


def test_an_unknown_field_of_a_filter_has_a_pointer(client: FlaskClient) -> None:
    filter = {"must": [{"field": "pric", "range": {"lt": 40}}]}
    answer = client.post("/v1/recommendations", json={"filter": filter})
    (error,) = answer.json["errors"]
    assert (answer.status_code, error["suggestion"]) == (422, "price")
    assert error["pointer"].startswith("/filter/must/0")


def test_a_stored_history_has_the_librarys_results(client: FlaskClient, rec: Recommender, app: APIFlask) -> None:
    for place, item_id in enumerate(rec.ids[:6]):
        event = {
            "event_id": f"e{place}",
            "event_name": "purchase",
            "timestamp": f"2026-11-2{place}T08:00:00Z",
            "user_id": "u/1",
            "items": [{"item_id": item_id}],
        }
        assert client.post("/v1/events", json=event).status_code == 200
    body = body_of(client.get("/v1/recommendations?user_id=u/1&explain=summary"))
    history = app.extensions[KEY].store.events.history("u/1")
    assert body == as_json(rec.recommend(history, 12, explain=True))
    assert body["strategy"] == "for_you"
    again = [item for item in body["items"] if item["item_id"] in rec.ids[:6]]
    assert all(item["explanation"]["parts"]["repeat"] > 0 for item in again)


def test_an_unknown_user_gets_the_fallback(client: FlaskClient) -> None:
    body = body_of(client.get("/v1/users/nobody/recommendations"))
    assert (body["strategy"], body["fallback_used"]) == ("popular", "popular")
    assert len(body["items"]) == 12


def test_unknown_items_among_known_are_named(client: FlaskClient, rec: Recommender) -> None:
    seeds = {"items": [{"item_id": rec.ids[0]}, {"item_id": "nowhere"}]}
    body = body_of(client.post("/v1/recommendations", json={"seeds": seeds}))
    assert "nowhere" in body["warnings"][0]


def test_a_changed_price_takes_effect_at_once(client: FlaskClient, app: APIFlask, rec: Recommender) -> None:
    item_id = rec.similar(rec.ids[0], 1)[0].item_id
    app.extensions[KEY].live.overlay.put({item_id: {"price": 99999.0}})
    query = {"filter": "price > 9999", "fields": "price"}
    body = body_of(client.get(f"/v1/items/{rec.ids[0]}/similar", query_string=query))
    assert [(item["item_id"], item["fields"]) for item in body["items"]] == [(item_id, {"price": 99999.0})]


def test_images_are_those_of_the_product(client: FlaskClient, rec: Recommender) -> None:
    for item_id in rec.ids[:20]:
        picture = client.get(f"/v1/thumbnails?item_id={item_id}")
        expected = rec.thumbnail(item_id)
        assert picture.status_code == (404 if expected is None else 200)
        assert expected is None or picture.data == expected


def test_a_truncated_generation_is_not_loaded(demo_bundles: Path, tmp_path: Path) -> None:
    bundles = shutil.copytree(demo_bundles, tmp_path / "bundles")
    app = create_app(bundles, watch_seconds=None)
    engine = app.extensions[KEY].live
    before = app.test_client().get("/v1/recommendations?user_id=u").json["bundle"]
    manifest = bundles / "generations" / f"{before}.json"
    newer = manifest.with_name("20991231T000000Z-00000000.json")
    newer.write_text(manifest.read_text().replace(before, newer.stem).replace('"bytes": ', '"bytes": 1'))
    (bundles / "CURRENT").write_text(newer.stem)
    engine.refresh()
    client = app.test_client()
    assert client.get("/v1/recommendations?user_id=u").json["bundle"] == before
    assert client.get("/healthz/ready").json["status"] == "degraded"
    app.extensions[KEY].close()


SCRIPT = """
import json, sys
from serving.app import create_app
from serving.settings import Settings

client = create_app(sys.argv[1], Settings(store=sys.argv[2]), watch_seconds=None).test_client()
item_id, event = sys.argv[3], json.loads(sys.argv[4])
options = {"filter": "price > 0", "explain": "summary", "fields": ["title"]}
answers = [
    client.get(f"/v1/items/{item_id}/similar", query_string={**options, "fields": "title"}),
    client.post("/v1/events", json=event),
    client.get("/v1/users/u/recommendations?explain=summary"),
    client.post("/v1/recommendations", json={"seeds": {"items": [{"item_id": item_id}]}, **options}),
    client.get("/"), client.get("/openapi.json"), client.get("/v1/thumbnails", query_string={"item_id": item_id}),
]
print(json.dumps({"status": [answer.status_code for answer in answers], "modules": sorted(sys.modules)}))
"""


def test_requests_by_id_import_nothing_heavy(demo_bundles: Path, tmp_path: Path, rec: Recommender) -> None:
    item_id = next(item_id for item_id in rec.ids if rec.thumbnail(item_id))
    event = {
        "event_id": "e",
        "event_name": "view_item",
        "timestamp": datetime.now(UTC).isoformat(),
        "user_id": "u",
        "items": [{"item_id": item_id}],
    }
    arguments = [str(demo_bundles), f"sqlite:///{tmp_path}/s.db", item_id, json.dumps(event)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == [200] * 7
    assert not HEAVY & {module.split(".")[0] for module in result["modules"]}
