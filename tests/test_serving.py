"""The service's contract, on a fake recommender: requests, answers, errors, the OpenAPI document, the page."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from serving_fakes import FakeRecommender, load, publish

from recommender.errors import StoreError
from recommender.filters import parse
from recommender.served import SUFFIX, Served
from serving.app import create_app, default_store
from serving.engine import Engine
from serving.service import KEY, Service
from serving.settings import Settings

NOW = datetime.now(UTC)
EVENT = {
    "event_id": "e-1",
    "event_name": "add_to_cart",
    "timestamp": NOW.isoformat(),
    "user_id": "u 1",
    "items": [{"item_id": "A", "quantity": 1, "price": 9.5}],
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[APIFlask]:
    publish(tmp_path / "bundles", "g1")
    app = create_app(tmp_path / "bundles", Settings(max_body_bytes=1 << 20), load=load, watch_seconds=None)
    yield app
    app.extensions[KEY].close()


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def engine(app: APIFlask) -> Engine:
    service: Service = app.extensions[KEY]
    return service.engine


@pytest.fixture
def asked(engine: Engine) -> dict[str, Any]:
    fake: FakeRecommender = engine.recommender
    return fake.asked


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.json
    return [item["item_id"] for item in answer.json["items"]]


# Questions


def test_similar_answers_as_the_contract_says(client: FlaskClient) -> None:
    answer = client.get("/v1/items/A/similar?limit=2&explain=summary&fields=title,price")
    assert answer.content_type == "application/json"
    body = answer.json
    assert Served.of(body.pop("recommendation_id")[:-SUFFIX]) == Served("g1", "", "similar", "")
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


def test_a_query_string_reaches_the_recommender(client: FlaskClient, asked: dict[str, Any]) -> None:
    client.get("/v1/items/A/similar", query_string={"filter": "price < 50", "weights": "image=1, prior=0.5"})
    assert asked == {
        "k": 12,
        "filter": parse("price < 50"),
        "weights": {"image": 1.0, "prior": 0.5},
        "exclude": frozenset(),
        "explain": False,
    }


def test_ids_with_a_slash_have_a_twin(client: FlaskClient) -> None:
    assert ids(client.get("/v1/similar?item_id=C/1")) == ["A", "B", "D", "E"]
    assert client.get("/v1/items:get?item_id=C%2F1").json["id"] == "C/1"
    assert client.get("/v1/items/A").json == {"id": "A", "title": "Product A", "price": 0.0}


def test_an_answer_is_known_again_by_its_etag(client: FlaskClient, engine: Engine) -> None:
    first = client.get("/v1/items/A/similar")
    known = {"If-None-Match": first.headers["ETag"]}
    again = client.get("/v1/items/A/similar", headers=known)
    assert (again.status_code, again.data) == (304, b"")
    assert client.get("/v1/items/A/similar?limit=3", headers=known).status_code == 200
    engine.overlay.put({"B": {"price": 1}})
    assert client.get("/v1/items/A/similar", headers=known).status_code == 200


def test_changed_attributes_show_in_fields(client: FlaskClient, engine: Engine) -> None:
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
def test_the_general_question(client: FlaskClient, body: dict[str, Any], strategy: str, items: list[str]) -> None:
    answer = client.post("/v1/recommendations", json=body)
    assert ids(answer) == items
    assert answer.json["strategy"] == strategy


def test_what_was_bought_lately_may_be_left_out(client: FlaskClient) -> None:
    events = [
        {"item_id": item_id, "event_name": name, "timestamp": (NOW - timedelta(days=days)).isoformat()}
        for item_id, name, days in [("A", "purchase", 3), ("B", "purchase", 30), ("D", "view_item", 3)]
    ]
    question = {"seeds": {"events": events}, "exclude": {"seen": False, "purchased_days": 7}}
    assert ids(client.post("/v1/recommendations", json=question)) == ["B", "C/1", "D", "E"]


def test_session_events_reach_the_recommender_as_said(client: FlaskClient, asked: dict[str, Any]) -> None:
    rated = {"event_name": "rate", "item_id": "B", "timestamp": "2026-11-23T06:40:00+02:00", "value": 4}
    client.post("/v1/recommendations", json={"seeds": {"events": [rated], "items": [{"item_id": "A"}]}})
    first, second = asked["history"]
    assert (first.item_id, first.event_name, first.value) == ("B", "rate", 4.0)
    assert first.timestamp == datetime(2026, 11, 23, 4, 40, tzinfo=UTC)
    assert (second.item_id, second.event_name) == ("A", "view_item")
    assert abs(second.timestamp - datetime.now(UTC)) < timedelta(minutes=1)


# Users and events


def test_the_very_next_question_goes_by_the_event(client: FlaskClient, asked: dict[str, Any]) -> None:
    assert client.get("/v1/users/u 1/recommendations").json["strategy"] == "popular"
    receipt = client.post("/v1/events", json=EVENT)
    assert receipt.json == {"event_id": "e-1", "status": "stored", "warnings": []}
    answer = client.get("/v1/users/u 1/recommendations")
    assert (ids(answer), answer.json["strategy"]) == (["B", "C/1", "D", "E"], "for_you")
    (event,) = asked["history"]
    assert (event.item_id, event.price, event.timestamp) == ("A", 9.5, NOW)
    assert ids(client.get("/v1/recommendations?user_id=u%201")) == ids(answer)


def test_an_event_sent_twice_is_kept_once(client: FlaskClient, asked: dict[str, Any]) -> None:
    basket = {**EVENT, "items": [{"item_id": "A"}, {"item_id": "nowhere"}, {"item_id": "A", "quantity": 7}]}
    receipts = [client.post("/v1/events", json=basket).json for _ in range(2)]
    assert [receipt["status"] for receipt in receipts] == ["stored", "known"]
    assert receipts[0]["warnings"] == ["item 'nowhere' is not in the bundle"]
    client.get("/v1/users/u 1/recommendations")
    assert [event.item_id for event in asked["history"]] == ["A", "nowhere"]


def test_a_session_without_a_user_is_kept(client: FlaskClient, app: APIFlask) -> None:
    assert client.post("/v1/events", json={**EVENT, "user_id": None, "session_id": "s-1"}).status_code == 200
    (kept,) = app.extensions[KEY].store.events.scan()
    assert (kept.user_id, kept.session_id) == ("", "s-1")


def test_without_the_store_questions_go_on_and_events_are_refused(
    client: FlaskClient, engine: Engine, app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StoreError("the store postgresql://u:***@h/d refuses: connection refused")

    events = app.extensions[KEY].store.events
    monkeypatch.setattr(events, "history", down)
    monkeypatch.setattr(events, "add", down)
    monkeypatch.setattr(engine.overlay._source, "revision", down)
    engine.look()
    answer = client.get("/v1/users/u/recommendations")
    assert ids(answer) == ["A", "B", "C/1", "D", "E"]
    assert "event store does not answer" in answer.json["warnings"][0]
    refused = client.post("/v1/events", json=EVENT)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert b"postgresql" not in refused.data
    ready = client.get("/healthz/ready").json
    assert ready["status"] == "degraded"
    assert "connection refused" in ready["problems"]["store"]


# Errors


def check_problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.data
    body: dict[str, Any] = answer.json
    assert set(body) - {"errors"} == {"type", "title", "status", "detail"}
    assert (body["status"], body["type"]) == (status, f"urn:problem:{kind}")
    return body


@pytest.mark.parametrize(
    ("query", "pointer", "suggestion"),
    [
        ("limt=3", "/limt", "limit"),
        ("limit=0", "/limit", None),
        ("limit=101", "/limit", None),
        ("limit=many", "/limit", None),
        ("explain=sumary", "/explain", "summary"),
        ("weights=image", "/weights", None),
        ("weights=image=-1", "/weights/image", None),
        ("weights=image=nan", "/weights/image", None),
        ("weights=imgae=1", "/weights/imgae", "image"),
        ("fields=title,prise", "/fields/1", "price"),
        ("filter=price <", "/filter", None),
    ],
)
def test_a_wrong_query_says_where_and_what_is_meant(
    client: FlaskClient, query: str, pointer: str, suggestion: str | None
) -> None:
    body = check_problem(client.get(f"/v1/items/A/similar?{query}"), 422, "invalid-request")
    (error,) = body["errors"]
    assert (error["pointer"], error.get("suggestion")) == (pointer, suggestion)
    assert error["detail"] == body["detail"]


@pytest.mark.parametrize(
    ("path", "body", "pointer", "suggestion"),
    [
        ("recommendations", {"seed": {}}, "/seed", "seeds"),
        ("recommendations", {"seeds": {"itmes": []}}, "/seeds/itmes", "items"),
        ("recommendations", {"seeds": {"items": [{"item": "A"}]}}, "/seeds/items/0/item_id", None),
        ("recommendations", {"strategy": "for-you"}, "/strategy", "for_you"),
        ("recommendations", {"strategy": "similar"}, "/seeds/items", None),
        ("recommendations", {"exclude": {"purchased_day": 3}}, "/exclude/purchased_day", "purchased_days"),
        ("recommendations", {"filter": {"must": [{"feild": "price"}]}}, "/filter/must/0/feild", "field"),
        ("recommendations", {"filter": {"must": [{"field": "price", "exists": True}] * 201}}, "/filter", None),
        ("recommendations", {"seeds": {"user_id": "a\u0000b"}}, "/seeds/user_id", None),
        ("recommendations", [], "", None),
        ("events", {**EVENT, "event_name": "add_to_card"}, "/event_name", "add_to_cart"),
        ("events", {**EVENT, "items": [{"item_id": "A", "amount": 1}]}, "/items/0/amount", None),
        ("events", {**EVENT, "items": []}, "/items", None),
        ("events", {**EVENT, "user_id": None}, "", None),
        ("events", {**EVENT, "timestamp": "2026-11-23T06:40:00"}, "/timestamp", None),
    ],
)
def test_a_wrong_body_says_where_and_what_is_meant(
    client: FlaskClient, path: str, body: Any, pointer: str, suggestion: str | None
) -> None:
    errors = check_problem(client.post(f"/v1/{path}", json=body), 422, "invalid-request")["errors"]
    assert (errors[0]["pointer"], errors[0].get("suggestion")) == (pointer, suggestion)


def test_unknown_items_are_not_found(client: FlaskClient) -> None:
    for path in ("/v1/items/X/similar", "/v1/similar?item_id=X", "/v1/items/X"):
        body = check_problem(client.get(path), 404, "unknown-item")
        assert "'X'" in body["detail"]
    only = {"seeds": {"events": [{"item_id": "X"}]}}
    check_problem(client.post("/v1/recommendations", json=only), 404, "unknown-item")


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "kind"),
    [
        (
            "post",
            "/v1/recommendations",
            {"data": b'{"limit": ', "content_type": "application/json"},
            400,
            "bad-request",
        ),
        ("post", "/v1/events", {"data": b"\xff", "content_type": "application/json"}, 400, "bad-request"),
        ("post", "/v1/events", {"data": b" " * (1 << 20) + b"{}"}, 413, "request-entity-too-large"),
        ("post", "/v1/recommendations", {"json": {"seeds": {"text": "oak"}}}, 501, "no-query-encoder"),
        ("get", "/v2/nothing", {}, 404, "not-found"),
        ("get", "/v1/thumbnails?item_id=B", {}, 404, "no-photo"),
    ],
)
def test_other_errors_are_problems_too(
    client: FlaskClient, method: str, path: str, options: dict[str, Any], status: int, kind: str
) -> None:
    check_problem(getattr(client, method)(path, **options), status, kind)


def test_a_wrong_method_says_which_are_right(client: FlaskClient) -> None:
    answer = client.put("/v1/events")
    check_problem(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["Allow"]


def test_a_bug_is_logged_under_the_id_that_is_answered(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    body = check_problem(client.get("/v1/items/bug/similar"), 500, "internal-error")
    request_id = body["detail"].split()[1]
    assert request_id in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in str(body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from("ABX"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["seeds", "items", "item_id", "events", "limit", "filter", "must", "field", "weights", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=JSON, path=st.sampled_from(["recommendations", "events"]))
def test_whatever_is_sent_is_answered_or_refused(client: FlaskClient, body: Any, path: str) -> None:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code in {200, 400, 404, 422}, answer.data


@given(user_id=st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_user_ids_may_hold_any_character(client: FlaskClient, user_id: str) -> None:
    event = {**EVENT, "event_id": f"e {user_id}", "user_id": user_id}
    assert client.post("/v1/events", json=event).json["status"] in {"stored", "known"}
    assert client.get(f"/v1/recommendations?user_id={quote(user_id, safe='')}").json["strategy"] == "for_you"


# What describes the service


def test_health(client: FlaskClient) -> None:
    assert client.get("/healthz/live").json == {"status": "ok"}
    assert client.get("/healthz/ready").json == {"status": "ready", "bundle": "g1", "problems": {}}
    info = client.get("/v1/info").json
    assert (info["bundle"], info["products"], info["metrics"]) == ("g1", 5, {"recall": {"recall": 0.99}})


def resolved(node: Any, document: dict[str, Any]) -> Any:
    """Return a schema with its references replaced."""
    if isinstance(node, dict):
        if "$ref" in node:
            target: Any = document
            for step in node["$ref"].lstrip("#/").split("/"):
                target = target[step]
            return resolved(target, document)
        return {name: resolved(value, document) for name, value in node.items()}
    return [resolved(value, document) for value in node] if isinstance(node, list) else node


@pytest.mark.parametrize(
    ("method", "route", "url", "body"),
    [
        ("get", "/v1/items/{item_id}/similar", "/v1/items/A/similar?explain=summary&fields=title", None),
        ("get", "/v1/similar", "/v1/similar?item_id=A", None),
        ("get", "/v1/users/{user_id}/recommendations", "/v1/users/u/recommendations", None),
        ("get", "/v1/recommendations", "/v1/recommendations?user_id=u", None),
        ("post", "/v1/recommendations", "/v1/recommendations", {"limit": 3}),
        ("post", "/v1/recommendations", "/v1/recommendations", {"limit": 0}),
        ("post", "/v1/events", "/v1/events", EVENT),
        ("post", "/v1/events", "/v1/events", {}),
        ("get", "/v1/items/{item_id}", "/v1/items/A", None),
        ("get", "/v1/items/{item_id}", "/v1/items/X", None),
        ("get", "/v1/items:get", "/v1/items:get?item_id=A", None),
        ("get", "/v1/thumbnails", "/v1/thumbnails?item_id=B", None),
        ("get", "/healthz/live", "/healthz/live", None),
        ("get", "/healthz/ready", "/healthz/ready", None),
        ("get", "/v1/info", "/v1/info", None),
    ],
)
def test_answers_are_what_the_document_says(
    client: FlaskClient, method: str, route: str, url: str, body: Any
) -> None:
    document = client.get("/openapi.json").json
    answer = client.open(url, method=method.upper(), json=body)
    documented = document["paths"][route][method]["responses"][str(answer.status_code)]
    schema = resolved(documented["content"][answer.content_type]["schema"], document)
    Draft202012Validator.check_schema(schema)
    assert not list(Draft202012Validator(schema).iter_errors(answer.json))


def test_the_document_names_every_route_and_parameter(client: FlaskClient, app: APIFlask) -> None:
    document = client.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    routes = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    assert set(document["paths"]) == routes - {"/", "/docs", "/openapi.json", "/static/{filename}"}
    parameters = {p["name"] for p in document["paths"]["/v1/items/{item_id}/similar"]["get"]["parameters"]}
    assert parameters == {"item_id", "limit", "filter", "weights", "explain", "fields"}
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] for operation in operations)


def test_the_page_asks_nobody_else(client: FlaskClient) -> None:
    page = client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    html = page.get_data(as_text=True)
    assert html.count(f'nonce="{nonce}"') == html.count("<script") + html.count("<style") == 2
    assert "http://" not in html.replace("http://www.w3.org/", "")
    assert "https://" not in html
    assert nonce != client.get("/").headers["Content-Security-Policy"].split("'nonce-")[1].split("'")[0]


def test_pictures(client: FlaskClient) -> None:
    picture = client.get("/v1/thumbnails?item_id=A")
    assert (picture.content_type, picture.data) == ("image/jpeg", b"\xff\xd8jpeg")


def test_the_store_is_beside_the_bundles_by_default(app: APIFlask, tmp_path: Path) -> None:
    assert default_store(tmp_path / "bundles") == f"sqlite:///{tmp_path}/bundles.sqlite"
    assert (tmp_path / "bundles.sqlite").exists()
