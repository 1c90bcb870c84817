"""The tools for AI assistants, as an assistant meets them: the real command, by the protocol's own client."""

import json
import os
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from zipfile import ZipFile

import httpx
import httpx2
import pytest
from anyio.from_thread import start_blocking_portal
from jsonschema import Draft202012Validator
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

import recommender
from recommender.demo.shop import Shop
from recommender.errors import EncoderError
from recommender.events import Event
from recommender.recommender import Recommender
from recommender.stores import open_store
from serving.app import create_app
from serving.query_encoder import LocalEncoder
from serving.schemas.requests import ExplanationParams, RecommendationParams, SearchParams
from serving.service import KEY
from serving.settings import Key, Settings
from serving.tool_calls import TOOLS, ToolCalls

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "recommender.cli", "mcp"]
SECONDS = 60
SCOPES = {
    "page": {"scopes": ["public"]},
    "shop": {"scopes": ["public", "server"]},
    "import": {"scopes": ["server"]},
    "eight": {"scopes": ["public"], "fixed": {"limit": 2, "filter": "price < 50"}},
    "slow": {"scopes": ["public"], "rate": 0.001},
}


class Assistant:
    """A session with the server, from a thread that has no event loop."""

    def __init__(self, portal: Any, client: Client) -> None:
        self._portal, self.client = portal, client

    def call(self, tool: str, **arguments: Any) -> CallToolResult:
        return self._portal.call(self.client.call_tool, tool, arguments)

    def data(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = self.call(tool, **arguments)
        assert not result.is_error, text(result)
        assert json.loads(text(result)) == result.structured_content
        return result.structured_content

    def error(self, tool: str, **arguments: Any) -> str:
        result = self.call(tool, **arguments)
        assert result.is_error, text(result)
        return text(result)

    def tools(self) -> dict[str, Any]:
        return {tool.name: tool for tool in self._portal.call(self.client.list_tools).tools}


def text(result: CallToolResult) -> str:
    (content,) = result.content
    return content.text


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@contextmanager
def session(transport: Any, *used: Any) -> Iterator[Assistant]:
    """Open a session, and close it and what its transport uses."""
    with start_blocking_portal() as portal, ExitStack() as stack:
        for each in used:
            stack.enter_context(portal.wrap_async_context_manager(each))
        client = stack.enter_context(portal.wrap_async_context_manager(Client(transport)))
        yield Assistant(portal, client)


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, rec: Recommender) -> str:
    """A store in which the user u has viewed a product."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/shop.sqlite"
    with open_store(url) as store:
        store.events.add([Event(rec.ids[0], "view_item", datetime.now(UTC), user_id="u", event_id="e-1")])
    return url


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes to stderr."""
    return tmp_path_factory.mktemp("log") / "stderr.txt"


@pytest.fixture(scope="module")
def assistant(demo_bundles: Path, store: str, log: Path) -> Iterator[Assistant]:
    """A session over stdin and stdout."""
    args = [*COMMAND[1:], str(demo_bundles), "--store", store]
    environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = StdioServerParameters(command=COMMAND[0], args=args, cwd=ROOT, env=environment)
    with log.open("w") as errors, session(stdio_client(command, errors)) as opened:
        yield opened


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, store: str) -> Path:
    path = tmp_path_factory.mktemp("config") / "service.toml"
    lines = [f'store = "{store}"', 'private_fields = ["material"]']
    for name, entries in SCOPES.items():
        fixed = entries.get("fixed", {})
        lines += [f"[keys.{name}]", f'sha256 = "{Key.hash(name)}"', f"scopes = {json.dumps(entries['scopes'])}"]
        lines += [f"rate = {entries['rate']}"] if "rate" in entries else []
        lines += [f"fixed = {{{', '.join(f'{each} = {json.dumps(value)}' for each, value in fixed.items())}}}"]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def url(demo_bundles: Path, config: Path) -> Iterator[str]:
    """The address of the command with --http; the key of each name is the name itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*COMMAND, str(demo_bundles), "--config", str(config), "--http", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        until = monotonic() + SECONDS
        while process.poll() is None and monotonic() < until:
            try:
                httpx.get(f"http://127.0.0.1:{port}/mcp")
                break
            except httpx.TransportError:
                sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(SECONDS)


@pytest.fixture(scope="module")
def as_key(url: str) -> Any:
    """Opens a session over HTTP with a key."""

    @contextmanager
    def opened(name: str, **headers: str) -> Iterator[Assistant]:
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {name}", **headers})
        with session(streamable_http_client(url, http_client=http), http) as assistant:
            yield assistant

    return opened


# What a tool says of itself


def test_the_tools_are_named_described_and_read_only(assistant: Assistant) -> None:
    tools = assistant.tools()
    assert list(tools) == ["search", "similar", "recommend", "explain", "product"]
    for tool in tools.values():
        assert tool.title
        assert tool.description
        assert tool.annotations.read_only_hint
        assert not tool.annotations.destructive_hint
        assert not tool.annotations.open_world_hint
    assert "price" in assistant.client.instructions


@pytest.mark.parametrize("name", list(TOOLS))
def test_schemas_are_valid_and_every_argument_is_described(assistant: Assistant, name: str) -> None:
    tool = assistant.tools()[name]
    for schema in (tool.input_schema, tool.output_schema):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        # which the interfaces of models refuse at the top
        assert not {"anyOf", "oneOf", "allOf", "$ref"} & set(schema)
    if name != "product":
        assert all(each.get("description") for each in tool.input_schema["properties"].values())
    assert tool.input_schema["additionalProperties"] is False


def test_arguments_have_the_bounds_of_the_http_api() -> None:
    def bounds(schema: dict[str, Any]) -> dict[str, Any]:
        texts = {"title", "description", "default", "examples"}
        return {name: value for name, value in schema.items() if name not in texts}

    models = {"search": SearchParams, "recommend": RecommendationParams, "explain": ExplanationParams}
    for name, model in models.items():
        own, http = TOOLS[name].params.model_json_schema(), model.model_json_schema()
        shared = own["properties"].keys() & http["properties"].keys()
        assert {"filter", "weights"} <= shared
        for member in shared:
            assert bounds(own["properties"][member]) == bounds(http["properties"][member]), member


# Answers


def test_a_product_has_its_attributes(assistant: Assistant, rec: Recommender) -> None:
    product = assistant.data("product", item_id=rec.ids[3])
    assert product["title"] == rec.product(rec.ids[3])["title"]
    assert product.keys() == rec.product(rec.ids[3]).keys()


def test_similar_products_are_those_of_the_library(assistant: Assistant, rec: Recommender) -> None:
    answer = assistant.data("similar", item_id=rec.ids[0], limit=5, filter="price < 60", weights={"image": 1})
    expected = rec.similar(rec.ids[0], 5, filter="price < 60", weights={"image": 1})
    assert ids(answer) == expected.item_ids
    assert [item["score"] for item in answer["items"]] == pytest.approx([each.score for each in expected.items])
    assert all(item["fields"]["price"] < 60 for item in answer["items"])


def test_lists_have_what_an_assistant_shows_unless_it_names_fields(assistant: Assistant, rec: Recommender) -> None:
    def fields(**more: Any) -> set[str]:
        (item,) = assistant.data("similar", item_id=rec.ids[0], limit=1, **more)["items"]
        return set(item.get("fields", {}))

    assert {"title", "price", "availability"} <= fields() < {*rec.attributes.names}
    assert fields(fields=["color"]) == {"color"}
    assert fields(fields=[]) == set()


def test_a_basket_is_completed_as_by_the_library(assistant: Assistant, rec: Recommender) -> None:
    basket = rec.ids[:2]
    answer = assistant.data("recommend", seed_item_ids=basket, strategy="cart", limit=5)
    assert answer["strategy"] == "cart"
    assert ids(answer) == rec.recommend(items=basket, strategy="cart", k=5).item_ids


def test_nothing_known_recommends_the_popular_products(assistant: Assistant, rec: Recommender) -> None:
    assert ids(assistant.data("recommend", limit=5)) == rec.popular(5).item_ids


def test_products_can_be_excluded_and_unwanted(assistant: Assistant, rec: Recommender) -> None:
    seed = [rec.ids[0]]
    first, second, *_ = ids(assistant.data("recommend", seed_item_ids=seed))
    assert ids(assistant.data("recommend", seed_item_ids=seed, exclude_item_ids=[first]))[0] == second
    without = assistant.data("recommend", seed_item_ids=seed, negative_item_ids=[first], strategy="for_you")
    assert first not in ids(without)


def test_a_stored_user_gets_what_the_history_says(assistant: Assistant, rec: Recommender) -> None:
    assert assistant.data("recommend", user_id="u")["strategy"] == "for_you"
    assert ids(assistant.data("recommend", user_id="u", strategy="recently_viewed", limit=1)) == [rec.ids[0]]


def test_an_explanation_sums_to_the_score_and_says_what_is_left_out(
    assistant: Assistant, rec: Recommender
) -> None:
    seed, price = rec.ids[0], rec.product(rec.ids[5])["price"]
    found = ids(assistant.data("recommend", seed_item_ids=[seed], strategy="similar"))[0]
    best, dear = assistant.data(
        "explain", item_ids=[found, rec.ids[5]], seed_item_ids=[seed], filter=f"price < {price}"
    )["items"]
    assert sum(best["explanation"]["parts"].values()) == pytest.approx(best["score"])
    assert best["explanation"]["reasons"]
    assert "filter" in dear["left_out"]
    assert dear["failed_conditions"]


def test_texts_and_images_are_searched_and_the_log_says_what_takes_long(
    assistant: Assistant, rec: Recommender, demo_shop: Shop, log: Path
) -> None:
    product = next(each for each in demo_shop.products if each.id in ids(assistant.data("recommend", limit=50)))
    answer = assistant.data("search", text=product.title, limit=5)
    assert answer["strategy"] == "search"
    assert ids(answer) == rec.search(product.title, k=5).item_ids
    with ZipFile(demo_shop.config.parent / "photos.zip") as photos:
        file = photos.read(rec.product(product.id)["image_link"])
    assert (
        ids(assistant.data("search", image=b64encode(file).decode(), limit=5))
        == rec.search(image=file, k=5).item_ids
    )
    assert log.read_text().count("loading the encoder") == 1


# Wrong calls: what was found, what was expected, what to do


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("product", {"item_id": "00010O"}, ["unknown item '00010O'", "the nearest id is '000100'"]),
        ("similar", {"item_id": "0001000"}, ["unknown item '0001000'", "the nearest id is '000100'"]),
        ("recommend", {"seed_item_ids": ["chair"]}, ["unknown item 'chair'", "search and recommend return ids"]),
        ("similar", {"item_id": "000100", "filter": "prize < 5"}, ["'prize'", "brand, price", "mean 'price'?"]),
        ("similar", {"item_id": "000100", "filter": "price <"}, ["character 8", "expected", "a number"]),
        ("similar", {"item_id": "000100", "fields": ["titel"]}, ["'titel'", "title, ", "mean 'title'?"]),
        ("similar", {"item_id": "000100", "weights": {"imgae": 1}}, ["'imgae'", "text", "mean 'image'?"]),
        ("similar", {"item_id": "000100", "limit": 500}, ["limit", "less than or equal to 100", "found 500"]),
        ("similar", {"item_id": "000100", "k": 5}, ["'k'", "expected one of limit"]),
        ("similar", {"limit": 0}, ["item_id is missing", "greater than or equal to 1", "found 0"]),
        ("recommend", {"strategy": "carts"}, ["found 'carts'", "mean 'cart'?"]),
        ("search", {}, ["neither text nor image", "at least one"]),
        ("search", {"image": "photo.jpg"}, ["expected a JPEG, PNG or WebP file in base64", "found 'photo.jpg'"]),
        ("explain", {"seed_item_ids": ["000100"]}, ["item_ids is missing"]),
        ("similr", {}, ["unknown tool 'similr'", "search, similar", "mean 'similar'?"]),
    ],
)
def test_a_wrong_call_is_answered_by_what_to_do(
    assistant: Assistant, tool: str, arguments: dict[str, Any], expected: list[str]
) -> None:
    message = assistant.error(tool, **arguments)
    assert all(part in message for part in expected), message
    assert "seeds" not in message  # of the HTTP API, which the assistant does not see


def test_an_encoder_that_cannot_be_loaded_is_named(demo_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(bundles: Path) -> None:
        raise EncoderError("encoder 'offline' needs torch, which is not installed")

    monkeypatch.setattr("serving.query_encoder._Current", missing)
    settings = Settings(store="sqlite://")
    app = create_app(demo_bundles, settings, encoder=LocalEncoder(demo_bundles), watch_seconds=None)
    answer = ToolCalls(app).call("search", {"text": "red bag"}, "", "127.0.0.1")
    assert any("encoder 'offline' needs torch" in warning for warning in answer["warnings"])
    app.extensions[KEY].close()


# Over HTTP, with keys


@pytest.mark.parametrize(
    ("key", "status", "detail"),
    [(None, 401, "no valid key"), ("guess", 401, "no valid key"), ("import", 403, "no scope 'public'")],
)
def test_without_a_public_key_there_are_no_tools(url: str, key: str | None, status: int, detail: str) -> None:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    answer = httpx.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert detail in answer.json()["detail"]
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_a_session_without_a_key_does_not_open(url: str) -> None:
    with pytest.raises(BaseException) as raised, session(streamable_http_client(url)):  # noqa: PT011
        pass
    assert "401" in str(raised.getrepr()) or "Unauthorized" in str(raised.getrepr())


def test_a_public_key_has_the_tools_but_no_users(as_key: Any, rec: Recommender) -> None:
    with as_key("page") as assistant:
        assert list(assistant.tools()) == list(TOOLS)
        assert ids(assistant.data("similar", item_id=rec.ids[0], limit=5)) == rec.similar(rec.ids[0], 5).item_ids
        for tool, arguments in {
            "recommend": {},
            "explain": {"item_ids": [rec.ids[1]]},
            "search": {"text": "a"},
        }.items():
            assert "'page' has no scope 'server'" in assistant.error(tool, user_id="u", **arguments)


def test_private_attributes_are_hidden_from_public_keys(as_key: Any, rec: Recommender) -> None:
    with as_key("page") as assistant:
        assert "material" not in assistant.client.instructions
        assert "material" not in assistant.data("product", item_id=rec.ids[0])
        assert "unknown field 'material'" in assistant.error(
            "similar", item_id=rec.ids[0], filter='material = "canvas"'
        )


def test_a_server_key_has_users_and_private_attributes(as_key: Any, rec: Recommender) -> None:
    with as_key("shop") as assistant:
        assert assistant.data("recommend", user_id="u")["strategy"] == "for_you"
        assert "material" in assistant.data("product", item_id=rec.ids[0])


def test_what_a_key_fixes_holds(as_key: Any, rec: Recommender) -> None:
    with as_key("eight") as assistant:
        answer = assistant.data("similar", item_id=rec.ids[0], limit=10)
        assert ids(answer) == rec.similar(rec.ids[0], 2, filter="price < 50").item_ids


def test_the_rate_of_a_key_holds(as_key: Any, rec: Recommender) -> None:
    with as_key("slow") as assistant:
        assistant.data("product", item_id=rec.ids[0])
        assert "slow down: try again in" in assistant.error("product", item_id=rec.ids[0])
    with as_key("slow", **{"X-Forwarded-For": "203.0.113.9"}) as assistant:  # there is no proxy
        assert "slow down: try again in" in assistant.error("product", item_id=rec.ids[0])


@pytest.mark.parametrize(("header", "value"), [("Host", "shop.example"), ("Origin", "https://shop.example")])
def test_pages_of_other_sites_are_refused(url: str, header: str, value: str) -> None:
    headers = {"Authorization": "Bearer page", "Accept": "application/json, text/event-stream", header: value}
    answer = httpx.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers)
    assert answer.status_code in (403, 421)


# The command


def run(*args: object, code: str = "from recommender.cli import main; main()", **variables: str) -> Any:
    command = [sys.executable, "-c", code, *map(str, args)]
    environment = os.environ | variables
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, input=""
    )


def test_keys_of_the_settings_count_over_stdin_too(demo_bundles: Path, config: Path) -> None:
    refused = run("mcp", demo_bundles, "--config", config)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "RECOMMENDER_KEY must be one: no valid key" in refused.stderr
    assert run("mcp", demo_bundles, "--config", config, RECOMMENDER_KEY="page").returncode == 0


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path) -> None:
    code = "import sys; sys.modules['mcp_types'] = None; from recommender.cli import main; main()"
    done = run("mcp", tmp_path, code=code)
    assert (done.returncode, done.stdout) == (1, "")
    assert "run: pip install 'hybrid-recommender[mcp]'" in done.stderr


def test_the_service_loads_nothing_of_it() -> None:
    code = """
import sys
import serving.app, serving.server, recommender.cli
print({name for name in sys.modules if name.split(".")[0] in {"mcp", "mcp_types", "starlette", "uvicorn"}})
print("serving.agents" in sys.modules or "serving.tool_calls" in sys.modules)
"""
    done = run(code=code)
    assert done.stdout.split("\n") == ["set()", "False", ""], done.stderr
