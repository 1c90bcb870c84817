"""A user's events and attributes: stored, listed, merged, erased."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from tests.http_api.helpers import NOW, post, rec_of, send
from tests.http_api.helpers import ids as ids_of
from tests.made_bundles import draw_product, publish_products
from tests.test_profile import make_tower


def test_the_events_of_a_user_are_listed_merged_and_erased(client: FlaskClient) -> None:
    a, b = rec_of(client).ids[:2]
    send(client, "u/1", [("view_item", a)])
    event = {"event_id": "s", "event_name": "view_item", "timestamp": NOW.isoformat(), "session_id": "s1"}
    post(client, "events", **event, items=[{"item_id": b}])
    assert post(client, "users:merge", session_id="s1", user_id="u/1") == {"merged": 1}
    results = client.get("/v1/events?user_id=u/1").json["events"]
    assert [event["item_id"] for event in results] == [a, b]
    receipt = post(client, "users:erase", user_id="u/1")
    assert receipt["events"] == 2
    assert client.get("/v1/events?user_id=u/1").json["events"] == []
    again = post(client, "events", **event, user_id="u/1", items=[{"item_id": b}])
    assert again["status"] == "known"
    assert client.delete("/v1/users/u2").json["events"] == 0


def test_a_batch_of_events_stores_the_valid_and_reports_the_invalid(client: FlaskClient) -> None:
    right = {"event_id": "e", "event_name": "view_item", "timestamp": NOW.isoformat(), "user_id": "u"}
    events = [{**right, "items": [{"item_id": "x"}]}, {**right, "event_name": "vew_item"}, 7]
    results = post(client, "events:batch", events=events)["events"]
    assert [each["status"] for each in results] == ["stored", "invalid", "invalid"]
    assert results[1]["errors"][0]["suggestion"] == "view_item"


def test_attributes_are_stored_returned_and_erased(client: FlaskClient) -> None:
    attributes = {"age": 34, "segment": "trade", "tags": ["a"], "vip": True, "gone": None}
    stored = client.put("/v1/users/u1", json={"attributes": attributes})
    assert stored.json == {"user_id": "u1", "attributes": attributes}
    assert client.get("/v1/users/u1").json == stored.json
    assert post(client, "users:put", user_id="u/2", attributes={"age": 20})["attributes"] == {"age": 20}
    assert client.get("/v1/users:get?user_id=u/2").json["attributes"] == {"age": 20}
    client.put("/v1/users/u1", json={"attributes": {"age": 35}})
    assert client.get("/v1/users/u1").json["attributes"] == {"age": 35}
    client.delete("/v1/users/u1")
    assert client.get("/v1/users/u1").json["attributes"] == {}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/attributes"),
        ({"attributes": {"age": {"years": 3}}}, "/attributes/age"),
        ({"attributes": {"note": "x" * 201}}, "/attributes/note"),
        ({"attributes": {f"a{i}": i for i in range(51)}}, "/attributes"),
        ({"attributes": {"age": 3}, "user": "u"}, "/user"),
    ],
    ids=str,
)
def test_attributes_of_another_form_are_refused(client: FlaskClient, body: dict[str, Any], pointer: str) -> None:
    refused = client.put("/v1/users/u1", json=body)
    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"].startswith(pointer)
    assert client.get("/v1/users/u1").json["attributes"] == {}


def test_stored_attributes_and_those_of_a_request_reach_the_score(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    ids = [f"P{i:02}" for i in range(40)]
    products = [draw_product(generator, item_id, ids[:i]) for i, item_id in enumerate(ids)]
    publish_products(tmp_path / "bundles", products, profile=make_tower())
    app = create_app(tmp_path / "bundles", Settings(store=f"sqlite:///{tmp_path}/s.db"), watch_seconds=None)
    client = app.test_client()
    rec = rec_of(client)
    expected = {name: rec.recommend(user={"segment": name}, k=12) for name in ("trade", "private")}
    client.put("/v1/users/u1", json={"attributes": {"segment": "trade", "note": "not learned"}})
    stored = client.get("/v1/users/u1/recommendations").json
    assert (stored["strategy"], stored["warnings"]) == ("for_you", [])
    assert ids_of(stored) == [item.item_id for item in expected["trade"]]
    given = post(client, seeds={"user_id": "u1"}, user={"segment": "private"}, explain="summary")
    assert ids_of(given) == [item.item_id for item in expected["private"]]
    assert "your_profile" in str(given["items"])
    anonymous = post(client, user={"segment": "private"}, context={"hour": "evening"})
    assert anonymous["strategy"] == "for_you"
    page = post(client, "explanations", item_ids=["P03"], seeds={"user_id": "u1"})
    assert page["items"][0]["explanation"]["parts"]["profile"] != 0
    client.delete("/v1/users/u1")
    assert client.get("/v1/users/u1/recommendations").json["fallback_used"] == "popular"
    app.extensions[KEY].close()
