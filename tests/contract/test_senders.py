"""Who may send what: JSON only, from pages of allowed origins, with limited keys; and what they may not see."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from serving.service import KEY
from serving.settings import Key, Settings
from tests.contract.test_problems import check_problem
from tests.serving_fakes import EVENT, FakeRecommender, ids, load, publish

Start = Callable[..., FlaskClient]
SHOP = "https://shop.example"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the service with settings and keys, each a mapping without its hash."""
    publish(tmp_path / "bundles", "g1")
    apps = []

    def started(keys: dict[str, dict[str, Any]] | None = None, **settings: Any) -> FlaskClient:
        entries = {name: {"sha256": Key.hash(name), **key} for name, key in (keys or {}).items()}
        apps.append(
            create_app(tmp_path / "bundles", Settings(keys=entries, **settings), load=load, watch_seconds=None)
        )
        return apps[-1].test_client()

    yield started
    for app in apps:
        app.extensions[KEY].close()


def bearer(name: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}", **headers}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/v1/users:erase"),
        ("post", "/v1/events"),
        ("put", "/v1/items/A"),
        ("post", "/v1/bundles:rollback"),
    ],
)
def test_a_change_must_be_json(client: FlaskClient, method: str, path: str, kind: str) -> None:
    answer = getattr(client, method)(path, data=b'{"user_id": "u 1"}', content_type=kind)
    body = check_problem(answer, 415, "unsupported-media-type")
    assert "expected application/json" in body["detail"]
    assert ("base64" in body["detail"]) == kind.startswith("multipart")


def test_a_body_without_a_type_is_refused_and_a_request_without_a_body_is_not(client: FlaskClient) -> None:
    check_problem(client.post("/v1/users:erase", data=b'{"user_id": "u 1"}'), 415, "unsupported-media-type")
    assert client.delete("/v1/users/nobody").status_code == 200
    assert client.post("/v1/events", json=EVENT, headers={"Content-Type": "application/json; charset=utf-8"}).json


@pytest.mark.parametrize(
    ("origin", "host", "admitted"),
    [
        ("http://localhost:8000", "localhost:8000", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        (SHOP, "127.0.0.1:8000", True),
        ("https://other.example", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8001", "127.0.0.1:8000", False),
        ("null", "127.0.0.1:8000", False),
        ("http://rebound.example:8000", "rebound.example:8000", False),
    ],
)
def test_a_change_from_a_page_of_another_site_is_refused(
    start: Start, origin: str, host: str, admitted: bool
) -> None:
    client = start(cors_origins=[SHOP])
    answer = client.post("/v1/events", json=EVENT, headers={"Origin": origin, "Host": host})
    assert answer.status_code == (200 if admitted else 403), answer.json
    assert client.get("/v1/items/A", headers={"Origin": origin, "Host": host}).status_code == 200


def test_with_keys_the_own_origin_may_have_any_name(start: Start) -> None:
    client = start({"page": {}})
    for origin, host in [("https://recs.example", "recs.example"), ("http://recs.example", "recs.example:80")]:
        answer = client.post("/v1/events", json=EVENT, headers=bearer("page", Origin=origin, Host=host))
        assert answer.status_code == 200, answer.json


def test_a_key_expires(start: Start) -> None:
    now = datetime.now(UTC)
    client = start({"old": {"expires": now - timedelta(seconds=1)}, "new": {"expires": now + timedelta(days=1)}})
    body = check_problem(client.get("/v1/items/A", headers=bearer("old")), 401, "unauthorized")
    assert "expired" in body["detail"]
    assert client.get("/v1/items/A", headers=bearer("new")).status_code == 200


def test_a_key_is_for_pages_of_its_origins(start: Start) -> None:
    client = start({"page": {"origins": [SHOP]}})
    assert client.get("/v1/items/A", headers=bearer("page", Origin=SHOP)).status_code == 200
    assert client.get("/v1/items/A", headers=bearer("page", Referer=f"{SHOP}/chairs?page=2")).status_code == 200
    for headers in ({"Origin": "https://other.example"}, {"Referer": f"{SHOP}.other.example/"}, {}):
        check_problem(client.get("/v1/items/A", headers=bearer("page", **headers)), 403, "forbidden-origin")
    preflight = client.options("/v1/events", headers={"Origin": SHOP})
    assert preflight.headers["Access-Control-Allow-Origin"] == SHOP


def test_a_key_has_a_rate_of_its_own(start: Start) -> None:
    client = start({"slow": {"rate": 2}, "usual": {}})
    statuses = [client.get("/v1/items/A", headers=bearer("slow")).status_code for _ in range(5)]
    assert statuses[:2] == [200, 200]
    assert 429 in statuses
    assert {client.get("/v1/items/A", headers=bearer("usual")).status_code for _ in range(5)} == {200}


def test_a_key_fixes_members_of_every_request(start: Start) -> None:
    fixed = {"limit": 2, "filter": "price < 50", "fields": ["title"], "explain": "summary"}
    client = start({"page": {"fixed": fixed}}, placements={"home": {"question": {"filter": "price > 5"}}})
    requests = _requests(client)
    headers = bearer("page")
    more = {"limit": 4, "fields": ["price"], "explain": "none"}
    answers = [
        client.get("/v1/items/A/similar?limit=4&fields=price", headers=headers),
        client.get("/v1/trending?limit=4", headers=headers),
        client.post("/v1/recommendations", json={**more, "filter": "price > 1"}, headers=headers),
        client.post("/v1/placements/home/recommendations", json=more, headers=headers),
    ]
    for answer, request in zip(answers, requests, strict=True):
        assert len(ids(answer)) == 2
        assert answer.json["items"][0]["fields"].keys() == {"title"}
        assert request.explain
        assert "Range(name='price', gt=None, gte=None, lt=50.0" in repr(request.node)
    assert "gt=1.0" in repr(requests[2].node)
    assert "gt=5.0" in repr(requests[3].node)
    client.post("/v1/explanations", json={"item_ids": ["A"]}, headers=headers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/items/A/similar?fields=title,price", None),
        ("/v1/items/A/similar?filter=price<5", None),
        ("/v1/recommendations", {"fields": ["price"]}),
        (
            "/v1/recommendations",
            {"filter": {"must": [{"field": "title", "exists": True}, {"field": "price", "match": 1}]}},
        ),
        ("/v1/recommendations", {"filter": "price: SAME_AS_SEED"}),
        ("/v1/recommendations", {"filter": "prise < 5"}),
        ("/v1/recommendations", {"boost": [{"when": "NOT price < 5", "add": 1}]}),
        ("/v1/recommendations", {"diversity": {"max_per": {"price": 1}}}),
        ("/v1/explanations", {"item_ids": ["A"], "filter": "price < 5"}),
        ("/v1/placements/home/recommendations", {"filter": "price < 5"}),
    ],
)
def test_a_private_field_is_as_one_that_does_not_exist(start: Start, path: str, body: Any) -> None:
    keys = {"page": {}, "shop": {"scopes": ["public", "server"]}}
    client = start(keys, private_fields=["price"], placements={"home": {"question": {"filter": "price > 5"}}})

    def ask(key: str) -> Any:
        headers = bearer(key)
        return client.get(path, headers=headers) if body is None else client.post(path, json=body, headers=headers)

    error = check_problem(ask("page"), 422, "invalid-request")
    assert "unknown field" in error["detail"]
    assert "has title" in error["detail"] or "one of title" in error["detail"]
    if "explanations" not in path and body != {"filter": "prise < 5"}:
        assert ask("shop").status_code == 200, ask("shop").json


def test_private_fields_are_in_no_answer_of_a_public_key(start: Start) -> None:
    keys = {"page": {}, "shop": {"scopes": ["public", "server"]}}
    client = start(keys, private_fields=["price"], placements={"home": {"question": {"filter": "price > 5"}}})
    for path in ("/v1/items/A", "/v1/items:get?item_id=A"):
        assert client.get(path, headers=bearer("page")).json == {"id": "A", "title": "Product A"}
        assert "price" in client.get(path, headers=bearer("shop")).json
    assert client.get("/v1/info", headers=bearer("page")).json["attributes"] == ["title"]
    path, headers = "/v1/items/A/similar?fields=title", bearer("shop")
    etag = client.get(path, headers=headers).headers["ETag"]
    assert client.get(path, headers=bearer("page", **{"If-None-Match": etag})).status_code == 200
    assert client.post("/v1/placements/home/recommendations", json={}, headers=bearer("page")).status_code == 200


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ({"fixed": {"strategy": "new"}}, "expected some of limit"),
        ({"fixed": {"limit": 0}}, "limit"),
        ({"fixed": {"filter": "price <"}}, "quoted string or a number"),
        ({"fixed": {"fields": ["cost"]}}, "among private_fields"),
        ({"origins": ["shop.example/"]}, "origins"),
        ({"rate": 0}, "rate"),
    ],
)
def test_a_wrong_key_is_refused_at_the_start(key: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(keys={"page": {"sha256": Key.hash("page"), **key}}, private_fields=["cost"])


def _requests(client: FlaskClient) -> Any:
    fake: FakeRecommender = client.application.extensions[KEY].live.recommender
    return fake.requests
