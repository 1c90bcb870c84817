"""The command line, and the one place that composes the library, its training and its serving.

Whatever is heavy is imported inside the command that needs it, so that `recommender --help` is quick. Answers
go to stdout; progress and notices go to stderr.
"""

import logging
import os
import shlex
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from recommender import cli_options as options
from recommender.errors import RecommenderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from recommender.config import Config
    from recommender.events import Event
    from recommender.recommender import Options, Recommender
    from recommender.results import Recommendations
    from recommender.stores import Store as OpenStore

_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "no_args_is_help": True, "add_completion": False}
app = typer.Typer(help="Recommend products from a shop's own files.", pretty_exceptions_enable=False, **_PLAIN)
events_app = typer.Typer(help="Fill the event store.", **_PLAIN)
bundles_app = typer.Typer(help="Look after published generations.", **_PLAIN)
app.add_typer(events_app, name="events")
app.add_typer(bundles_app, name="bundles")


@app.command()
def validate(
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    events: options.Events = None,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
) -> None:
    """Read everything, report every problem, train nothing."""
    from recommender.catalog import validate

    report = validate(_config(config, data, catalog, images, events), strict=strict)
    _emit(report.to_dict(), "\n".join(report.lines()), as_json)


@app.command()
def fit(
    out: Annotated[Path, typer.Option("--out", help="Folder to publish into.")],
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    events: options.Events = None,
    store: options.Store = None,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
) -> None:
    """Learn from a shop's files (and its event store) and publish a generation."""
    asked = _config(config, data, catalog, images, events)
    from training.fit import fit

    generation = fit(asked, out, store_url=store, strict=strict)
    _emit({"generation": generation, "bundles": str(out)}, f"published {generation} in {out}", as_json)


@app.command()
def update(
    bundles: options.Bundles,
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", help="Products that were changed or added."),
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="The file has all products: those it lacks are removed.")
    ] = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
    images: Annotated[Path | None, typer.Option("--images", help="Folder or zip of photos.")] = None,
    store: options.Store = None,
    watch: Annotated[float | None, typer.Option("--watch", help="Look again every so many seconds.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Take up changed, new and removed products in seconds: those of a file, and those that a service queued."""
    if catalog is None and store is None:
        raise typer.BadParameter("give --catalog, --store or both")
    from recommender.stores import open_store
    from training.update import Updater, config_of

    with open_store(store) if store is not None else nullcontext() as live:
        updater = Updater(bundles, config_of(bundles, config, data, images), catalog, complete, live)
        for done in updater.watch(watch) if watch is not None else [updater.update()]:
            _emit(asdict(done), str(done), as_json)


@app.command()
def evaluate(
    bundles: Annotated[Path | None, typer.Argument(help="Show the figures published with it.")] = None,
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    events: options.Events = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the figures of a bundle; or refit on the earlier part of the events and measure on the later."""
    if (bundles is None) == (config is None and catalog is None):
        raise typer.BadParameter("give BUNDLES, or --config (or --catalog) to refit and measure")
    if bundles is not None:
        from recommender.bundle import open_bundle

        figures = open_bundle(bundles).manifest.metrics
    else:
        asked = _config(config, data, catalog, images, events)
        from training.fit import evaluate_config

        figures = evaluate_config(asked)
    from recommender.terminal import show_figures

    _emit(figures, show_figures(figures), as_json)


@app.command()
def similar(
    bundles: options.Bundles,
    item_id: Annotated[str, typer.Argument(help="The shop's id of a product.", show_default=False)],
    k: options.Count = 10,
    filter: options.Filter = None,
    weights: options.Weights = None,
    explain: options.Explain = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the products most like one."""
    with _opened(bundles) as (rec, _):
        answer = rec.similar(item_id, k, filter=filter, weights=_weights(weights), explain=explain)
        _emit_answer(answer, rec, as_json)


@app.command()
def recommend(
    bundles: options.Bundles,
    history: Annotated[str | None, typer.Option("--history", help="Product ids, oldest first: ID,ID")] = None,
    user: Annotated[str | None, typer.Option("--user", help="A user of --events or --store.")] = None,
    events: options.Events = None,
    store: options.Store = None,
    k: options.Count = 10,
    filter: options.Filter = None,
    weights: options.Weights = None,
    explain: options.Explain = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what to recommend for a history or a user."""
    if (history is None) == (user is None):
        raise typer.BadParameter("give either --history, or --user with --events or --store")
    with _opened(bundles, store) as (rec, live):
        past: list[str] | list[Event]
        if user is None:
            past = [item_id for item_id in (history or "").split(",") if item_id]
        elif live is not None and events is None:
            past = live.events.history(user)
        else:
            past = [event for event in _read_events(rec, events, live) if event.user_id == user]
        answer = rec.recommend(past, k, filter=filter, weights=_weights(weights), explain=explain)
        _emit_answer(answer, rec, as_json)


@app.command()
def batch(
    bundles: options.Bundles,
    kind: Annotated[Literal["similar", "user"], typer.Option("--kind", help="For each product, or each user.")],
    out: Annotated[Path, typer.Option("--out", help="A .parquet, .csv or .jsonl file.")],
    events: options.Events = None,
    store: options.Store = None,
    k: options.Count = 20,
    filter: options.Filter = None,
    weights: options.Weights = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the answers for every product or every user to a file."""
    from recommender.batch import by_user, write_similar, write_users

    with _opened(bundles, store) as (rec, live):
        settings: Options = {"filter": filter, "weights": _weights(weights)}
        if kind == "similar":
            rows = write_similar(rec, out, k, **settings)
        else:
            rows = write_users(rec, by_user(_read_events(rec, events, live)), out, k, **settings)
    _emit({"out": str(out), "rows": rows}, f"wrote {rows:,} rows to {out}", as_json)


@app.command(name="map")
def map_products(
    bundles: options.Bundles,
    out: Annotated[Path, typer.Option("--out", help="An .html file; it needs no network.")],
    block: Annotated[
        str | None, typer.Option("--block", help="One block alone, such as image. [default: all]")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="pacmap, umap or pca. [default: the first installed]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw all products in the plane, what is alike near each other, as a page."""
    from recommender.pages import write_map

    with _opened(bundles) as (rec, _):
        n = write_map(rec, out, block, method)
    size = out.stat().st_size
    _emit(
        {"out": str(out), "products": n, "bytes": size},
        f"wrote {n:,} products to {out}, {size / 1e6:.1f} MB",
        as_json,
    )


@app.command()
def report(
    bundles: options.Bundles,
    out: Annotated[Path, typer.Option("--out", help="An .html file; it needs no network.")],
    events: options.Events = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a bundle in figures and pictures, as a page: data, training, evaluation, examples."""
    from recommender.batch import by_user
    from recommender.pages import write_report

    with _opened(bundles, store) as (rec, live):
        known = events is not None or live is not None
        histories = by_user(_read_events(rec, events, live)) if known else None
        write_report(rec, out, histories)
    _emit({"out": str(out), "bytes": out.stat().st_size}, f"wrote {out}", as_json)


@app.command()
def serve(
    bundles: options.Bundles,
    config: Annotated[Path | None, typer.Option("--config", help="TOML of placements, keys and settings.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="[default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option("--port", help="[default: 8000]")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes. [default: 1]")] = None,
    store: options.Store = None,
    query_encoder: Annotated[
        bool | None, typer.Option("--query-encoder/--no-query-encoder", help="Answer words and pictures, too.")
    ] = None,
    storefront: Annotated[
        bool | None, typer.Option("--storefront/--no-storefront", help="Pages of the shop at /shop.")
    ] = None,
) -> None:
    """Answer over HTTP; docs/SERVICE.md tells of all settings."""
    from serving.server import serve

    given = {"host": host, "port": port, "workers": workers, "store": store}
    serve(bundles, config, **given, query_encoder=query_encoder, storefront=storefront)


@app.command()
def key(
    scopes: Annotated[list[str] | None, typer.Option("--scope", help="public, server or admin.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Make an API key: itself, which is shown this once, and what the service's TOML has of it."""
    from secrets import token_urlsafe

    from serving.settings import Key

    secret = token_urlsafe(32)
    entry = Key.model_validate({"sha256": Key.hash(secret), "scopes": scopes or ["public"]})
    text = f'key: {secret}\n\n[keys.NAME]\nsha256 = "{entry.sha256}"\nscopes = {list(entry.scopes)}'
    _emit({"key": secret, **entry.model_dump()}, text, as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to make the shop.")] = Path("demo-shop"),
    products: Annotated[int, typer.Option("--products", help="Shoppers and events go with it.")] = 800,
    port: Annotated[int, typer.Option("--port")] = 8000,
    serving: Annotated[bool, typer.Option("--serve/--no-serve", help="End by serving on 127.0.0.1.")] = True,
) -> None:
    """Make a small shop of drawn products, and run the other commands on it."""
    from recommender.demo.shop import make_shop
    from recommender.demo.tour import introduce, tour

    shop = make_shop(folder, products, users=products * 5 // 2, events=products * 75 // 2)
    typer.echo(introduce(shop))
    for step in tour(shop, port if serving else None):
        typer.echo(f"\n$ recommender {shlex.join(step)}")
        app(step, standalone_mode=False)


@events_app.command("import")
def import_events(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON Lines.", show_default=False)],
    store: Annotated[str, typer.Option("--store", help="URL of the event store.")],
    config: Annotated[Path | None, typer.Option("--config", help="TOML whose [events] maps the columns.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Add a file of events to the store; those already there are kept once."""
    from recommender.batch import chunks
    from recommender.catalog import read_events
    from recommender.config import Config, EventsConfig
    from recommender.progress import progress
    from recommender.stores import open_store

    mapping = Config.load(config).events if config else None
    events = progress(read_events(file, mapping or EventsConfig(path=file)), "events", unit="event")
    with open_store(store) as live:
        new = [is_new for some in chunks(events, 1000) for is_new in live.events.add(some)]
    known = len(new) - sum(new)
    _emit({"new": sum(new), "known": known}, f"{sum(new):,} new events, {known:,} already there", as_json)


@bundles_app.command("list")
def list_generations(bundles: options.Bundles, as_json: options.AsJson = False) -> None:
    """List the published generations, the newest last; the current one is marked."""
    from recommender.bundle import current, generations

    now = current(bundles)
    known = [
        {"generation": m.generation, "created_at": m.created_at, "n": m.n, "current": m.generation == now}
        for m in generations(bundles)
    ]
    lines = [f"{'*' if g['current'] else ' '} {g['generation']}  {g['n']:,} products" for g in known]
    _emit({"generations": known}, "\n".join(lines), as_json)


@bundles_app.command("rollback")
def rollback(
    bundles: options.Bundles,
    generation: Annotated[str | None, typer.Argument(help="[default: the one before the current]")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Make an older generation current."""
    from recommender.bundle import rollback

    now = rollback(bundles, generation)
    _emit({"generation": now}, f"{now} is current", as_json)


@bundles_app.command("prune")
def prune(
    bundles: options.Bundles,
    keep: Annotated[int, typer.Option("--keep", help="How many of the newest stay.")] = 2,
    as_json: options.AsJson = False,
) -> None:
    """Remove old generations; never the current one, nor one that a process has open."""
    from recommender.bundle import prune

    removed = prune(bundles, keep)
    _emit({"removed": removed}, "\n".join(f"removed {name}" for name in removed) or "nothing to remove", as_json)


@bundles_app.command("compact")
def compact(bundles: options.Bundles, as_json: options.AsJson = False) -> None:
    """Make one base of what updates have changed; they do it by themselves when much has."""
    from training.compact import compact

    now = compact(bundles)
    _emit({"generation": now}, f"{now} is current", as_json)


def _emit(document: object, text: str, as_json: bool) -> None:
    """Print the answer, as one JSON document or as text."""
    if as_json:
        import orjson

        options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        text = orjson.dumps(document, option=options).decode()
    typer.echo(text)


def _emit_answer(answer: "Recommendations", rec: "Recommender", as_json: bool) -> None:
    from recommender.terminal import show_answer

    _emit(answer.to_dict(), show_answer(answer, rec.product), as_json)


def _config(
    config: Path | None, data: Path | None, catalog: Path | None, images: Path | None, events: Path | None
) -> "Config":
    from recommender.config import Config

    if config is not None:
        if catalog or images or events:
            raise typer.BadParameter("--catalog, --images and --events are entries of the --config file")
        return Config.load(config, data)
    if catalog is None:
        raise typer.BadParameter("give --config, or --catalog with --images and --events as there are")
    return Config.from_files(catalog, images, events)


def _weights(text: str | None) -> dict[str, float] | None:
    """Read image=1,category=0.5."""
    if text is None:
        return None
    try:
        return {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise typer.BadParameter(f"--weights is {text!r}; expected such as image=1,category=0.5") from None


@contextmanager
def _opened(bundles: Path, store_url: str | None = None) -> "Iterator[tuple[Recommender, OpenStore | None]]":
    """Open the current generation, with the changes that the store knows of."""
    import recommender

    if store_url is None:
        yield recommender.load(bundles), None
        return
    from recommender.stores import open_store

    with open_store(store_url) as store:
        yield recommender.load(bundles, overlay=store.overlay), store


def _read_events(rec: "Recommender", file: Path | None, store: "OpenStore | None") -> "Iterable[Event]":
    """Read events from a file, mapped as those that the bundle was fitted on, or from the store."""
    if store is not None and file is None:
        return store.events.scan()
    if file is None or store is not None:
        raise typer.BadParameter("give either --events or --store")
    from recommender.catalog import read_events
    from recommender.config import EventsConfig

    return read_events(file, EventsConfig(**{**(rec.manifest.config.get("events") or {}), "path": file}))


class _Notices(logging.Handler):
    """Writes notices to stderr, above a progress bar that may be there."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(record.getMessage(), file=sys.stderr)


def main() -> None:
    """Run the command line: exit code 0, 1 for an expected error, 2 for a wrong usage."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on a busy machine, spinning makes torch ten times slower
    logger = logging.getLogger("recommender")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Notices()]
    try:
        app()
    except (RecommenderError, OSError) as error:
        typer.echo(f"recommender: {' '.join(str(error).split())}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
