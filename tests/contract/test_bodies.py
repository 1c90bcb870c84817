"""Bodies: read until a deadline and up to a limit, inflated, and refused before they cost anything."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from serving.bodies import BodyReader
from serving.middleware import MAX_COMMAS
from serving.rsgi import Application
from serving.service import KEY
from tests.contract.test_problems import check_problem
from tests.serving_fakes import EVENT, ids

JSON = {"content_type": "application/json"}


class Exchange:
    """A request on the server's interface: sends its chunks, then ends, or never does."""

    def __init__(self, chunks: list[bytes], ends: bool = True) -> None:
        self.chunks, self.ends = chunks, ends
        self.read = False
        self.response: tuple[int, Any, bytes] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.read = True
        for chunk in self.chunks:
            yield chunk
        if not self.ends:
            await asyncio.Event().wait()

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        self.response = status, dict(headers), body


class Scope:
    """A request's head."""

    http_version, scheme, server, authority, query_string = "1.1", "http", "127.0.0.1:80", None, ""
    client = "[::1]:5"

    def __init__(self, method: str, path: str, **headers: str) -> None:
        self.method, self.path = method, path
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def served(app: APIFlask, *requests: tuple[Scope, Exchange], seconds: float = 0.2) -> list[Any]:
    """Return the responses to requests that are sent at once."""

    async def send() -> None:
        application = Application(app, BodyReader(1 << 20, seconds), app.extensions[KEY].access.admits)
        await asyncio.gather(*(application.__rsgi__(scope, exchange) for scope, exchange in requests))

    asyncio.run(send())
    return [exchange.response for _, exchange in requests]


def post(path: str = "/v1/recommendations", **headers: str) -> Scope:
    return Scope("POST", path, content_type="application/json", **headers)


def test_half_sent_bodies_hold_up_nothing_and_get_a_408(app: APIFlask) -> None:
    order: list[str] = []

    class Named(Exchange):
        def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
            super().response_bytes(status, headers, body)
            order.append(f"{status}")

    half = [(post(content_length="9"), Named([b'{"limit"'], ends=False)) for _ in range(200)]
    whole = (post(content_length="12"), Named([b'{"lim', b'it": 1}']))
    by_id = (Scope("GET", "/v1/items/A/similar"), Named([]))
    responses = served(app, *half, whole, by_id)
    assert order[:2] == ["200", "200"]
    assert {(status, headers["connection"]) for status, headers, _ in responses[:200]} == {(408, "close")}


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        (post("/v1/nothing", content_length="9"), 404),
        (post("/v1/trending", content_length="9"), 405),
        (post(content_length="9", origin="https://other.example"), 403),
        (Scope("POST", "/v1/events", content_type="text/plain", content_length="9"), 415),
        (post(content_length=str(1 << 21)), 413),
    ],
)
def test_a_refused_request_is_answered_before_its_body_is_read(app: APIFlask, scope: Scope, status: int) -> None:
    exchange = Exchange([], ends=False)
    ((found, headers, _),) = served(app, (scope, exchange))
    assert (found, exchange.read, headers["connection"]) == (status, False, "close")


def test_a_chunked_body_is_limited_too(app: APIFlask) -> None:
    chunks = Exchange([b" " * (1 << 19)] * 3, ends=False)
    ((status, _, _),) = served(app, (post(transfer_encoding="chunked"), chunks))
    assert status == 413


def test_a_body_that_ends_early_is_refused(app: APIFlask) -> None:
    ((status, _, body),) = served(app, (post(content_length="20"), Exchange([b'{"limit": 1}'])))
    assert status == 400
    assert b"ended after 12 of 20 bytes" in body


def test_the_senders_address_and_path_reach_the_app(app: APIFlask) -> None:
    seen: list[Any] = []
    app.before_request(lambda: seen.append((_request().remote_addr, _request().path, _request().host)))
    served(app, (Scope("GET", "/v1/items/é", host="shop"), Exchange([])))
    assert seen == [("::1", "/v1/items/é", "shop")]


def _request() -> Any:
    from flask import request

    return request


def test_a_compressed_body_is_inflated(client: FlaskClient) -> None:
    body = gzip.compress(b'{"limit": 2}')
    headers = {"Content-Encoding": "gzip"}
    assert len(ids(client.post("/v1/recommendations", data=body, headers=headers, **JSON))) == 2
    bomb = gzip.compress(b" " * (64 << 20))
    too_large = client.post("/v1/recommendations", data=bomb, headers=headers, **JSON)
    check_problem(too_large, 413, "request-entity-too-large")
    for damaged in (body[:-4], body + body, b'{"limit": 2}'):
        problem = check_problem(
            client.post("/v1/events", data=damaged, headers=headers, **JSON), 400, "bad-request"
        )
        assert "Content-Encoding" in problem["detail"]
    other = client.post("/v1/events", data=body, headers={"Content-Encoding": "br"}, **JSON)
    assert "expected gzip" in check_problem(other, 415, "unsupported-media-type")["detail"]


@pytest.mark.parametrize(("body", "words"), [(b"", "empty"), (b'{"limit": ', "JSON"), (b"\xff", "JSON")])
def test_broken_json_says_so(client: FlaskClient, body: bytes, words: str) -> None:
    detail = check_problem(client.post("/v1/recommendations", data=body, **JSON), 400, "bad-request")["detail"]
    assert words in detail
    assert "browser" not in detail


@pytest.mark.parametrize(
    "path", ["recommendations", "placements/x/recommendations", "pages/recommendations", "search"]
)
def test_null_is_no_request(client: FlaskClient, path: str) -> None:
    check_problem(client.post(f"/v1/{path}", data=b"null", **JSON), 422, "invalid-request")


def test_many_values_are_refused_before_they_are_decoded(client: FlaskClient) -> None:
    body = b"[" + b"1," * (MAX_COMMAS + 1) + b"1]"
    check_problem(client.post("/v1/recommendations", data=body, **JSON), 413, "request-entity-too-large")
    many = {f"member {number}": 1 for number in range(2000)}
    problem = check_problem(client.post("/v1/recommendations", json=many), 422, "invalid-request")
    assert "2000 errors" in problem["detail"]


@pytest.mark.parametrize("value", [b"[" * 1000 + b"]" * 1000, b'{"a":' * 500 + b"1" + b"}" * 500])
def test_deeply_nested_values_are_refused(client: FlaskClient, value: bytes) -> None:
    body = b'{"seeds": {"items": ' + value + b"}}"
    check_problem(client.post("/v1/recommendations", data=body, **JSON), 422, "invalid-request")


def test_half_a_character_is_refused_wherever_it_is(client: FlaskClient) -> None:
    for body in (b'{"strategy": "\\ud800"}', b'{"seeds": {"events": [1, {"\\ud800": 1}]}}', b'{"\\ud800": []}'):
        check_problem(client.post("/v1/recommendations", data=body, **JSON), 422, "invalid-request")
    body = b'{"filter": {"should": [{"field": "title", "any": ["\\u00e9"]}]}, "limit": 1e999}'
    (error,) = check_problem(client.post("/v1/recommendations", data=body, **JSON), 422, "invalid-request")[
        "errors"
    ]
    assert error["pointer"] == "/limit"


def test_an_answer_repeats_no_long_text(client: FlaskClient) -> None:
    for body in (
        {"x" * 500_000: 1},
        {"filter": {"x" * 500_000: 1}},
        {"weights": {"imgae": 1}, "strategy": "x" * 10**5},
    ):
        answer = client.post("/v1/recommendations", json=body)
        assert answer.status_code == 422
        assert len(answer.data) < 20_000


def test_members_of_google_analytics_are_ignored_in_events(client: FlaskClient) -> None:
    item = {
        "item_id": "A",
        "item_name": "Chair",
        "item_brand": "Ark",
        "item_category2": "Oak",
        "index": 0,
        "discount": 1,
    }
    event = {**EVENT, "currency": "EUR", "transaction_id": "T1", "tax": 1.5, "coupon": "X", "items": [item]}
    assert client.post("/v1/events", json=event).json["status"] == "stored"
    receipts = client.post("/v1/events:batch", json={"events": [event, {**event, "curency": "EUR"}]}).json[
        "events"
    ]
    assert [receipt["status"] for receipt in receipts] == ["known", "invalid"]
