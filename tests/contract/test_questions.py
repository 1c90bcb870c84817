"""Requests reach the recommender, and its results are returned as the contract says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from recommender.filters import parse
from recommender.ranking.request import Request
from recommender.stores.attribution import SUFFIX_LENGTH, Attribution
from serving.hot_reload import LiveRecommender
from tests.serving_fakes import EVENT, NOW, ids


def test_similar_follows_the_contract(client: FlaskClient) -> None:
    answer = client.get("/v1/items/A/similar?limit=2&explain=summary&fields=title,price")
    assert answer.content_type == "application/json"
    body = answer.json
    assert Attribution.parse(body.pop("recommendation_id")[:-SUFFIX_LENGTH]) == Attribution(
        "g1", "", "similar", ""
    )
    assert body == {
        "placement": None,
        "strategy": "similar",
        "bundle": "g1",
        "items": [
            {
                "item_id": item_id,
                "rank": rank,
                "score": 1.0,
                "explanation": {
                    "parts": {"image": 1.0},
                    "reasons": [{"code": "visual_similarity", "seed": "A", "share": 1.0}],
                    "text": "Looks alike",
                },
                "fields": {"title": f"Product {item_id}", "price": price},
            }
            for rank, item_id, price in [(1, "B", 10.0), (2, "C/1", 20.0)]
        ],
        "retrieval": {"plan": "exact", "eligible": 4, "candidates": 4},
        "fallback_used": None,
        "warnings": [],
    }


def test_a_query_string_reaches_the_recommender(client: FlaskClient, requests: list[Request]) -> None:
    client.get("/v1/items/A/similar", query_string={"filter": "price < 50", "weights": "image=1, prior=0.5"})
    weights = {"image": 1.0, "prior": 0.5}
    expected = Request(strategy="similar", items=("A",), k=12, filter=parse("price < 50"), weights=weights)
    assert requests == [expected]


def test_ids_with_a_slash_have_another_route(client: FlaskClient) -> None:
    assert ids(client.get("/v1/similar?item_id=C/1")) == ["A", "B", "D", "E"]
    assert client.get("/v1/items:get?item_id=C%2F1").json["id"] == "C/1"
    assert client.get("/v1/items/A").json == {"id": "A", "title": "Product A", "price": 0.0}


def test_etags_answer_with_304(client: FlaskClient, engine: LiveRecommender) -> None:
    first = client.get("/v1/items/A/similar")
    known = {"If-None-Match": first.headers["ETag"]}
    again = client.get("/v1/items/A/similar", headers=known)
    assert (again.status_code, again.data) == (304, b"")
    assert client.get("/v1/items/A/similar?limit=3", headers=known).status_code == 200
    engine.overlay.put({"B": {"price": 1}})
    assert client.get("/v1/items/A/similar", headers=known).status_code == 200


def test_changed_attributes_show_in_fields(client: FlaskClient, engine: LiveRecommender) -> None:
    engine.overlay.put({"B": {"price": 1.5}})
    items = client.get("/v1/items/A/similar?fields=title,price").json["items"]
    assert items[0]["fields"] == {"title": "Product B", "price": 1.5}


@pytest.mark.parametrize(
    ("body", "strategy", "items"),
    [
        ({}, "popular", ["A", "B", "C/1", "D", "E"]),
        ({"seeds": {"items": [{"item_id": "A"}]}}, "similar", ["B", "C/1", "D", "E"]),
        ({"seeds": {"items": [{"item_id": "A"}, {"item_id": "B"}]}}, "for_you", ["C/1", "D", "E"]),
        ({"seeds": {"items": [{"item_id": "A"}]}, "strategy": "for_you"}, "for_you", ["B", "C/1", "D", "E"]),
        ({"seeds": {"events": [{"item_id": "B"}]}, "limit": 2}, "for_you", ["A", "C/1"]),
        ({"seeds": {"events": [{"item_id": "B"}]}, "strategy": "popular"}, "popular", ["A", "C/1", "D", "E"]),
        (
            {"seeds": {"events": [{"item_id": "B"}]}, "exclude": {"seen": False}},
            "for_you",
            ["A", "B", "C/1", "D", "E"],
        ),
        ({"strategy": "popular", "exclude": {"item_ids": ["A", "E"]}}, "popular", ["B", "C/1", "D"]),
    ],
)
def test_the_general_route(client: FlaskClient, body: dict[str, Any], strategy: str, items: list[str]) -> None:
    answer = client.post("/v1/recommendations", json=body)
    assert ids(answer) == items
    assert answer.json["strategy"] == strategy


def test_recent_purchases_can_be_excluded(client: FlaskClient) -> None:
    events = [
        {"item_id": item_id, "event_name": name, "timestamp": (NOW - timedelta(days=days)).isoformat()}
        for item_id, name, days in [("A", "purchase", 3), ("B", "purchase", 30), ("D", "view_item", 3)]
    ]
    question = {"seeds": {"events": events}, "exclude": {"seen": False, "purchased_days": 7}}
    assert ids(client.post("/v1/recommendations", json=question)) == ["B", "C/1", "D", "E"]


def test_session_events_reach_the_recommender(client: FlaskClient, requests: list[Request]) -> None:
    rated = {"event_name": "rate", "item_id": "B", "timestamp": "2026-11-23T06:40:00+02:00", "value": 4}
    client.post("/v1/recommendations", json={"seeds": {"events": [rated], "items": [{"item_id": "A"}]}})
    first, second = requests[-1].events
    assert (first.item_id, first.event_name, first.value) == ("B", "rate", 4.0)
    assert first.timestamp == datetime(2026, 11, 23, 4, 40, tzinfo=UTC)
    assert (second.item_id, second.event_name) == ("A", "view_item")
    assert abs(second.timestamp - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("items/A/similar?", {"strategy": "similar", "seeds": {"items": [{"item_id": "A"}]}}),
        ("similar?item_id=A&", {"strategy": "similar", "seeds": {"items": [{"item_id": "A"}]}}),
        ("items/A/complementary?", {"strategy": "complementary", "seeds": {"items": [{"item_id": "A"}]}}),
        ("complementary?item_id=A&", {"strategy": "complementary", "seeds": {"items": [{"item_id": "A"}]}}),
        ("users/u/recommendations?", {"strategy": "for_you", "seeds": {"user_id": "u"}}),
        ("recommendations?user_id=u&", {"strategy": "for_you", "seeds": {"user_id": "u"}}),
        ("trending?", {"strategy": "trending"}),
        ("new?", {"strategy": "new"}),
    ],
)
def test_events_stored_under_a_session_count_at_once_in_get_requests(
    client: FlaskClient, requests: list[Request], path: str, body: dict[str, Any]
) -> None:
    before = client.get(f"/v1/{path}session_id=s%2F1")
    assert before.headers.get("ETag") is None  # it would not change with the events
    session = {**EVENT, "items": [{"item_id": "B"}], "user_id": None, "session_id": "s/1"}
    assert client.post("/v1/events", json=session).status_code == 200
    after = client.get(f"/v1/{path}session_id=s%2F1")
    assert set(ids(before)) - set(ids(after)) == {"B"}
    assert [event.item_id for event in requests[-1].session] == ["B"]
    assert ids(client.post("/v1/recommendations", json={**body, "session_id": "s/1"})) == ids(after)
    assert ids(client.get(f"/v1/{path}session_id=another")) == ids(before)


def test_a_session_of_a_get_request_has_a_valid_id(client: FlaskClient) -> None:
    for session_id in ("", "a%00b", "x" * 513):
        refused = client.get(f"/v1/items/A/similar?session_id={session_id}")
        assert refused.status_code == 422
        assert refused.json["errors"][0]["pointer"] == "/session_id"
