"""The service, its keys, and the demo."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from recommender.commands import options
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
) -> None:
    """Serve recommendations over HTTP.

    The guide to deployment describes all settings.
    """
    from serving.server import serve

    settings = {"host": host, "port": port, "workers": workers, "store": store}
    serve(bundles, config, **settings, query_encoder=query_encoder, storefront=storefront)


def key(
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="public, server or admin; repeatable. [default: public]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Create an API key for the service.

    Shows the key, once, and its entry for the service's TOML.
    """
    from secrets import token_urlsafe

    from serving.settings import Key

    secret = token_urlsafe(32)
    entry = Key.model_validate({"sha256": Key.hash(secret), "scopes": scopes or ["public"]})
    text = f'key: {secret}\n\n[keys.NAME]\nsha256 = "{entry.sha256}"\nscopes = {list(entry.scopes)}'
    emit({"key": secret, **entry.model_dump()}, text, as_json)


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
