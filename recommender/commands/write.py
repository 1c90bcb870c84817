"""Files written from a bundle: batch recommendations, the map, the report."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from recommender.commands import options
from recommender.commands.shared import (
    diversity_of,
    emit,
    engine_of,
    events_of,
    opened,
    weights_of,
)


def batch(
    bundles: options.Bundles,
    kind: Annotated[
        Literal["similar", "user"], typer.Option("--kind", help="similar: of each product. user: for each user.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            help="A .parquet, .csv or .jsonl file; a folder (or its URL) of Parquet files; or a database's URL.",
        ),
    ],
    events: options.Events = None,
    store: options.EventStore = None,
    k: Annotated[
        int | None, typer.Option("-k", "--limit", help="Products for each. [default: 20, or the placement's]")
    ] = None,
    filter: options.Filter = None,
    weights: options.Weights = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="Such as cart or popular. [default: similar or for_you]")
    ] = None,
    variants: options.Variants = "collapse",
    stock: options.Stock = "available",
    include_history: options.IncludeHistory = False,
    exclude_purchased_days: options.ExcludePurchased = None,
    mmr: options.Mmr = None,
    max_per: options.MaxPer = None,
    explain: Annotated[bool, typer.Option("--explain", help="Add the columns reason, reasons and parts.")] = False,
    placement: Annotated[
        str | None, typer.Option("--placement", help="Answer as the service does at this placement.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="The service's TOML, which has the placements.")
    ] = None,
    arm: Annotated[str | None, typer.Option("--arm", help="Arm of the placement's experiment.")] = None,
    changed_since: Annotated[
        str | None,
        typer.Option(
            "--changed-since",
            help="State file of the last run, or its URL: only users who changed since are answered.",
        ),
    ] = None,
    table: Annotated[str, typer.Option("--table", help="Table of the database of --out.")] = "recommendations",
    size: Annotated[
        int, typer.Option("--partition-size", min=1, help="Products or users per file of a folder.")
    ] = 50_000,
    engine: options.Engine = "local",
    address: options.Address = None,
    as_json: options.AsJson = False,
) -> None:
    """Write recommendations for every product or every user.

    Into one file, a folder or a table; but for one file, an interrupted run is resumed. With --changed-since only
    for users with other events than at the last run, or for all if the generation or the request is another.
    """
    from recommender.batch import is_folder, is_sql
    from recommender.commands.batch import BatchCommand

    in_parts = is_sql(out) or is_folder(out)
    if not in_parts and (engine == "ray" or changed_since is not None):
        option = "--engine ray" if engine == "ray" else "--changed-since"
        raise typer.BadParameter(f"{option} writes a folder or a table: --out FOLDER/")
    if changed_since is not None and kind == "similar":
        raise typer.BadParameter("--changed-since is for users: --kind user")
    given: dict[str, Any] = {
        "filter": filter,
        "weights": weights_of(weights),
        "strategy": strategy,
        "variants": variants if variants != "collapse" else None,
        "stock": stock if stock != "available" else None,
        "exclude_history": False if include_history else None,
        "exclude_purchased_days": exclude_purchased_days,
        "diversity": diversity_of(mmr, max_per),
        "explain": explain or None,
    }
    run = BatchCommand(bundles, kind, out, store, events, k, given, size, changed_since, table)
    if placement is not None:
        run = run.at_placement(settings, placement, arm)
    elif settings is not None or arm is not None:
        raise typer.BadParameter("--settings and --arm need --placement")
    done = run.write(engine_of(engine, address))
    emit(done, done.pop("text"), as_json)


def map_products(
    bundles: options.Bundles,
    out: Annotated[Path, typer.Option("--out", help="An .html file, which needs no network.")],
    block: Annotated[str | None, typer.Option("--block", help="One block, such as image. [default: all]")] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="pacmap, umap or pca. [default: the first installed]")
    ] = None,
    shop_url: Annotated[
        str | None,
        typer.Option("--shop-url", help="Address of a product's page, with {id} for the id."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw a map of all products, an HTML page.

    Similar products are near each other. A click shows a product's photo, attributes and similar items; a lasso
    selects products, whose ids can be copied as a filter.
    """
    from recommender.pages import write_map

    if out.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"the map is a page: --out is {str(out)!r}, expected such as map.html")
    with opened(bundles) as (rec, _):
        n = write_map(rec, out, block, method, shop_url)
    size = out.stat().st_size
    emit(
        {"out": str(out), "products": n, "bytes": size},
        f"wrote {n:,} products to {out}, {size / 1e6:.1f} MB",
        as_json,
    )


def report(
    bundles: options.Bundles,
    out: Annotated[Path, typer.Option("--out", help="An .html file, which needs no network.")],
    events: options.Events = None,
    store: options.EventStore = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a report of a bundle, an HTML page.

    Data quality, training, evaluation and examples.
    """
    from recommender.batch import by_user
    from recommender.pages import write_report

    with opened(bundles, store) as (rec, live):
        known = events is not None or live is not None
        histories = by_user(events_of(rec, events, live)) if known else None
        write_report(rec, out, histories)
    emit({"out": str(out), "bytes": out.stat().st_size}, f"wrote {out}", as_json)
