"""Errors are problem documents: with the pointer and the nearest right value."""

import errno
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.routes import bundles
from tests.serving_fakes import EVENT


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
def test_a_wrong_query_names_the_parameter_and_the_nearest(
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
        ("recommendations", {"limit": True}, "/limit", None),
        ("recommendations", {"weights": {"image": True}}, "/weights/image", None),
        (
            "recommendations",
            {"seeds": {"events": [{"item_id": "A", "value": False}]}},
            "/seeds/events/0/value",
            None,
        ),
        ("recommendations", {"user": {"age": "0" * 201}}, "/user/age", None),
        ("recommendations", {"exclude": {"seen": 0}}, "/exclude/seen", None),
        ("recommendations", {"boost": [{"when": "price < 5", "add": True}]}, "/boost/0/add", None),
        ("recommendations", {"diversity": {"max_per": {"brand": True}}}, "/diversity/max_per/brand", None),
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
        ("events", {**EVENT, "timestamp": "2099-01-01T00:00:00Z"}, "/timestamp", None),
        ("events", {**EVENT, "timestamp": "1970-01-01T00:00:00Z"}, "/timestamp", None),
    ],
)
def test_a_wrong_body_names_the_member_and_the_nearest(
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
        (
            "post",
            "/v1/events",
            {"data": b" " * (1 << 20) + b"{}", "content_type": "application/json"},
            413,
            "request-entity-too-large",
        ),
        ("post", "/v1/recommendations", {"json": {"seeds": {"image": "aGVsbG8="}}}, 501, "no-query-encoder"),
        ("get", "/v2/nothing", {}, 404, "not-found"),
        ("get", "/v1/thumbnails?item_id=B", {}, 404, "no-photo"),
    ],
)
def test_other_errors_are_problems_too(
    client: FlaskClient, method: str, path: str, options: dict[str, Any], status: int, kind: str
) -> None:
    check_problem(getattr(client, method)(path, **options), status, kind)


def test_a_wrong_method_lists_the_allowed_ones(client: FlaskClient) -> None:
    answer = client.put("/v1/events")
    check_problem(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["Allow"]


def test_a_bug_is_logged_with_the_returned_request_id(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    body = check_problem(client.get("/v1/items/bug/similar"), 500, "internal-error")
    request_id = body["detail"].split()[1]
    assert request_id in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in str(body)


def test_a_report_may_end_on_the_last_day(client: FlaskClient) -> None:
    assert client.get("/v1/reports/placements?from=0001-01-01&to=9999-12-31").json["placements"] == []


def test_a_folder_that_cannot_be_written_is_named(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rollback(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(bundles, "rollback", rollback)
    for path in ("/v1/bundles:rollback", "/v1/bundles/g0:activate"):
        detail = check_problem(client.post(path), 503, "not-writable")["detail"]
        assert f"{tmp_path / 'bundles'} cannot be written: Read-only file system" in detail


def test_a_change_of_an_unknown_product_is_refused(client: FlaskClient) -> None:
    body = check_problem(client.patch("/v1/items/a", json={"price": 3}), 404, "unknown-item")
    assert (body["errors"][0]["pointer"], body["errors"][0]["suggestion"]) == ("/item_id", "A")
    check_problem(client.patch("/v1/items/Z", json={"price": 3}), 404, "unknown-item")
    check_problem(client.delete("/v1/items/Z"), 404, "unknown-item")


@pytest.mark.parametrize("path", ["items/Z", "items:get?item_id=Z", "items/Z/similar", "items/Z/complementary"])
def test_an_unknown_product_of_a_path_or_a_query_is_no_seed(client: FlaskClient, path: str) -> None:
    (error,) = check_problem(client.get(f"/v1/{path}"), 404, "unknown-item")["errors"]
    assert error["pointer"] == "/item_id"


def test_an_unknown_product_of_a_body_is_a_seed(client: FlaskClient) -> None:
    body = {"seeds": {"items": [{"item_id": "Z"}]}}
    (error,) = check_problem(client.post("/v1/recommendations", json=body), 404, "unknown-item")["errors"]
    assert error["pointer"] == "/seeds/items"


def test_the_events_of_a_page_are_bounded(client: FlaskClient) -> None:
    body = {"seeds": {"events": [{"item_id": "A"}] * 1000}, "placements": [{"placement": "popular"}] * 3}
    check_problem(client.post("/v1/pages/recommendations", json=body), 422, "invalid-request")


def test_the_products_of_a_page_are_bounded(client: FlaskClient) -> None:
    placements = [{"placement": "unknown", "limit": 100}, {"placement": "unknown", "limit": 100}]
    body = {"placements": [*placements, {"placement": "unknown", "limit": 40}]}
    check_problem(client.post("/v1/pages/recommendations", json=body), 404, "unknown-placement")
    more = {"placements": [*body["placements"], {"placement": "unknown"}]}
    (error,) = check_problem(client.post("/v1/pages/recommendations", json=more), 422, "invalid-request")["errors"]
    assert (error["pointer"], "at most 240" in error["detail"]) == ("/placements", True)


def test_the_parameters_of_a_query_are_bounded(client: FlaskClient) -> None:
    query = "&".join(f"a{number}=1" for number in range(102))
    assert "100 parameters" in check_problem(client.get(f"/v1/similar?{query}"), 422, "invalid-request")["detail"]


def test_boosts_are_bounded_together_with_the_filter(client: FlaskClient) -> None:
    rule = {"when": {"should": [{"field": "price", "exists": True}] * 150}, "add": 1}
    assert client.post("/v1/recommendations", json={"boost": [rule]}).status_code == 200
    for members in ({"boost": [rule, rule]}, {"boost": [rule], "filter": rule["when"]}):
        check_problem(client.post("/v1/recommendations", json=members), 422, "invalid-request")


def test_explanations_are_bounded(client: FlaskClient) -> None:
    body = {"item_ids": ["A"] * 100, "filter": {"should": [{"field": "title", "any": ["x"] * 30}] * 20}}
    detail = check_problem(client.post("/v1/explanations", json=body), 422, "invalid-request")["detail"]
    assert "ask for fewer products" in detail


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
def test_any_request_is_answered_or_refused(client: FlaskClient, body: Any, path: str) -> None:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code in {200, 400, 404, 422}, answer.data
