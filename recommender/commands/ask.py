"""Similar products, recommendations and searches in the terminal."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.commands import options
from recommender.commands.shared import (
    attributes_of,
    diversity_of,
    emit_answer,
    emit_search,
    events_of,
    ids_of,
    opened,
    pins_of,
    trending_of,
    weights_of,
)
from recommender.progress import notice

if TYPE_CHECKING:
    from recommender.events import Event


def similar(
    bundles: options.Bundles,
    item_id: Annotated[str, typer.Argument(help="Id of a product.", show_default=False)],
    k: options.Count = 10,
    filter: options.Filter = None,
    weights: options.Weights = None,
    exclude: options.Exclude = None,
    variants: options.Variants = "collapse",
    stock: options.Stock = "available",
    plan: options.Plan = "auto",
    mmr: options.Mmr = None,
    max_per: options.MaxPer = None,
    pin: options.Pin = None,
    explain: options.Explain = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the products most similar to one."""
    with opened(bundles) as (rec, _):
        result = rec.similar(
            item_id,
            k,
            filter=filter,
            weights=weights_of(weights),
            exclude=ids_of(exclude),
            explain=explain,
            variants=variants,
            plan=plan,
            stock=stock,
            diversity=diversity_of(mmr, max_per),
            pin=pins_of(pin),
        )
        emit_answer(result, rec, as_json)


def recommend(
    bundles: options.Bundles,
    history: Annotated[str | None, typer.Option("--history", help="Product ids, oldest first: ID,ID")] = None,
    user: Annotated[str | None, typer.Option("--user", help="A user of --events or --store.")] = None,
    strategy: options.Strategy = "for_you",
    items: Annotated[
        str | None, typer.Option("--items", help="Seed products, such as those in a cart: ID,ID")
    ] = None,
    events: options.Events = None,
    store: options.EventStore = None,
    user_attribute: options.UserAttribute = None,
    context: options.Context = None,
    k: options.Count = 10,
    filter: options.Filter = None,
    weights: options.Weights = None,
    exclude: options.Exclude = None,
    include_history: options.IncludeHistory = False,
    exclude_purchased_days: options.ExcludePurchased = None,
    variants: options.Variants = "collapse",
    stock: options.Stock = "available",
    plan: options.Plan = "auto",
    mmr: options.Mmr = None,
    max_per: options.MaxPer = None,
    pin: options.Pin = None,
    explain: options.Explain = False,
    as_json: options.AsJson = False,
) -> None:
    """Show recommendations for a history or a user by any strategy."""
    if history is not None and user is not None:
        raise typer.BadParameter("give either --history, or --user with --events or --store")
    attributes: dict[str, Any] = attributes_of(user_attribute, "--user-attribute")
    if (
        not attributes
        and (history, user, items) == (None, None, None)
        and strategy not in ("popular", "new", "trending")
    ):
        raise typer.BadParameter(f"the strategy {strategy} needs --history, --items, --user or --user-attribute")
    with opened(bundles, store) as (rec, live):
        past: list[str] | list[Event] = ids_of(history)
        if user is not None and live is not None and events is None:
            past = live.events.history(user)
            stored = live.users.get(user) or {}
            attributes = {
                name: stored[name] for name in rec.profile_columns["user"] if name in stored
            } | attributes
        elif user is not None:
            past = [event for event in events_of(rec, events, live) if event.user_id == user]
        result = rec.recommend(
            past,
            k,
            strategy=strategy,
            items=ids_of(items),
            trending=trending_of(live) if strategy == "trending" else (),
            exclude_history=False if include_history else None,
            exclude_purchased_days=exclude_purchased_days,
            user=attributes or None,
            context=attributes_of(context, "--context") or None,
            filter=filter,
            weights=weights_of(weights),
            exclude=ids_of(exclude),
            explain=explain,
            variants=variants,
            plan=plan,
            stock=stock,
            diversity=diversity_of(mmr, max_per),
            pin=pins_of(pin),
        )
        if user is not None and not past and result.fallback_used is not None:
            warning = f"no events of user {user!r}: answered with {result.strategy} products"
            notice(warning)
            if as_json:
                result = replace(result, warnings=(warning, *result.warnings))
        emit_answer(result, rec, as_json)


def search(
    bundles: options.Bundles,
    text: Annotated[str, typer.Argument(help="Words, an id, a SKU or a barcode.", show_default=False)],
    k: options.Count = 10,
    filter: options.Filter = None,
    sort: options.Sort = "relevance",
    facets: Annotated[str | None, typer.Option("--facets", help="Count values of attributes: brand,color")] = None,
    words: Annotated[bool, typer.Option("--words", help="By words alone, without the encoder.")] = False,
    weights: options.Weights = None,
    exclude: options.Exclude = None,
    variants: options.Variants = "collapse",
    stock: options.Stock = "available",
    explain: options.Explain = False,
    as_json: options.AsJson = False,
) -> None:
    """Search the products for a text."""
    with opened(bundles) as (rec, _):
        result = rec.search(
            text,
            k=k,
            filter=filter,
            weights=weights_of(weights),
            exclude=ids_of(exclude),
            explain=explain,
            variants=variants,
            stock=stock,
            sort=sort,
            facets=ids_of(facets),
            encode=not words,
        )
        emit_search(result, rec, as_json)
