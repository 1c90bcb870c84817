"""Import events into the event store, and export the log of answers."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import emit
from recommender.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from recommender.events import Event


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
    from recommender.progress import notice, progress
    from recommender.stores import open_store

    mapping = Config.load(config).events if config else None
    refused: list[str] = []
    read = _storable(read_events(file, mapping or EventsConfig(path=file)), refused)
    with open_store(store) as live:
        events = progress(read, "events", unit="event")
        new = [is_new for some in chunks(events, 1000) for is_new in live.events.add(some)]
    if refused:
        notice(f"{len(refused):,} events cannot be stored and are left out; the first: {refused[0]}")
    counts = {"new": sum(new), "known": len(new) - sum(new), "left_out": len(refused)}
    emit(counts, f"{counts['new']:,} new events, {counts['known']:,} already stored", as_json)


def export_answers(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON Lines file.", show_default=False)],
    store: Annotated[str, typer.Option("--store", help="URL of the event store.")],
    start: Annotated[
        datetime | None, typer.Option("--from", help="Answers since then, in UTC. [default: all]")
    ] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="Answers before then. [default: now]")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Export logged answers with propensities and rewards.

    Of placements that explore: a row for each shown product, as `recommender evaluate --off-policy` reads them.
    """
    from recommender.evaluation.answer_log import answer_frame, write_frame
    from recommender.items.moments import EARLIEST
    from recommender.stores import open_store

    since = EARLIEST if start is None else start.replace(tzinfo=UTC)
    until = datetime.now(UTC) if end is None else end.replace(tzinfo=UTC)
    with open_store(store) as live:
        frame = answer_frame(live.answers.read(since, until))
    write_frame(frame, file)
    counts = {"answers": int(frame["recommendation_id"].nunique()), "rows": len(frame), "file": str(file)}
    emit(counts, f"{counts['answers']:,} answers, {counts['rows']:,} rows: {file}", as_json)


def _storable(events: "Iterable[Event]", refused: list[str]) -> "Iterator[Event]":
    """Yield the events that a store can retain, and append why it cannot for the others."""
    from recommender.events import check_event

    for event in events:
        try:
            check_event(event)
        except RequestError as error:
            refused.append(str(error))
        else:
            yield event
