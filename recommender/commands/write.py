"""Files written from a bundle: batch recommendations, the map, the report."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from recommender.commands import options
from recommender.commands.shared import (
    diversity_of,
    emit,
    engine_of,
    event_tables_of,
    events_of,
    opened,
    trending_of,
    weights_of,
)


def batch(
    bundles: options.Bundles,
    kind: Annotated[
        Literal["similar", "user"], typer.Option("--kind", help="similar: of each product. user: for each user.")
    ],
    out: Annotated[
        str,
        typer.Option("--out", help="A .parquet, .csv or .jsonl file; or a folder (or its URL) of Parquet files."),
    ],
    events: options.Events = None,
    store: options.EventStore = None,
    k: options.Count = 20,
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
    size: Annotated[
        int, typer.Option("--partition-size", min=1, help="Products or users per file of a folder.")
    ] = 50_000,
    engine: options.Engine = "local",
    address: options.Address = None,
    as_json: options.AsJson = False,
) -> None:
    """Write recommendations for every product or every user.

    Into one file, or a folder; into a folder, an interrupted run is resumed.
    """
    from recommender.batch import Job, is_folder, read_histories, write_partitions, write_similar, write_users
    from recommender.batch.answers import batch_request

    if engine == "ray" and not is_folder(out):
        raise typer.BadParameter("--engine ray writes a folder: --out FOLDER/")
    with opened(bundles, store) as (rec, live):
        request: dict[str, Any] = {
            "filter": filter,
            "weights": weights_of(weights),
            "strategy": strategy,
            "variants": variants if variants != "collapse" else None,
            "stock": stock if stock != "available" else None,
            "exclude_history": False if include_history else None,
            "exclude_purchased_days": exclude_purchased_days,
            "diversity": diversity_of(mmr, max_per),
            "explain": explain or None,
            "trending": trending_of(live) if strategy == "trending" else None,
        }
        batch_request("similar" if kind == "similar" else "for_you", k, request)  # wrong values before any work
        if is_folder(out):
            tables, source = event_tables_of(rec, events, live) if kind == "user" else ((), None)
            job = Job(str(bundles.resolve()), rec.generation, kind, out, k, request, size, store, source)
            rows = write_partitions(job, tables, engine_of(engine, address))
        elif kind == "similar":
            rows = write_similar(rec, Path(out), k, **request)
        else:
            tables, _ = event_tables_of(rec, events, live)
            rows = write_users(rec, read_histories(tables), Path(out), k, **request)
    emit({"out": out, "rows": rows}, f"wrote {rows:,} rows to {out}", as_json)


def map_products(
    bundles: options.Bundles,
    out: Annotated[Path, typer.Option("--out", help="An .html file, which needs no network.")],
    block: Annotated[str | None, typer.Option("--block", help="One block, such as image. [default: all]")] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="pacmap, umap or pca. [default: the first installed]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw a map of all products, an HTML page.

    Similar products are near each other.
    """
    from recommender.pages import write_map

    with opened(bundles) as (rec, _):
        n = write_map(rec, out, block, method)
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
