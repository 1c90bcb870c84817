"""Files made from a bundle: answers for everybody, the map, the report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from recommender.commands import options
from recommender.commands.shared import emit, events_of, opened, weights_of

if TYPE_CHECKING:
    from recommender.recommender import Options


def batch(
    bundles: options.Bundles,
    kind: Annotated[Literal["similar", "user"], typer.Option("--kind", help="For each product, or each user.")],
    out: Annotated[Path, typer.Option("--out", help="A .parquet, .csv or .jsonl file.")],
    events: options.Events = None,
    store: options.Store = None,
    k: options.Count = 20,
    filter: options.Filter = None,
    weights: options.Weights = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the answers for every product or every user to a file."""
    from recommender.batch import by_user, write_similar, write_users

    with opened(bundles, store) as (rec, live):
        settings: Options = {"filter": filter, "weights": weights_of(weights)}
        if kind == "similar":
            rows = write_similar(rec, out, k, **settings)
        else:
            rows = write_users(rec, by_user(events_of(rec, events, live)), out, k, **settings)
    emit({"out": str(out), "rows": rows}, f"wrote {rows:,} rows to {out}", as_json)


def map_products(
    bundles: options.Bundles,
    out: Annotated[Path, typer.Option("--out", help="An .html file; it needs no network.")],
    block: Annotated[
        str | None, typer.Option("--block", help="One block alone, such as image. [default: all]")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="pacmap, umap or pca. [default: the first installed]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw all products in the plane, what is alike near each other, as a page."""
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
    out: Annotated[Path, typer.Option("--out", help="An .html file; it needs no network.")],
    events: options.Events = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a bundle in figures and pictures, as a page: data, training, evaluation, examples."""
    from recommender.batch import by_user
    from recommender.pages import write_report

    with opened(bundles, store) as (rec, live):
        known = events is not None or live is not None
        histories = by_user(events_of(rec, events, live)) if known else None
        write_report(rec, out, histories)
    emit({"out": str(out), "bytes": out.stat().st_size}, f"wrote {out}", as_json)
