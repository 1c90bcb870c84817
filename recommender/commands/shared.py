"""Shared by the commands: read options, open a bundle, print an answer."""

from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pyarrow import Table

    from recommender.batch.jobs import Map
    from recommender.batch.on_ray import Cluster
    from recommender.config import Config, EventsConfig
    from recommender.events import Event
    from recommender.ranking.results import Recommendations
    from recommender.recommender import Recommender
    from recommender.stores import Store as OpenStore


def emit(document: object, text: str, as_json: bool) -> None:
    """Print one JSON document, or else the text."""
    if as_json:
        import orjson

        options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        text = orjson.dumps(document, option=options).decode()
    typer.echo(text)


def emit_answer(answer: "Recommendations", rec: "Recommender", as_json: bool) -> None:
    """Print recommendations, as JSON or as a table."""
    from recommender.commands.output import show_answer

    emit(answer.to_dict(), show_answer(answer, rec.product), as_json)


def emit_search(answer: "Recommendations", rec: "Recommender", as_json: bool) -> None:
    """Print what a search found, with its facets, or what there is instead."""
    from recommender.commands.output import show_search

    emit(answer.to_dict() | answer.search_dict(), show_search(answer, rec.product), as_json)


def config_of(
    config: Path | None, data: Path | None, catalog: Path | None, images: Path | None, events: Path | None
) -> "Config":
    """Return the config from the shop's TOML, or else from its files."""
    from recommender.config import Config

    if config is not None:
        if catalog or images or events:
            raise typer.BadParameter("--catalog, --images and --events are entries of the --config file")
        return Config.load(config, data)
    if catalog is None:
        raise typer.BadParameter("give --config; or --catalog, with --images and --events if there are any")
    return Config.from_files(catalog, images, events)


def weights_of(text: str | None) -> dict[str, float] | None:
    """Parse weights such as image=1,category=0.5."""
    if text is None:
        return None
    try:
        return {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise typer.BadParameter(f"--weights is {text!r}; expected such as image=1,category=0.5") from None


def diversity_of(mmr: float | None, max_per: str | None) -> dict[str, Any] | None:
    """Return the re-rankers of --mmr and --max-per."""
    diversity: dict[str, Any] = {} if mmr is None else {"mmr": mmr}
    if max_per is not None:
        diversity["max_per"] = {name: _whole(value, "--max-per", "brand=3") for name, value in _pairs(max_per)}
    return diversity or None


def pins_of(text: str | None) -> dict[int, str] | None:
    """Return the pins of a text such as 1=SKU-7,3=SKU-9."""
    if text is None:
        return None
    return {_whole(position, "--pin", "1=SKU-7"): item_id for position, item_id in _pairs(text)}


def attributes_of(pairs: "Sequence[str] | None", option: str) -> dict[str, str]:
    """Return the attributes of repeated options such as age=34."""
    named = dict(pair.partition("=")[::2] for pair in pairs or ())
    if "" in named or len(named) < len(pairs or ()) or any("=" not in pair for pair in pairs or ()):
        raise typer.BadParameter(f"{option} is {' '.join(pairs or ())!r}; expected such as age=34, each name once")
    return named


def ids_of(text: str | None) -> list[str]:
    """Return the ids of a text such as ID,ID."""
    return [item_id for item_id in (text or "").split(",") if item_id]


def trending_of(store: "OpenStore | None", days: int = 7) -> "Sequence[tuple[str, float]]":
    """Return the items with recent events in a store, with their weights."""
    from datetime import UTC, datetime, timedelta

    if store is None:
        raise typer.BadParameter("--strategy trending counts recent events: give --store")
    return store.events.trending(datetime.now(UTC) - timedelta(days=days))


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in text.split(","))]


def _whole(value: str, option: str, example: str) -> int:
    if not value.isdigit():
        raise typer.BadParameter(f"{option} has {value!r}; expected such as {example}")
    return int(value)


@contextmanager
def opened(
    bundles: Path, store_url: str | None = None, generation: str | None = None
) -> "Iterator[tuple[Recommender, OpenStore | None]]":
    """Open a generation, by default the current one, with the overlay of the store if there is one."""
    import recommender

    if store_url is None:
        yield recommender.load(bundles, generation=generation), None
        return
    from recommender.stores import open_store

    with open_store(store_url) as store:
        yield recommender.load(bundles, overlay=store.overlay, generation=generation), store


def event_tables_of(
    rec: "Recommender", file: Path | None, store: "OpenStore | None"
) -> "tuple[Iterator[Table], Any]":
    """Return events as a stream of tables, and what identifies their source; see `events_of`."""
    from recommender.batch.histories import tables_of_events

    if file is None or store is not None:
        return tables_of_events(events_of(rec, file, store)), "store"
    read, source = file_tables_of(rec, file)
    return read(), source


def file_tables_of(rec: "Recommender", file: Path) -> "tuple[Callable[[], Iterator[Table]], Any]":
    """Return a function that reads a file of events as a stream of tables, and what identifies it."""
    from recommender.batch.histories import tables_of_file
    from recommender.errors import DataError

    try:
        stat = file.stat()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    source = {"file": str(file.resolve()), "bytes": stat.st_size, "modified": stat.st_mtime}
    return partial(tables_of_file, file, _events_config(rec, file)), source


def cluster_of(engine: str, address: str | None, gpus: float = 0) -> "Cluster | None":
    """Return the Ray cluster, whose options are refused otherwise; None: this process."""
    if engine == "local":
        if address is not None or gpus:
            raise typer.BadParameter("--address and --gpus need --engine ray")
        return None
    from recommender.batch.on_ray import Cluster

    return Cluster(address, gpus)


def engine_of(engine: str, address: str | None) -> "Map":
    """Return what runs the partitions of a batch."""
    from recommender.batch.jobs import in_process

    if cluster_of(engine, address) is None:
        return in_process
    from recommender.batch.on_ray import on_ray

    return on_ray(address)


def events_of(rec: "Recommender", file: Path | None, store: "OpenStore | None") -> "Iterable[Event]":
    """Read events from the store, or from a file with the columns of the events that `fit` read."""
    if store is not None and file is None:
        return store.events.scan()
    if file is None or store is not None:
        raise typer.BadParameter("give either --events or --store")
    from recommender.catalog import read_events

    return read_events(file, _events_config(rec, file))


def _events_config(rec: "Recommender", file: Path) -> "EventsConfig":
    from recommender.config import EventsConfig

    return EventsConfig(**{**(rec.manifest.config.get("events") or {}), "path": file})
