"""Similar products and recommendations in the terminal."""

from typing import TYPE_CHECKING, Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import emit_answer, events_of, opened, weights_of

if TYPE_CHECKING:
    from recommender.events import Event


def similar(
    bundles: options.Bundles,
    item_id: Annotated[str, typer.Argument(help="Id of a product.", show_default=False)],
    k: options.Count = 10,
    filter: options.Filter = None,
    weights: options.Weights = None,
    explain: options.Explain = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the products most similar to one."""
    with opened(bundles) as (rec, _):
        answer = rec.similar(item_id, k, filter=filter, weights=weights_of(weights), explain=explain)
        emit_answer(answer, rec, as_json)


def recommend(
    bundles: options.Bundles,
    history: Annotated[str | None, typer.Option("--history", help="Product ids, oldest first: ID,ID.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="User id in --events or --store.")] = None,
    events: options.Events = None,
    store: options.Store = None,
    k: options.Count = 10,
    filter: options.Filter = None,
    weights: options.Weights = None,
    explain: options.Explain = False,
    as_json: options.AsJson = False,
) -> None:
    """Show recommendations for a history or a user."""
    if (history is None) == (user is None):
        raise typer.BadParameter("give either --history, or --user with --events or --store")
    with opened(bundles, store) as (rec, live):
        past: list[str] | list[Event]
        if user is None:
            past = [item_id for item_id in (history or "").split(",") if item_id]
        elif live is not None and events is None:
            past = live.events.history(user)
        else:
            past = [event for event in events_of(rec, events, live) if event.user_id == user]
        answer = rec.recommend(past, k, filter=filter, weights=weights_of(weights), explain=explain)
        emit_answer(answer, rec, as_json)
