"""Tools for AI assistants, by the Model Context Protocol (MCP): search, similar, recommend, explain, product.

Each call is a request to the service's own app in this process, so that keys, scopes, rates, filters and errors
are those of the HTTP API. Nothing that the service loads imports this module: it needs the extra `mcp`.
"""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import mcp_types as types
import uvicorn
from anyio.to_thread import run_sync
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from recommender.bundle import local_copy
from recommender.client import Client, Json, ServiceError
from recommender.errors import ConfigError, nearest
from recommender.progress import notice
from recommender.version import __version__
from serving import logs
from serving.app import create_app
from serving.json_codec import encoded
from serving.problems import Problem
from serving.query_encoder import LocalEncoder
from serving.schemas.base import RequestModel
from serving.schemas.requests import ItemId
from serving.schemas.responses import Answer, Explanations, Product
from serving.schemas.tools import ExplainTool, RecommendTool, SearchTool, SimilarTool
from serving.server import check_port
from serving.service import KEY, Service
from serving.settings import Settings

if TYPE_CHECKING:
    from apiflask import APIFlask
    from mcp.server.context import ServerRequestContext
    from starlette.types import ASGIApp, Receive, Scope, Send

HOST, PATH = "127.0.0.1", "/mcp"
# Of each call over stdin and stdout, where the settings have keys.
KEY_VARIABLE = "RECOMMENDER_KEY"
# Attributes that a list of products has unless others are requested, as far as the catalogue has them.
FIELDS = ("title", "brand", "product_type", "price", "availability", "link")
INSTRUCTIONS = """\
The products of a shop, its search and its recommendations. Products are named by item_id. Each result has the
best products first; a score compares only products of one result. The attributes that filter and fields may
name: {fields}."""


@dataclass(frozen=True)
class Tool:
    """A tool, and the request to the service that it makes.

    Parameters
    ----------
    description
        What it is for, for the assistant.
    params, output
        The models of its arguments and of its result.
    call
        Returns the result for validated arguments.
    """

    description: str
    params: type[RequestModel]
    output: type[BaseModel]
    call: Callable[[Client, Any], Json]


def _search(client: Client, params: SearchTool) -> Json:
    return client.search(params.text, params.image, **_given(params, without={"text", "image"}))


def _similar(client: Client, params: SimilarTool) -> Json:
    seeds = {"items": [{"item_id": params.item_id}]}
    return client.recommend(seeds=seeds, strategy="similar", **_given(params, without={"item_id"}))


def _recommend(client: Client, params: RecommendTool) -> Json:
    seeds = _seeds(params) | {"negative_items": [{"item_id": each} for each in params.negative_item_ids]}
    exclude = {"item_ids": params.exclude_item_ids}
    own = {"seed_item_ids", "negative_item_ids", "user_id", "text", "exclude_item_ids"}
    return client.recommend(seeds=seeds, exclude=exclude, **_given(params, without=own))


def _explain(client: Client, params: ExplainTool) -> Json:
    own = {"seed_item_ids", "user_id", "text"}
    return client.explain(seeds=_seeds(params), **_given(params, without=own))


def _product(client: Client, params: ItemId) -> Json:
    return client.item(params.item_id)


def _given(params: RequestModel, without: set[str]) -> Json:
    """Return the members of a request that have the names of arguments, but for these."""
    return params.model_dump(exclude_defaults=True, exclude=without)


def _seeds(params: RecommendTool | ExplainTool) -> Json:
    items = [{"item_id": each} for each in params.seed_item_ids]
    return {"items": items, "user_id": params.user_id, "text": params.text}


TOOLS = {
    "search": Tool(
        "Find products by a text, an image or both: what a shopper describes.", SearchTool, Answer, _search
    ),
    "similar": Tool("Find the products most similar to one: alternatives to it.", SimilarTool, Answer, _similar),
    "recommend": Tool(
        "Recommend products for a user, for products that were looked at or are in the basket, or for neither.",
        RecommendTool,
        Answer,
        _recommend,
    ),
    "explain": Tool(
        "Explain products for seeds: their rank, the terms of their score and reasons, or what leaves them out.",
        ExplainTool,
        Explanations,
        _explain,
    ),
    "product": Tool("Return all attributes of one product.", ItemId, Product, _product),
}


class ToolCalls:
    """Answers calls of tools by requests to the service's app.

    Parameters
    ----------
    app
        The service.
    """

    def __init__(self, app: "APIFlask") -> None:
        self._app = app
        self.service: Service = app.extensions[KEY]

    def check_key(self, key: str) -> None:
        """Raise a `Problem` unless a key is valid and public, as every tool needs; without keys none is needed."""
        with self._app.test_request_context(headers={"Authorization": f"Bearer {key}"}):
            self.service.access.require("public")

    def call(self, name: str, arguments: Json, key: str, address: str) -> types.CallToolResult:
        """Return the result of a tool, or an error that says what to do.

        Parameters
        ----------
        key
            The API key of the sender; empty if there is none.
        address
            Of the sender, for the rate limit.
        """
        try:
            tool = _tool(name)
            params = tool.params.model_validate(
                {"fields": self._fields()} | arguments if _lists(tool) else arguments
            )
            transport = httpx.WSGITransport(app=self._app, remote_addr=address)
            with Client(f"http://{HOST}", key or None, transport=transport) as client:
                content = tool.call(client, params)
        except (Problem, ServiceError) as error:
            problem = error.body() if isinstance(error, Problem) else error.problem
            return types.CallToolResult(content=[_text(_readable(problem))], is_error=True)
        return types.CallToolResult(content=[_text(encoded(content).decode())], structured_content=content)

    @property
    def fields(self) -> list[str]:
        """The attributes that everybody may see."""
        private = self.service.settings.private_fields
        return [name for name in self.service.live.recommender.attributes.names if name not in private]

    def _fields(self) -> list[str]:
        return [name for name in FIELDS if name in self.fields]


def _lists(tool: Tool) -> bool:
    return "fields" in tool.params.model_fields


def _tool(name: str) -> Tool:
    if name not in TOOLS:
        hint = f"; did you mean {guess!r}?" if (guess := nearest(name, TOOLS)) else ""
        raise Problem(
            404, "unknown-tool", f"unknown tool {name[:100]!r}; expected one of {', '.join(TOOLS)}{hint}"
        )
    return TOOLS[name]


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _readable(problem: Any) -> str:
    """Return all that is wrong with a call: what was found, what was expected, what to do."""
    details = [problem.get("detail") or problem["title"], *(each["detail"] for each in problem.get("errors", ()))]
    return "\n".join(dict.fromkeys(details))


def make_server(calls: ToolCalls, key: str = "") -> "Server[Any]":
    """Return the MCP server of the tools.

    Parameters
    ----------
    key
        The API key of calls that come without HTTP headers.
    """
    read_only = types.ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    tools = [
        types.Tool(
            name=name,
            title=name.capitalize(),
            description=tool.description,
            input_schema=tool.params.model_json_schema(),
            output_schema=tool.output.model_json_schema(),
            annotations=read_only,
        )
        for name, tool in TOOLS.items()
    ]

    async def list_tools(
        context: "ServerRequestContext[Any]", params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(
        context: "ServerRequestContext[Any]", params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        sent, address = key, HOST
        if (request := context.request) is not None:  # over HTTP
            sent, address = _key_in(request.headers), request.client.host
        # the app may wait for the store or the encoder, and other calls must not
        return await run_sync(partial(calls.call, params.name, params.arguments or {}, sent, address))

    return Server(
        "recommender",
        version=__version__,
        instructions=INSTRUCTIONS.format(fields=", ".join(calls.fields)),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _key_in(headers: Headers) -> str:
    kind, _, key = headers.get("Authorization", "").partition(" ")
    return key if kind.lower() == "bearer" else ""


class KeyCheck:
    """ASGI middleware that answers requests without a valid public key by a problem, as the service does."""

    def __init__(self, app: "ASGIApp", calls: ToolCalls) -> None:
        self._app, self._calls = app, calls

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Check one request."""
        answer = self._app
        if scope["type"] == "http":
            try:
                self._calls.check_key(_key_in(Headers(scope=scope)))
            except Problem as problem:
                headers = dict(problem.headers)
                answer = JSONResponse(problem.body(), problem.status, headers, "application/problem+json")
        await answer(scope, receive, send)


def serve_tools(
    bundles: str, config: Path | None = None, store: str | None = None, http: bool = False, port: int = 0
) -> None:
    """Serve the tools over stdin and stdout until stdin ends, or over HTTP on this machine until stopped.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into, or its URL.
    config, store
        As those of `serving.server.serve`.

    Raises
    ------
    BundleError, StoreError, ConfigError
        There is nothing to serve, the configuration is wrong, the port is taken, or the key that the settings need
        is missing.
    """
    settings = Settings.load(config, store=store)
    logs.configure(settings.log_level)
    folder = local_copy(bundles, settings.cache, offline=True)
    app = create_app(folder, settings, encoder=LocalEncoder(folder))
    calls = ToolCalls(app)
    with closing(calls.service):
        if http:
            _serve_http(calls, port)
        else:
            key = os.environ.get(KEY_VARIABLE, "")
            try:
                calls.check_key(key)
            except Problem as problem:
                raise ConfigError(f"{KEY_VARIABLE}: {problem}") from None
            anyio.run(_serve_stdio, make_server(calls, key))


def _serve_http(calls: ToolCalls, port: int) -> None:
    check_port(HOST, port)
    limit = calls.service.settings.max_body_bytes
    # without sessions: nothing is stored for a caller, and a restart ends none
    app = make_server(calls).streamable_http_app(
        streamable_http_path=PATH, json_response=True, stateless_http=True, max_request_body_size=limit, host=HOST
    )
    notice(f"tools for assistants at http://{HOST}:{port}{PATH}")
    uvicorn.run(KeyCheck(app, calls), host=HOST, port=port, log_config=None, access_log=False)


async def _serve_stdio(server: "Server[Any]") -> None:
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())
