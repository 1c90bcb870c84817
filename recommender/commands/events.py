"""Import events into the event store."""

from pathlib import Path
from typing import Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import emit


def import_events(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON Lines file.", show_default=False)],
    store: Annotated[str, typer.Option("--store", help="URL of the event store.")],
    config: Annotated[Path | None, typer.Option("--config", help="TOML whose [events] maps the columns.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Import a file of events into the store.

    Events that the store already has are skipped.
    """
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
    emit({"new": sum(new), "known": known}, f"{sum(new):,} new events, {known:,} already stored", as_json)
