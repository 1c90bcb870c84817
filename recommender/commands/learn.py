"""From a shop's files to a published generation, and its metrics."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import cluster_of, config_of, emit, weights_of


def init(
    products: Annotated[Path, typer.Argument(help="File of products.", show_default=False)],
    events: Annotated[Path | None, typer.Argument(help="File of events.")] = None,
    photos: Annotated[Path | None, typer.Argument(help="Folder or zip of photos.")] = None,
    users: Annotated[Path | None, typer.Option("--users", help="File of users' attributes.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The TOML to write.")] = Path("shop.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite it.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a first shop.toml from a shop's files.

    Columns are guessed by heading and content; every guess has a comment.
    """
    from recommender.catalog.guess import guess_config

    if out.exists() and not force:
        raise typer.BadParameter(f"{out} is there already; give --force to overwrite it, or another --out")
    if photos is None and events is not None and (events.is_dir() or events.suffix.lower() == ".zip"):
        events, photos = None, events
    text = guess_config(products, events, photos, out.parent, users).to_toml()
    out.write_text(text, encoding="utf-8")
    document = {"out": str(out), "config": text}
    emit(document, f"{text}\nwrote {out}; next: recommender validate --config {out}", as_json)


def validate(
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    events: options.Events = None,
    strict: options.Strict = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as a page, too.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Check the shop's files and report every problem.

    Shows what was understood of each column, too. Fails where a fit would: where most products or all events are
    lost.
    """
    from recommender.catalog.losses import refuse_losses
    from recommender.catalog.validation import read_files
    from recommender.commands.output import show_data

    shop = config_of(config, data, catalog, images, events)
    report = read_files(shop)
    if html is not None:
        from recommender.pages import write_data_page

        write_data_page(report, html)
    emit(report.to_dict(), show_data(report), as_json)
    report.raise_if_strict(strict)
    refuse_losses(report.losses, strict)


def encode(
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    engine: options.Engine = "local",
    address: options.Address = None,
    gpus: options.Gpus = 0,
    as_json: options.AsJson = False,
) -> None:
    """Encode texts and images into the cache.

    `fit` then reads their vectors from there. An interrupted run is resumed.
    """
    cluster = cluster_of(engine, address, gpus)
    shop = config_of(config, data, catalog, images, None)
    from training.encoders.choose import encode

    counts = encode(shop, cluster=cluster)
    text = "encoded {encoded:,} texts and images, {cached:,} were in the cache already, in {seconds:,} s"
    emit(counts, text.format(**counts), as_json)


def fit(
    out: options.Out,
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    events: options.Events = None,
    store: options.EventStore = None,
    strict: options.Strict = False,
    max_removed: options.MaxRemoved = 0.2,
    as_of: options.AsOf = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Folder of bundles: start from its generation, learn what is new."),
    ] = None,
    engine: options.Engine = "local",
    address: options.Address = None,
    gpus: options.Gpus = 0,
    as_json: options.AsJson = False,
) -> None:
    """Train on a shop's files and publish a generation.

    With --store, on the events of the store and on products changed or put over HTTP as well. A catalogue that
    lacks more than a share of the products that are published in --out is refused.

    With --from, a warm start in a fraction of the time, for every night: it says when a full fit is due.

    With --engine ray, a cluster encodes, trains, counts, compares and evaluates,
    with the results of one process.
    """
    cluster = cluster_of(engine, address, gpus)
    shop = config_of(config, data, catalog, images, events)
    import recommender
    from recommender.commands.summary import FitSummary
    from recommender.items.moments import past_seconds
    from training.fit import fit

    started = perf_counter()
    moment = past_seconds(as_of, "as_of")
    generation = fit(
        shop,
        out,
        store_url=store,
        strict=strict,
        max_removed=max_removed,
        as_of=moment,
        warm_start=start,
        cluster=cluster,
    )
    seconds = perf_counter() - started
    summary = FitSummary.of(recommender.load(out, generation=generation), out, seconds)
    emit(summary.to_dict(), str(summary), as_json)


def update(
    bundles: options.Bundles,
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", help="File of changed and new products."),
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="The file has all products; remove the others.")
    ] = False,
    max_removed: options.MaxRemoved = 0.2,
    config: options.ConfigFile = None,
    data: options.Data = None,
    images: Annotated[Path | None, typer.Option("--images", help="Folder or zip of product images.")] = None,
    as_of: options.AsOf = None,
    store: options.ServiceStore = None,
    watch: options.Watch = None,
    as_json: options.AsJson = False,
) -> None:
    """Publish changed, new and removed products in seconds.

    Those of a file, and those that a service queued in the store; of both the newer. A file that would remove, or
    make unavailable, more than a share of the products is refused: it may be truncated.
    """
    from recommender.items.moments import past_seconds
    from recommender.stores import open_store, store_beside

    store = store_beside(bundles) if store is None else store
    if catalog is None and store is None:
        raise typer.BadParameter("give --catalog, --store or both")
    moment = past_seconds(as_of, "as_of")
    from training.update.updater import Updater, config_of

    with open_store(store) if store is not None else nullcontext() as live:
        shop = config_of(bundles, config, data, images)
        updater = Updater(bundles, shop, catalog, complete, live, max_removed=max_removed, as_of=moment)
        for result in updater.watch(watch) if watch is not None else [updater.update()]:
            emit(asdict(result), str(result), as_json)


def refresh(
    bundles: options.Bundles,
    events: Annotated[Path | None, typer.Option("--events", help="File of new events.")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="The shop's TOML, if the events of the fit have moved."),
    ] = None,
    data: options.Data = None,
    store: options.ServiceStore = None,
    watch: options.Watch = None,
    as_json: options.AsJson = False,
) -> None:
    """Count new events in seconds, without training.

    Co-occurrence, complementary products and popularity are counted from the
    events of the fit, which are read again, those of a file and those of the
    store; an event that two of them have counts once.
    """
    from recommender.stores import open_store, store_beside
    from training.refresh.refresher import Refresher
    from training.refresh.sources import EventSources
    from training.update.updater import config_of

    store = store_beside(bundles) if store is None else store
    shop = config_of(bundles, config, data, None)
    log = None if config is None or shop.events is None else shop.resolve(shop.events.path)
    with open_store(store) if store is not None else nullcontext() as live:
        sources = EventSources(shop, log, events, None if live is None else live.events)
        refresher = Refresher(bundles, sources)
        for result in refresher.watch(watch) if watch is not None else [refresher.refresh()]:
            emit(asdict(result), str(result), as_json)


def evaluate(
    bundles: Annotated[
        Path | None,
        typer.Argument(help="Show the metrics published with it.", parser=options.folder),
    ] = None,
    config: options.ConfigFile = None,
    data: options.Data = None,
    catalog: options.CatalogFile = None,
    images: options.Images = None,
    events: options.Events = None,
    include_history: Annotated[
        bool, typer.Option("--include-history", help="Measure with products of the history kept in, too.")
    ] = False,
    engine: options.Engine = "local",
    address: options.Address = None,
    gpus: options.Gpus = 0,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Every metric, of the training and index too.")
    ] = False,
    off_policy: Annotated[
        Path | None, typer.Option("--off-policy", metavar="LOG", help="Estimate from a log with propensities.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="With --off-policy: file of item_id, probability.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="With --off-policy: another strategy.")
    ] = None,
    weights: options.Weights = None,
    store: Annotated[
        str | None, typer.Option("--store", help="With --off-policy: the store of users' events.")
    ] = None,
    reward: Annotated[str, typer.Option("--reward", help="With --off-policy: column of the log.")] = "click",
    as_json: options.AsJson = False,
) -> None:
    """Show the metrics of a bundle, or measure a shop's files.

    Three answers first: better than best sellers, new products, data to fix.

    With --config or --catalog, trains on the earlier part of the events and measures on the later. With
    --off-policy, estimates what BUNDLES, with other weights or another strategy, would have earned in the place of
    logged answers.
    """
    if off_policy is not None:
        from recommender.commands.off_policy import estimate_from_log

        given = {"strategy": strategy, "weights": weights_of(weights)}
        changes = {name: value for name, value in given.items() if value is not None}
        estimate_from_log(off_policy, bundles, policy, store, changes, reward, as_json)
        return
    if (bundles is None) == (config is None and catalog is None):
        raise typer.BadParameter(
            "give BUNDLES to show its metrics, or --config (or --catalog) to train and measure"
        )
    cluster = cluster_of(engine, address, gpus)
    if bundles is not None:
        if cluster is not None:
            raise typer.BadParameter("--engine ray trains and measures: give --config (or --catalog), not BUNDLES")
        import recommender
        from recommender.evaluation.headline import with_headline

        metrics = with_headline(recommender.load(bundles))
        if include_history and "evaluation_with_history" not in metrics:
            raise typer.BadParameter(
                "the bundle was not measured with the history kept in; give --config (or --catalog) to do so"
            )
    else:
        shop = config_of(config, data, catalog, images, events)
        from training.fit import evaluate_config

        metrics = evaluate_config(shop, include_history=include_history, cluster=cluster)
    from recommender.commands.output import show_evaluation

    emit(metrics, show_evaluation(metrics, verbose), as_json)
