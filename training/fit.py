"""From a shop's files to a published generation."""

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from recommender import load
from recommender.bundle import Staging
from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.encoders.cache import cache_location, digest
from recommender.encoders.pipeline import EncodedCatalog, encode_catalog
from recommender.errors import DataError
from recommender.evaluation import evaluate
from recommender.evaluation.ranking_task import MapFunction
from recommender.events import PLAYED
from recommender.stores import open_store
from training.behaviour.checkpoint import unfinished
from training.clock import Clock
from training.encoders.choose import choose_encoder
from training.learning import Draft, learn_from_events, learn_without_events
from training.model import Products
from training.publish import publish
from training.tuning.masked_attributes import reader


def fit(
    config: Config,
    out: Path | str,
    *,
    store_url: str | None = None,
    until: datetime | None = None,
    learn_until: datetime | None = None,
    cache_dir: Path | None = None,
    strict: bool = False,
    run: MapFunction = map,
) -> str:
    """Train on a shop's files (and its event store) and publish a generation.

    Parameters
    ----------
    config
        Where the files are and what their columns mean.
    out
        The bundle's folder.
    store_url
        An event store whose events join those of the files.
    until
        Only events before this moment are known; figures are then the caller's to measure.
    learn_until
        Events from this moment on choose the settings and teach nothing else; figures are then the caller's to
        measure. Without it the last fifth chooses, and then everything is learned from.
    cache_dir
        Where encoder vectors are kept between fits, and checkpoints, so that a fit that was killed goes on.
    strict
        Whether problems in the data are errors.
    run
        Asks the customers of the evaluation, see `recommender.evaluation.evaluate`; what runs elsewhere finds the
        bundle that is measured in the cache folder.

    Returns
    -------
    str
        The generation's name.
    """
    clock, config = Clock(), config.with_encoder_files()
    with Staging(out):
        pass  # a folder that cannot be written to is better found before the training than after
    with clock.stage("reading"):
        catalog = Catalog.load(config, strict=strict)
        interactions = _interactions(config, catalog, store_url, strict, until)
    with clock.stage("encoding"):
        chosen = choose_encoder(config, catalog, cache_dir)
        encoded = encode_catalog(catalog, chosen.encoder, cache_dir)
    products = Products.of(catalog, encoded)
    _check_something_to_learn(products, interactions)
    with unfinished(_checkpoints(interactions, learn_until, cache_dir)) as folder:
        if interactions is None:
            read = reader(chosen.encoder, cache_dir)
            draft, final = None, learn_without_events(products, read, config.train.seed, clock)
        else:
            draft, final = learn_from_events(products, interactions, learn_until, config.train.seed, clock, folder)
        figures = {}
        if draft is not None and until is None:
            shared = None if run is map else cache_location(cache_dir)
            figures = _figures(draft, products, encoded, config, clock, run, shared)
        metrics = {"evaluation": figures, "seconds": clock.seconds, **chosen.figures}
        return publish(Path(out), final, products, encoded, config, metrics, encoder_files=chosen.folder)


def evaluate_config(config: Config, *, cache_dir: Path | None = None, run: MapFunction = map) -> dict[str, Any]:
    """Fit on the earlier part of the events and return the figures on the later; publishes nothing."""
    with TemporaryDirectory() as folder:
        fit(config, folder, cache_dir=cache_dir, run=run)
        return load(folder).manifest.metrics


def _check_something_to_learn(products: Products, interactions: Interactions | None) -> None:
    """Refuse a catalogue of bare ids."""
    inputs = products.inputs
    if inputs.image is None and inputs.text is None and not inputs.columns and interactions is None:
        raise DataError(
            "the products have neither photo, text nor category, and there are no events: nothing tells "
            "them apart. Map title, description, image_link or product_type in [catalog], or give [events]"
        )


def _interactions(
    config: Config, catalog: Catalog, store_url: str | None, strict: bool, until: datetime | None
) -> Interactions | None:
    """Read the events of the files and of the store; None if there are none."""
    parts = []
    if config.events is not None:
        parts.append(Interactions.load(config, catalog, strict=strict))
    if store_url is not None:
        weights = config.events.weights if config.events is not None else None
        with open_store(store_url) as store:
            shoppers = (event for event in store.events.scan() if not event.user_id.startswith(PLAYED))
            parts.append(Interactions.from_events(shoppers, catalog, weights))
    if not parts:
        return None
    found = parts[0] if len(parts) == 1 else parts[0].joined(parts[1])
    found = found if until is None else found.before(until)
    return found if len(found) else None


def _checkpoints(interactions: Interactions | None, learn_until: datetime | None, cache_dir: Path | None) -> Path:
    """Return the folder of checkpoints of trainings that learn from, and are validated by, these events."""
    told = "none"
    if interactions is not None:
        lines = pd.util.hash_pandas_object(interactions.frame, index=False).to_numpy()
        told = repr((digest(lines.tobytes()), sorted(interactions.weights.items()), learn_until))
    return cache_location(cache_dir) / "behaviour" / digest(told).decode()


def _figures(
    draft: Draft,
    products: Products,
    encoded: EncodedCatalog,
    config: Config,
    clock: Clock,
    run: MapFunction,
    folder: Path | None,
) -> dict[str, Any]:
    """Measure the draft through the product itself: published to a temporary folder and asked."""
    with clock.stage("evaluation"), TemporaryDirectory(dir=folder) as published:
        publish(Path(published), draft.model, products, encoded, config, {}, pictures=False)
        report = evaluate(load(published), draft.earlier, draft.later, run=run)
        return report.to_dict()
