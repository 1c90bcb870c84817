"""From a shop's files to a published generation, and its figures."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import config_of, emit, is_ray


def validate(
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    events: options.Events = None,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
) -> None:
    """Read everything, report every problem, train nothing."""
    from recommender.catalog import validate

    report = validate(config_of(config, data, catalog, images, events), strict=strict)
    emit(report.to_dict(), "\n".join(report.lines()), as_json)


def encode(
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    engine: options.Engine = "local",
    address: options.Address = None,
    gpus: Annotated[
        float, typer.Option("--gpus", min=0, help="Of a Ray worker: such as 1, or 0.25 where four share one.")
    ] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Read the photos and texts into the cache, so that fit finds their vectors there; what stopped goes on."""
    cluster = is_ray(engine, address, gpus)
    asked = config_of(config, data, catalog, images, None)
    from recommender.batch.encoding import Cluster
    from training.encoders.choose import encode

    counts = encode(asked, cluster=Cluster(address, gpus) if cluster else None)
    told = "encoded {encoded:,} photos and texts, {cached:,} were there already, in {seconds:,} s"
    emit(counts, told.format(**counts), as_json)


def fit(
    out: Annotated[Path, typer.Option("--out", help="Folder to publish into.")],
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    events: options.Events = None,
    store: options.Store = None,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
) -> None:
    """Learn from a shop's files (and its event store) and publish a generation."""
    asked = config_of(config, data, catalog, images, events)
    from training.fit import fit

    generation = fit(asked, out, store_url=store, strict=strict)
    emit({"generation": generation, "bundles": str(out)}, f"published {generation} in {out}", as_json)


def update(
    bundles: options.Bundles,
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", help="Products that were changed or added."),
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="The file has all products: those it lacks are removed.")
    ] = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
    images: Annotated[Path | None, typer.Option("--images", help="Folder or zip of photos.")] = None,
    store: options.Store = None,
    watch: Annotated[float | None, typer.Option("--watch", help="Look again every so many seconds.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Take up changed, new and removed products in seconds: those of a file, and those that a service queued."""
    if catalog is None and store is None:
        raise typer.BadParameter("give --catalog, --store or both")
    from recommender.stores import open_store
    from training.update.updater import Updater, config_of

    with open_store(store) if store is not None else nullcontext() as live:
        updater = Updater(bundles, config_of(bundles, config, data, images), catalog, complete, live)
        for done in updater.watch(watch) if watch is not None else [updater.update()]:
            emit(asdict(done), str(done), as_json)


def evaluate(
    bundles: Annotated[Path | None, typer.Argument(help="Show the figures published with it.")] = None,
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    events: options.Events = None,
    engine: options.Engine = "local",
    address: options.Address = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the figures of a bundle; or refit on the earlier part of the events and measure on the later."""
    if (bundles is None) == (config is None and catalog is None):
        raise typer.BadParameter("give BUNDLES, or --config (or --catalog) to refit and measure")
    cluster = is_ray(engine, address)
    if bundles is not None:
        if cluster:
            raise typer.BadParameter("--engine ray measures anew: give --config (or --catalog), not BUNDLES")
        from recommender.bundle import open_bundle

        figures = open_bundle(bundles).manifest.metrics
    else:
        asked = config_of(config, data, catalog, images, events)
        from recommender.batch.on_ray import map_on_ray
        from training.fit import evaluate_config

        figures = evaluate_config(asked, run=map_on_ray(address)) if cluster else evaluate_config(asked)
    from recommender.commands.output import show_figures

    emit(figures, show_figures(figures), as_json)
