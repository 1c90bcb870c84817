"""Compare two generations in the terminal, as JSON or as a page."""

from pathlib import Path
from typing import Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import emit, events_of, opened


def compare(
    bundles: options.Bundles,
    before: Annotated[str, typer.Argument(help="A generation, see `bundles list`.", show_default=False)],
    after: Annotated[str | None, typer.Argument(help="Another one. [default: the current one]")] = None,
    events: options.Events = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with pictures, too.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare two generations of a bundle.

    Metrics with paired intervals, the overlap of their answers, and the products
    and users that changed most: users of --events, or synthetic ones.
    """
    from recommender.batch import by_user
    from recommender.commands.output import show_comparison
    from recommender.pages import write_comparison

    with opened(bundles, generation=before) as (first, _), opened(bundles, generation=after) as (second, _):
        histories = None if events is None else by_user(events_of(second, events, None))
        comparison = first.compare(second, histories)
        if html is not None:
            write_comparison(comparison, html)
        emit(comparison.to_dict(), show_comparison(comparison), as_json)
