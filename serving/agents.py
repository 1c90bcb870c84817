"""The tools for AI assistants over the Model Context Protocol (MCP): stdin and stdout, or HTTP.

Nothing that the service loads imports this module, which needs the extra `mcp`.
"""

import os
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
import uvicorn
from anyio.to_thread import run_sync
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from recommender.bundle import local_copy
from recommender.errors import ConfigError
from recommender.progress import notice
from recommender.version import __version__
from serving import logs
from serving.app import create_app
from serving.json_codec import encoded
from serving.problems import Problem
from serving.query_encoder import LocalEncoder
from serving.server import check_port
from serving.settings import Settings
from serving.tool_calls import TOOLS, ToolCalls, ToolError

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from starlette.types import ASGIApp, Receive, Scope, Send

HOST, PATH = "127.0.0.1", "/mcp"
# Has the key of all calls over stdin and stdout, where the settings have keys.
KEY_VARIABLE = "RECOMMENDER_KEY"
INSTRUCTIONS = """\
The products of a shop, its search and its recommendations. Products are named by item_id. Each result has the \
best products first; scores compare products of one result only. The attributes that filter and fields may \
name: {fields}."""
READ_ONLY = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


def make_server(calls: ToolCalls, key: str = "") -> "Server[Any]":
    """Return the MCP server of the tools.

    Parameters
    ----------
    calls
        Answers them.
    key
        The API key of calls that do not come over HTTP.
    """
    tools = [
        types.Tool(
            name=name,
            title=name.capitalize(),
            description=tool.description,
            input_schema=tool.params.model_json_schema(),
            output_schema=tool.output.model_json_schema(),
            annotations=READ_ONLY,
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
        # in a thread: a call may wait for the store or the encoder, and others go on
        return await run_sync(partial(_result, calls, params, sent, address))

    return Server(
        "recommender",
        version=__version__,
        instructions=INSTRUCTIONS.format(fields=", ".join(calls.fields)),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _result(calls: ToolCalls, params: types.CallToolRequestParams, key: str, address: str) -> types.CallToolResult:
    """Return what a call returns, as data and as text, or its error as a text that a model reads."""
    try:
        content = calls.call(params.name, params.arguments or {}, key, address)
    except ToolError as error:
        return types.CallToolResult(content=[_text(str(error))], is_error=True)
    return types.CallToolResult(content=[_text(encoded(content).decode())], structured_content=content)


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _key_in(headers: Headers) -> str:
    kind, _, key = headers.get("Authorization", "").partition(" ")
    return key if kind.lower() == "bearer" else ""


class KeyCheck:
    """ASGI middleware that refuses requests without a valid key of scope public, as the service does.

    Parameters
    ----------
    app
        What answers the others.
    calls
        Checks the key.
    """

    def __init__(self, app: "ASGIApp", calls: ToolCalls) -> None:
        self._app, self._calls = app, calls

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        answer = self._app
        if scope["type"] == "http":
            try:
                self._calls.check_key(_key_in(Headers(scope=scope)))
            except Problem as problem:
                headers = dict(problem.headers)
                answer = JSONResponse(problem.body(), problem.status, headers, "application/problem+json")
        await answer(scope, receive, send)


def serve_tools(bundles: str, config: Path | None, store: str | None, port: int | None = None) -> None:
    """Serve the tools over stdin and stdout until stdin ends, or over HTTP on this machine until stopped.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into, or its URL.
    config, store
        The service's TOML, and the URL of its store in the place of that of the TOML.
    port
        Of HTTP; None for stdin and stdout.

    Raises
    ------
    BundleError, StoreError, ConfigError
        There is nothing to serve, the configuration is wrong, the port is taken, or the key that the settings need
        is missing.
    """
    settings = Settings.load(config, store=store)
    logs.configure(settings.log_level)
    folder = local_copy(bundles, settings.cache, offline=True)
    calls = ToolCalls(create_app(folder, settings, encoder=LocalEncoder(folder)))
    with closing(calls.service):
        if port is not None:
            _serve_http(calls, port)
            return
        key = os.environ.get(KEY_VARIABLE, "")
        try:
            calls.check_key(key)
        except Problem as problem:
            raise ConfigError(f"the settings have keys, so {KEY_VARIABLE} must be one: {problem}") from None
        anyio.run(_serve_stdio, make_server(calls, key))


def _serve_http(calls: ToolCalls, port: int) -> None:
    check_port(HOST, port)
    settings = calls.service.settings
    # without sessions: nothing is stored for a caller, and a restart ends none
    app = make_server(calls).streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=settings.max_body_bytes,
        host=HOST,
    )
    notice(f"tools for assistants are at http://{HOST}:{port}{PATH}")
    is_behind_proxy = settings.proxies > 0  # else a caller would choose the address that its rate is counted by
    uvicorn.run(
        KeyCheck(app, calls),
        host=HOST,
        port=port,
        proxy_headers=is_behind_proxy,
        log_config=None,
        access_log=False,
    )


async def _serve_stdio(server: "Server[Any]") -> None:
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())
