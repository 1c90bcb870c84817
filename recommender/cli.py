"""The command line, and the one place that composes the library, its training and its serving.

Whatever is heavy is imported inside the command that needs it, so that `recommender --help` is quick. Answers
go to stdout; progress and notices go to stderr.
"""

import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from recommender.cli_options import (
    AsJson,
    Bundles,
    CatalogFile,
    ConfigFile,
    Count,
    Data,
    Events,
    Explain,
    Filter,
    Images,
    Store,
    Strict,
    Weights,
)
from recommender.errors import RecommenderError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recommender.config import Config
    from recommender.events import Event
    from recommender.recommender import Recommender
    from recommender.stores.base import EventStore, ItemOverlay

_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "no_args_is_help": True, "add_completion": False}
app = typer.Typer(
    help="Recommend products from a shop's own files.", pretty_exceptions_enable=False, **_PLAIN
)
events_app = typer.Typer(help="Fill the event store.", **_PLAIN)
bundles_app = typer.Typer(help="Look after published generations.", **_PLAIN)
app.add_typer(events_app, name="events")
app.add_typer(bundles_app, name="bundles")


@app.command()
def validate(
    config: ConfigFile = None,
    data: Data = None,
    catalog: CatalogFile = None,
    images: Images = None,
    events: Events = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Read everything, report every problem, train nothing."""
    from recommender.catalog import validate

    report = validate(_config(config, data, catalog, images, events), strict=strict)
    _emit(report.to_dict(), "\n".join(report.lines()), as_json)


@app.command()
def fit(
    out: Annotated[Path, typer.Option("--out", help="Folder to publish into.")],
    config: ConfigFile = None,
    data: Data = None,
    catalog: CatalogFile = None,
    images: Images = None,
    events: Events = None,
    store: Store = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Learn from a shop's files (and its event store) and publish a generation."""
    from training.fit import fit

    generation = fit(_config(config, data, catalog, images, events), out, store_url=store, strict=strict)
    _emit({"generation": generation, "bundles": str(out)}, f"published {generation} in {out}", as_json)


@app.command()
def evaluate(
    bundles: Annotated[Path | None, typer.Argument(help="Show the figures published with it.")] = None,
    config: ConfigFile = None,
    data: Data = None,
    catalog: CatalogFile = None,
    images: Images = None,
    events: Events = None,
    as_json: AsJson = False,
) -> None:
    """Show the figures of a bundle; or refit on the earlier part of the events and measure on the later."""
    if (bundles is None) == (config is None and catalog is None):
        raise typer.BadParameter("give BUNDLES, or --config (or --catalog) to refit and measure")
    if bundles is not None:
        from recommender.bundle import open_bundle

        figures = open_bundle(bundles).manifest.metrics
    else:
        from training.fit import evaluate_config

        figures = evaluate_config(_config(config, data, catalog, images, events))
    from recommender.terminal import show_figures

    _emit(figures, show_figures(figures), as_json)


@app.command()
def similar(
    bundles: Bundles,
    item_id: Annotated[str, typer.Argument(help="The shop's id of a product.", show_default=False)],
    k: Count = 10,
    filter: Filter = None,
    weights: Weights = None,
    explain: Explain = False,
    as_json: AsJson = False,
) -> None:
    """Show the products most like one."""
    rec = _load(bundles)
    answer = rec.similar(item_id, k, filter=filter, weights=_weights(weights), explain=explain)
    from recommender.terminal import show_answer

    _emit(answer.to_dict(), show_answer(answer, rec.product), as_json)


@app.command()
def recommend(
    bundles: Bundles,
    history: Annotated[str | None, typer.Option("--history", help="Product ids, oldest first: ID,ID")] = None,
    user: Annotated[str | None, typer.Option("--user", help="A user of --events or --store.")] = None,
    events: Events = None,
    store: Store = None,
    k: Count = 10,
    filter: Filter = None,
    weights: Weights = None,
    explain: Explain = False,
    as_json: AsJson = False,
) -> None:
    """Show what to recommend for a history or a user."""
    if (history is None) == (user is None):
        raise typer.BadParameter("give either --history, or --user with --events or --store")
    rec = _load(bundles, store)
    past: list[str] | list[Event]
    if user is None:
        past = [item_id for item_id in (history or "").split(",") if item_id]
    elif store is not None and events is None:
        past = _store(store)[0].history(user)
    else:
        past = [event for event in _read_events(rec, events, store) if event.user_id == user]
    answer = rec.recommend(past, k, filter=filter, weights=_weights(weights), explain=explain)
    from recommender.terminal import show_answer

    _emit(answer.to_dict(), show_answer(answer, rec.product), as_json)


@app.command()
def batch(
    bundles: Bundles,
    kind: Annotated[
        Literal["similar", "user"], typer.Option("--kind", help="For each product, or each user.")
    ],
    out: Annotated[Path, typer.Option("--out", help="A .parquet, .csv or .jsonl file.")],
    events: Events = None,
    store: Store = None,
    k: Count = 20,
    filter: Filter = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Write the answers for every product or every user to a file."""
    from recommender.batch import by_user, write_similar, write_users

    rec = _load(bundles, store)
    options = {"filter": filter, "weights": _weights(weights)}
    if kind == "similar":
        rows = write_similar(rec, out, k, **options)
    else:
        rows = write_users(rec, by_user(_read_events(rec, events, store)), out, k, **options)
    _emit({"out": str(out), "rows": rows}, f"wrote {rows:,} rows to {out}", as_json)


@app.command()
def serve(
    bundles: Bundles,
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port")] = 8000,
    workers: Annotated[int, typer.Option("--workers")] = 1,
    store: Store = None,
) -> None:
    """Answer over HTTP."""
    from serving.server import serve

    serve(bundles, host=host, port=port, workers=workers, store_url=store)


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
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML whose [events] maps the columns.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a file of events to the store; those already there are kept once."""
    from recommender.batch import chunks
    from recommender.catalog import read_events
    from recommender.config import Config, EventsConfig
    from recommender.progress import progress

    mapping = Config.load(config).events if config else None
    events = read_events(file, mapping or EventsConfig(path=file))
    target, _ = _store(store)
    new = [new for some in chunks(progress(events, "events", unit="event"), 1000) for new in target.add(some)]
    known = len(new) - sum(new)
    _emit({"new": sum(new), "known": known}, f"{sum(new):,} new events, {known:,} already there", as_json)


@bundles_app.command("list")
def list_generations(bundles: Bundles, as_json: AsJson = False) -> None:
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
    bundles: Bundles,
    generation: Annotated[str | None, typer.Argument(help="[default: the one before the current]")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an older generation current."""
    from recommender.bundle import rollback

    now = rollback(bundles, generation)
    _emit({"generation": now}, f"{now} is current", as_json)


@bundles_app.command("prune")
def prune(
    bundles: Bundles,
    keep: Annotated[int, typer.Option("--keep", help="How many of the newest stay.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Remove old generations; never the current one, nor one that a process has open."""
    from recommender.bundle import prune

    removed = prune(bundles, keep)
    _emit(
        {"removed": removed}, "\n".join(f"removed {name}" for name in removed) or "nothing to remove", as_json
    )


def _emit(document: object, text: str, as_json: bool) -> None:
    """Print the answer, as one JSON document or as text."""
    if as_json:
        import orjson

        options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        text = orjson.dumps(document, option=options).decode()
    typer.echo(text)


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


def _load(bundles: Path, store: str | None = None) -> "Recommender":
    import recommender

    return recommender.load(bundles, overlay=_store(store)[1] if store else None)


def _store(url: str) -> "tuple[EventStore, ItemOverlay]":
    from recommender.stores import open_store

    return open_store(url)


def _read_events(rec: "Recommender", file: Path | None, store: str | None) -> "Iterable[Event]":
    """Read events from a file, mapped as those that the bundle was fitted on, or from the store."""
    if (file is None) == (store is None):
        raise typer.BadParameter("give either --events or --store")
    if store is not None:
        return _store(store)[0].scan()
    from recommender.catalog import read_events
    from recommender.config import EventsConfig

    return read_events(file, EventsConfig(**{**(rec.manifest.config.get("events") or {}), "path": file}))


def main() -> None:
    """Run the command line: exit code 0, 1 for an expected error, 2 for a wrong usage."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("recommender").setLevel(logging.INFO)
    try:
        app()
    except (RecommenderError, OSError) as error:
        typer.echo(f"recommender: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
