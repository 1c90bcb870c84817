"""What several commands do: read their options, open a bundle, print the answer."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyarrow import Table

    from recommender.batch.jobs import Map
    from recommender.config import Config, EventsConfig
    from recommender.events import Event
    from recommender.ranking.results import Recommendations
    from recommender.recommender import Recommender
    from recommender.stores import Store as OpenStore


def emit(document: object, text: str, as_json: bool) -> None:
    """Print the answer, as one JSON document or as text."""
    if as_json:
        import orjson

        options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        text = orjson.dumps(document, option=options).decode()
    typer.echo(text)


def emit_answer(answer: "Recommendations", rec: "Recommender", as_json: bool) -> None:
    """Print an answer, as `emit` does."""
    from recommender.commands.output import show_answer

    emit(answer.to_dict(), show_answer(answer, rec.product), as_json)


def config_of(
    config: Path | None, data: Path | None, catalog: Path | None, images: Path | None, events: Path | None
) -> "Config":
    """Read the shop's TOML, or make do with its files."""
    from recommender.config import Config

    if config is not None:
        if catalog or images or events:
            raise typer.BadParameter("--catalog, --images and --events are entries of the --config file")
        return Config.load(config, data)
    if catalog is None:
        raise typer.BadParameter("give --config, or --catalog with --images and --events as there are")
    return Config.from_files(catalog, images, events)


def weights_of(text: str | None) -> dict[str, float] | None:
    """Read image=1,category=0.5."""
    if text is None:
        return None
    try:
        return {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise typer.BadParameter(f"--weights is {text!r}; expected such as image=1,category=0.5") from None


@contextmanager
def opened(bundles: Path, store_url: str | None = None) -> "Iterator[tuple[Recommender, OpenStore | None]]":
    """Open the current generation, with the changes that the store knows of."""
    import recommender

    if store_url is None:
        yield recommender.load(bundles), None
        return
    from recommender.stores import open_store

    with open_store(store_url) as store:
        yield recommender.load(bundles, overlay=store.overlay), store


def event_tables_of(
    rec: "Recommender", file: Path | None, store: "OpenStore | None"
) -> "tuple[Iterator[Table], Any]":
    """Return events as `events_of` does, in tables, a part at a time, and what tells them from others."""
    from recommender.batch.histories import tables_of_events, tables_of_file
    from recommender.errors import DataError

    events = events_of(rec, file, store)
    if file is None:
        return tables_of_events(events), "store"
    try:
        about = file.stat()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    source = {"file": str(file.resolve()), "bytes": about.st_size, "modified": about.st_mtime}
    return tables_of_file(file, _events_config(rec, file)), source


def is_ray(engine: str, address: str | None, gpus: float = 0) -> bool:
    """Tell whether Ray is to do it; its options mean nothing otherwise."""
    if engine == "local" and (address is not None or gpus):
        raise typer.BadParameter("--address and --gpus are of --engine ray")
    return engine == "ray"


def engine_of(engine: str, address: str | None) -> "Map":
    """Return what runs the partitions of a batch."""
    from recommender.batch.jobs import here

    if not is_ray(engine, address):
        return here
    from recommender.batch.on_ray import on_ray

    return on_ray(address)


def events_of(rec: "Recommender", file: Path | None, store: "OpenStore | None") -> "Iterable[Event]":
    """Read events from a file, mapped as those that the bundle was fitted on, or from the store."""
    if store is not None and file is None:
        return store.events.scan()
    if file is None or store is not None:
        raise typer.BadParameter("give either --events or --store")
    from recommender.catalog import read_events

    return read_events(file, _events_config(rec, file))


def _events_config(rec: "Recommender", file: Path) -> "EventsConfig":
    from recommender.config import EventsConfig

    return EventsConfig(**{**(rec.manifest.config.get("events") or {}), "path": file})
