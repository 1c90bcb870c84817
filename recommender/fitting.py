"""Fit, update, refresh and evaluate from Python: pandas frames, paths or a `Config`.

Beside the command line, this is the only module of the library that imports `training`; it does so when called.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from recommender.errors import ConfigError, RequestError, full_installation
from recommender.progress import notice

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from recommender.catalog import Catalog, Interactions, Users
    from recommender.config import Config
    from recommender.recommender import Recommender
    from training.refresh.refresher import RefreshResult
    from training.update.updater import UpdateResult

    Products: TypeAlias = pd.DataFrame | Path | str | Config
    Events: TypeAlias = pd.DataFrame | Path | str | None

# What a bundle's config has in the place of a path where the data came from a frame.
PRODUCTS_FRAME, EVENTS_FRAME, USERS_FRAME = "products frame", "events frame", "users frame"


def fit(
    products: "Products",
    events: "Events" = None,
    *,
    out: Path | str,
    users: "Events" = None,
    images: Path | str | None = None,
    encoder: str | Mapping[str, Any] = "auto",
    columns: Mapping[str, Any] | None = None,
    event_columns: Mapping[str, Any] | None = None,
    user_columns: Mapping[str, Any] | None = None,
    store: str | None = None,
    strict: bool = False,
    max_removed: float = 0.2,
    as_of: "datetime | str | None" = None,
    cache: Path | str | None = None,
    warm_start: Path | str | None = None,
) -> "Recommender":
    """Train on products and events, publish a generation and open it.

    Parameters
    ----------
    products
        A frame with a column ``id`` and, as known, title, description, price, product_type and so on; a file (CSV,
        Parquet, JSON Lines …); a TOML file or a `Config`, which name everything else, too.
    events
        A frame or a file with user_id, item_id, event_name and timestamp; None trains on the products alone.
    out
        The folder to publish into, or its URL, such as ``s3://shop/bundles``.
    users
        A frame or a file of users' attributes: user_id, and such as age and segment, learned with the events.
    images
        Folder or zip of product images.
    encoder
        Name of the encoder, such as "auto", "tfidf" or "open_clip", or its table as in a TOML:
        ``{"name": "transformers", "model": "intfloat/multilingual-e5-small"}``.
    columns, event_columns, user_columns
        Names of columns and other entries as in a TOML's ``[catalog]``, ``[events]`` and ``[users]``:
        ``{"id": "sku"}``.
    store
        URL of an event store whose events and attributes of users are added, and whose live changes of products
        where they are newer than the products; those that were put over the API are learned, too.
    strict
        Whether a problem that leaves rows out is an error.
    max_removed
        The largest share of the products of the current generation in `out` that may be missing from `products`,
        or out of stock there; more is an error, before the training. See `update`.
    as_of
        The moment of the products, by default that of the file, or now for a frame: live changes that are older do
        not count any more.
    cache
        Folder of encoder vectors and checkpoints; by default ``~/.cache/recommender``.
    warm_start
        A folder of bundles, such as `out`: the training starts from its current generation, with its towers and
        hyperparameters, and learns what is new, in a fraction of the time. ``manifest.metrics["warm_start"]`` says
        how well that generation predicted the new events, and whether a full fit is due.

    Returns
    -------
    Recommender
        The published generation, opened.

    Raises
    ------
    ConfigError, DataError, EncoderError, BundleError
        If the data, a column, the encoder or the folder cannot be used: what was found, what was expected, what to
        do.

    Examples
    --------
    >>> products, events = pd.read_csv("products.csv"), pd.read_csv("events.csv")  # doctest: +SKIP
    >>> rec = recommender.fit(products, events, out="bundles")  # doctest: +SKIP
    >>> rec.similar("SKU-1").to_frame()  # doctest: +SKIP
    """
    with full_installation("recommender.fit"):
        from training.fit import fit as train
    from recommender.items.moments import past_seconds
    from recommender.recommender import load

    seconds = past_seconds(as_of, "as_of")
    config = _config_of(products, events, users, images, encoder, columns, event_columns, user_columns)
    catalog, interactions, attributes = _frames_of(config, products, events, users, images, strict, seconds)
    generation = train(
        config,
        out,
        catalog=catalog,
        interactions=interactions,
        users=attributes,
        store_url=store,
        strict=strict,
        max_removed=max_removed,
        cache_dir=None if cache is None else Path(cache),
        as_of=seconds,
        warm_start=warm_start,
    )
    rec = load(out, generation=generation)
    if lost := rec.manifest.metrics.get("lost"):
        notice(lost)
    return rec


def update(
    bundles: Path | str,
    products: "pd.DataFrame | Path | str | None" = None,
    *,
    complete: bool = False,
    max_removed: float = 0.2,
    images: Path | str | None = None,
    store: str | None = None,
    as_of: "datetime | str | None" = None,
    cache: Path | str | None = None,
) -> "UpdateResult":
    """Publish changed, new and removed products in seconds, without training.

    Parameters
    ----------
    bundles
        The folder of generations, or its URL.
    products
        A frame or a file of changed and new products, with the columns that the bundle was fitted on.
    complete
        Whether `products` are all products, so that all others are removed.
    max_removed
        The largest share of the current products that `products` may remove, or make unavailable; more is an
        error, since the file may be truncated. A small shop may always lose up to three products, as long as
        half of it stays; with 0, none.
    images
        Folder or zip of product images; by default that of the fit.
    store
        URL of an event store whose queue of changed products is published, too, and whose live changes that are
        older than `products` are absorbed.
    as_of
        See `fit`.
    cache
        See `fit`.

    Returns
    -------
    UpdateResult
        The new generation, and how many products were embedded and removed.

    Raises
    ------
    RequestError
        If neither `products` nor `store` is given.
    DataError, BundleError, EncoderError
        As `fit`.
    """
    if products is None and store is None:
        raise RequestError("nothing to update from; give products, store or both", "/products")
    with full_installation("recommender.update"):
        from training.update.updater import Updater, config_of
    from recommender.bundle import local_copy
    from recommender.items.moments import past_seconds
    from recommender.stores import open_store

    seconds = past_seconds(as_of, "as_of")
    changed = Path(products) if isinstance(products, str) else products
    root = local_copy(bundles)
    config = config_of(root, None, None, None if images is None else Path(images))
    folder = None if cache is None else Path(cache)
    with open_store(store) if store is not None else nullcontext() as live:
        updater = Updater(root, config, changed, complete, live, folder, max_removed=max_removed, as_of=seconds)
        return updater.update()


def refresh(
    bundles: Path | str,
    events: "pd.DataFrame | Path | str | None" = None,
    *,
    log: "pd.DataFrame | Path | str | None" = None,
    store: str | None = None,
) -> "RefreshResult":
    """Count new events in seconds, without training.

    Co-occurrence, complementary products and popularity are counted as `fit` counts them: from its own events,
    which are read again, from those of earlier refreshes, and from new ones. An event that several of these have
    counts once. Towers, weights and behaviour stay as they were fitted.

    Parameters
    ----------
    bundles
        The folder of generations, or its URL.
    events
        A frame or a file of new events, with the columns of those that the bundle was fitted on. A file is read
        again by later refreshes and has to stay; a frame has to have all events since the fit.
    log
        The events of the fit, where they were a frame or their file has moved.
    store
        URL of an event store whose events are counted, too; needed where they were counted before.

    Returns
    -------
    RefreshResult
        The new generation, None if no event is new; how many events are counted, and how many of `events` and the
        store are of unknown products.

    Raises
    ------
    DataError
        If events cannot be read, or some that were counted are missing.
    BundleError
        If the bundle was fitted without events or before refreshes, or another generation was published meanwhile.

    Examples
    --------
    >>> recommender.refresh("bundles", "events-today.csv")  # doctest: +SKIP
    """
    with full_installation("recommender.refresh"):
        from training.refresh.refresher import Refresher
        from training.refresh.sources import EventSources
        from training.update.updater import config_of
    from recommender.bundle import local_copy
    from recommender.stores import open_store

    root = local_copy(bundles)
    new, fitted = (Path(source) if isinstance(source, str) else source for source in (events, log))
    with open_store(store) if store is not None else nullcontext() as live:
        sources = EventSources(config_of(root, None, None, None), fitted, new, live and live.events)
        return Refresher(root, sources).refresh()


def evaluate(
    products: "Products",
    events: "Events" = None,
    *,
    users: "Events" = None,
    images: Path | str | None = None,
    encoder: str | Mapping[str, Any] = "auto",
    columns: Mapping[str, Any] | None = None,
    event_columns: Mapping[str, Any] | None = None,
    user_columns: Mapping[str, Any] | None = None,
    strict: bool = False,
    cache: Path | str | None = None,
    include_history: bool = False,
) -> dict[str, Any]:
    """Train on the earlier events and measure on the later ones; publish nothing.

    Parameters
    ----------
    products, events, users, images, encoder, columns, event_columns, user_columns, strict, cache
        As in `fit`.
    include_history
        Whether to measure with products of the history kept in, too: ``["evaluation_with_history"]``.

    Returns
    -------
    dict
        The metrics of a bundle's manifest; `recommender.evaluation.frames` makes tables of ``["evaluation"]``.

    Raises
    ------
    ConfigError, DataError, EncoderError
        As `fit`.
    """
    with full_installation("recommender.evaluate"):
        from training.fit import evaluate_config

    config = _config_of(products, events, users, images, encoder, columns, event_columns, user_columns)
    catalog, interactions, attributes = _frames_of(config, products, events, users, images, strict)
    folder = None if cache is None else Path(cache)
    return evaluate_config(
        config,
        catalog=catalog,
        interactions=interactions,
        users=attributes,
        cache_dir=folder,
        include_history=include_history,
    )


def _config_of(
    products: "Products",
    events: "Events",
    users: "Events",
    images: Path | str | None,
    encoder: str | Mapping[str, Any],
    columns: Mapping[str, Any] | None,
    event_columns: Mapping[str, Any] | None,
    user_columns: Mapping[str, Any] | None,
) -> "Config":
    from recommender.config import Config

    is_toml = isinstance(products, str | Path) and Path(products).suffix == ".toml"
    if isinstance(products, Config) or is_toml:
        others: dict[str, Any] = {
            "events": events,
            "users": users,
            "images": images,
            "columns": columns,
            "event_columns": event_columns,
            "user_columns": user_columns,
        }
        others["encoder"] = None if encoder == "auto" else encoder
        if given := [name for name, value in others.items() if value is not None]:
            raise ConfigError(f"{given[0]} is given beside a config, which has entries for it")
        return products if isinstance(products, Config) else Config.load(products)  # type: ignore[arg-type]
    path = products if isinstance(products, str | Path) else PRODUCTS_FRAME
    tables: dict[str, Any] = {"catalog": {"path": path, "images": images, **(columns or {})}}
    tables["encoder"] = {"name": encoder} if isinstance(encoder, str) else dict(encoder)
    if events is not None:
        path = events if isinstance(events, str | Path) else EVENTS_FRAME
        tables["events"] = {"path": path, **(event_columns or {})}
    if users is not None:
        path = users if isinstance(users, str | Path) else USERS_FRAME
        tables["users"] = {"path": path, **(user_columns or {})}
    return Config.from_mapping(tables)


def _frames_of(
    config: "Config",
    products: "Products",
    events: "Events",
    users: "Events",
    images: Path | str | None,
    strict: bool,
    as_of: float | None = None,
) -> "tuple[Catalog | None, Interactions | None, Users | None]":
    """Return the catalogue, the events and the users where they are frames; None where `fit` is to read files."""
    from recommender.catalog import Catalog, Interactions, Users
    from recommender.config import Config

    catalog = interactions = attributes = None
    if not isinstance(products, str | Path | Config):
        mapping = config.catalog.model_dump(exclude={"path", "images"}, exclude_defaults=True)
        catalog = Catalog.from_frame(products, images, strict=strict, as_of=as_of, **mapping)
    if config.events is not None and events is not None and not isinstance(events, str | Path):
        catalog = catalog or Catalog.load(config, strict=strict, as_of=as_of)
        mapping = config.events.model_dump(exclude={"path", "weights"}, exclude_defaults=True)
        interactions = Interactions.from_frame(events, catalog, config.events.weights, strict=strict, **mapping)
    if config.users is not None and users is not None and not isinstance(users, str | Path):
        mapping = config.users.model_dump(exclude={"path"}, exclude_defaults=True)
        attributes = Users.from_frame(users, strict=strict, **mapping)
    return catalog, interactions, attributes
