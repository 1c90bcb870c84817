"""A user's events and attributes: stored, listed, merged, erased."""

from collections.abc import Iterator
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


def exported(client: FlaskClient, user_id: str, limit: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of a user's events, the latest first."""
    query: dict[str, Any] = {"user_id": user_id, "limit": limit}
    while query:
        answer = client.get("/v1/events", query_string=query)
        assert answer.status_code == 200, answer.json
        yield answer.json["events"]
        cursor = answer.json["next_cursor"]
        query = query | {"cursor": cursor} if cursor else {}


def test_the_export_of_a_user_goes_to_the_end_while_events_are_added(client: FlaskClient) -> None:
    items = rec_of(client).ids
    send(client, "u", [("view_item", items[n % 9]) for n in range(25)])
    known = [event["event_id"] for event in client.get("/v1/users/u/events?limit=1000").json["events"]]
    assert len(known) == 25
    pages = []
    for page in exported(client, "u", 6):
        pages.insert(0, [event["event_id"] for event in page])
        now = {"event_id": f"new{len(pages)}", "event_name": "view_item", "timestamp": NOW.isoformat()}
        post(client, "events", **now, user_id="u", items=[{"item_id": items[0]}])
    assert [event_id for page in pages for event_id in page] == known
    assert [len(page) for page in pages] == [1, 6, 6, 6, 6]
    assert [len(page) for page in exported(client, "u", 6)] == [6, 6, 6, 6, 6]  # exactly at the end


@pytest.mark.parametrize(
    "cursor", ["x", "", "WzEsMl0=", "W251bGwsIiIsIiJd", "WzEsIlx1MDAwMCIsImEiXQ==", "é", "A" * 9000]
)
def test_a_cursor_of_another_list_is_refused(client: FlaskClient, cursor: str) -> None:
    for path, query in (("users/u/events", {}), ("events", {"user_id": "u"}), ("bundles", {})):
        answer = client.get(f"/v1/{path}", query_string={**query, "cursor": cursor})
        assert answer.status_code == 422, (path, answer.json)
        assert answer.json["errors"][0]["pointer"] == "/cursor"


def test_lines_of_one_product_add_up(client: FlaskClient) -> None:
    a, b = rec_of(client).ids[:2]
    lines = [
        {"item_id": a, "quantity": 1, "price": 10.0},
        {"item_id": b, "quantity": 1},
        {"item_id": a, "quantity": 2, "price": 4.0},
        {"item_id": b},
    ]
    event = {"event_id": "o", "event_name": "purchase", "timestamp": NOW.isoformat(), "user_id": "u"}
    post(client, "events", **event, items=lines)
    events = client.get("/v1/users/u/events").json["events"]
    amounts = {each["item_id"]: (each["quantity"], each["price"]) for each in events}
    assert amounts == {a: (3.0, 6.0), b: (2.0, None)}
    back = [{"item_id": a, "quantity": -2, "price": 5.0}, {"item_id": a, "quantity": 1, "price": 5.0}]
    post(client, "events", **event | {"event_id": "r"}, items=back)
    (returned,) = [each for each in client.get("/v1/users/u/events").json["events"] if each["event_id"] == "r"]
    assert (returned["event_name"], returned["quantity"], returned["price"]) == ("refund", -1.0, 5.0)
    most = [{"item_id": a, "quantity": 1e15}] * 2
    refused = client.post("/v1/events", json={**event, "event_id": "x", "items": most})
    assert refused.status_code == 422
