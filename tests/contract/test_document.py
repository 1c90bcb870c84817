"""What describes the service: health, the OpenAPI document, the page."""

import re
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from recommender.stores import default_store
from tests.serving_fakes import EVENT, HEALTHY


def test_health(client: FlaskClient) -> None:
    assert client.get("/healthz/live").json == {"status": "ok"}
    assert client.get("/healthz/ready").json == {"status": "ready", "bundle": "g1", "components": HEALTHY}
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
def test_responses_match_the_document(client: FlaskClient, method: str, route: str, url: str, body: Any) -> None:
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
    assert set(document["paths"]) == routes - {
        "/",
        "/docs",
        "/reports",
        "/kit.js",
        "/openapi.json",
        "/static/{filename}",
    }
    parameters = {p["name"] for p in document["paths"]["/v1/items/{item_id}/similar"]["get"]["parameters"]}
    assert parameters == {"item_id", "limit", "filter", "weights", "explain", "fields", "session_id"}
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] for operation in operations)


def test_the_page_loads_nothing_from_other_hosts(client: FlaskClient) -> None:
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


def test_images(client: FlaskClient) -> None:
    picture = client.get("/v1/thumbnails?item_id=A")
    assert (picture.content_type, picture.data) == ("image/jpeg", b"\xff\xd8jpeg")


def test_the_store_is_beside_the_bundles_by_default(app: APIFlask, tmp_path: Path) -> None:
    assert default_store(tmp_path / "bundles") == f"sqlite:///{tmp_path}/bundles.sqlite"
    assert (tmp_path / "bundles.sqlite").exists()
