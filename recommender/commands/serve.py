"""The service, its keys, the tools for assistants, and the demo."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from recommender.commands import options
from recommender.commands.placements import toml
from recommender.commands.shared import emit


def serve(
    bundles: options.BundlesUrl,
    config: Annotated[
        Path | None, typer.Option("--config", help="The service's TOML: settings, keys, placements.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port. [default: 8000]")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Worker processes. [default: 1]")] = None,
    store: options.EventStore = None,
    query_encoder: Annotated[
        bool | None, typer.Option("--query-encoder/--no-query-encoder", help="Answer text and image queries.")
    ] = None,
    storefront: Annotated[
        bool | None, typer.Option("--storefront/--no-storefront", help="Serve a demo storefront at /shop.")
    ] = None,
    studio: Annotated[
        bool | None, typer.Option("--studio/--no-studio", help="Edit placements and rules at /studio.")
    ] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Serve other machines without API keys.", show_default=False)
    ] = None,
) -> None:
    """Serve recommendations over HTTP.

    The guide to deployment describes all settings.
    """
    from serving.server import serve

    settings = {"host": host, "port": port, "workers": workers, "store": store, "insecure": insecure}
    serve(bundles, config, **settings, query_encoder=query_encoder, storefront=storefront, studio=studio)


def mcp(
    bundles: options.BundlesUrl,
    http: Annotated[
        bool, typer.Option("--http", help="Over HTTP on 127.0.0.1, instead of stdin and stdout.")
    ] = False,
    port: Annotated[int, typer.Option("--port", help="Port, with --http.")] = 8001,
    config: Annotated[Path | None, typer.Option("--config", help="The service's TOML: settings and keys.")] = None,
    store: options.EventStore = None,
) -> None:
    """Serve recommendations to AI assistants as tools (MCP).

    The guide to assistants has their configuration. Needs the extra: pip install
    'hybrid-recommender[mcp]'
    """
    from recommender.errors import MissingPackageError

    try:
        from serving.agents import serve_tools
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("mcp"):
            raise
        found = "tools for assistants need mcp, which is not installed"
        raise MissingPackageError(f"{found}; run: pip install 'hybrid-recommender[mcp]'") from error
    serve_tools(bundles, config, store, port if http else None)


def key(
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="public, server or admin; repeatable. [default: public]")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="Day or moment from which it is refused: 2027-01-31.")
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option("--origin", help="Web pages that may use it: https://shop.example; repeatable."),
    ] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Its own mean rate limit, per second.")] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option("--fixed", help="Member that it fixes: limit=8 or 'filter=price < 50'; repeatable."),
    ] = None,
    markets: Annotated[
        list[str] | None, typer.Option("--market", help="Market that it is for; repeatable. [default: all]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Create an API key for the service.

    Shows the key, once, and its entry for the service's TOML.
    """
    from secrets import token_urlsafe

    from pydantic import ValidationError

    from recommender.errors import ConfigError
    from serving.settings import Key

    secret = token_urlsafe(32)
    given = {
        "sha256": Key.hash(secret),
        "scopes": scopes or ["public"],
        "expires": expires,
        "origins": origins or [],
        "rate": rate,
        "fixed": dict(map(_member, fixed or [])),
        "markets": markets or [],
    }
    try:
        entry = Key.model_validate(given).model_dump(mode="json", exclude_defaults=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0] if first['loc'] else 'key'}: {first['msg']}") from None
    entry["scopes"] = given["scopes"]
    lines = [f"{name} = {toml(value)}" for name, value in entry.items()]
    emit({"key": secret, **entry}, "\n".join([f"key: {secret}", "", "[keys.NAME]", *lines]), as_json)


def _member(text: str) -> tuple[str, Any]:
    """Return a name and its value: JSON, or else a text."""
    import json

    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder to create.")] = Path("demo-shop"),
    products: Annotated[
        int, typer.Option("--products", help="Number of products; users and events in proportion.")
    ] = 800,
    port: Annotated[int, typer.Option("--port", help="Port.")] = 8000,
    serving: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve on 127.0.0.1 at the end.")] = True,
) -> None:
    """Create a demo shop and run the other commands on it."""
    from recommender.demo.shop import make_shop
    from recommender.demo.tour import introduce, tour

    shop = make_shop(folder, products, users=products * 5 // 2, events=products * 75 // 2)
    typer.echo(introduce(shop))
    for step in tour(shop, port if serving else None):
        typer.echo(f"\n$ recommender {shlex.join(step)}")
        context.find_root().command.main(step, standalone_mode=False)
