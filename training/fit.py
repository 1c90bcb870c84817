"""Fits a shop: read, encode, split, train, tune, evaluate, refit, publish."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pandas as pd

from recommender.batch.encoding import encode_on
from recommender.batch.on_ray import Cluster
from recommender.bundle import Staging, local_copy
from recommender.catalog import Catalog, Interactions
from recommender.catalog.influence import bound_influence
from recommender.catalog.losses import Loss, loss_line, refuse_losses
from recommender.catalog.users import Users
from recommender.config import Config
from recommender.core.segment import Segment
from recommender.encoders.cache import cache_location, digest
from recommender.encoders.pipeline import EncodedCatalog, encode_catalog
from recommender.errors import ConfigError, DataError
from recommender.evaluation import EvaluationReport, evaluate
from recommender.evaluation.headline import with_headline
from recommender.evaluation.item_pairs import item_pairs
from recommender.evaluation.ranking_task import MapFunction
from recommender.events import EVENT_WEIGHTS, PLAYED
from recommender.recommender import load
from recommender.stores import open_store
from recommender.towers.user import UserTower
from training.behaviour.train import Start, train_behaviour
from training.behaviour.validation import Validation
from training.checkpoint import checkpoint_folder
from training.cooccurrence.pairs import pairs_of
from training.cooccurrence.tables import CooccurrenceTables
from training.encoders.choose import choose_encoder
from training.item_tower.train import train_item_tower
from training.items import TrainingItems, category_kinds, product_types
from training.model import TrainedModel, assemble_model, assemble_segment
from training.monitor import StageTimer
from training.new_products.factors import NewProducts
from training.new_products.tune import tune_new_products
from training.prior import no_prior
from training.profile.tune import tune_profile
from training.publish import publish
from training.refresh.sources import CountedEvents, log_path
from training.repeat.occasions import type_numbers
from training.repeat.tune import refit_repeat, tune_repeat
from training.split import EventSplit, split_events
from training.tuning.complementary_items import tune_for_complements
from training.tuning.held_out import user_cases
from training.tuning.masked_attributes import Encode, free_encoding, tune_by_masked_attributes
from training.tuning.search import Hyperparameters, TuningData, default_hyperparameters, tune
from training.tuning.similar_items import bought_together, content_weights, partners, substitutes, tune_for_items
from training.update.guard import MAX_REMOVED, check_fit, checked_share
from training.update.live import CatalogTimes, LiveChanges, added_ids, with_overlay
from training.warm_start import WARM_START, WarmStart

Reports: TypeAlias = dict[str, EvaluationReport]
Evaluate: TypeAlias = Callable[[TrainedModel, EventSplit], Reports]


def fit(
    config: Config,
    out: Path | str,
    *,
    catalog: Catalog | None = None,
    interactions: Interactions | None = None,
    users: Users | None = None,
    store_url: str | None = None,
    until: datetime | None = None,
    learn_until: datetime | None = None,
    cache_dir: Path | None = None,
    strict: bool = False,
    max_removed: float = MAX_REMOVED,
    include_history: bool = False,
    as_of: float | None = None,
    warm_start: Path | str | None = None,
    cluster: Cluster | None = None,
) -> str:
    """Train on a shop's files (and its event store) and publish a generation.

    Parameters
    ----------
    config
        Paths of the files and the meaning of their columns.
    out
        The bundle's folder, or its URL.
    catalog, interactions, users
        Products, events and attributes of users that were read already, such as from frames; by default those of
        the config's files.
    store_url
        An event store whose events and attributes of users are added to those of the files, and whose live changes
        of products are where they are newer; products that were put over the API are trained on, too.
    until
        Only events before this moment are used; the evaluation is left to the caller.
    learn_until
        Events from this moment on tune the hyperparameters and train nothing; the evaluation is left to the
        caller. By default the latest fifth is held out for tuning and evaluation, and the final model is refit on
        all events.
    cache_dir
        Folder of encoder vectors, and of checkpoints, from which an interrupted fit resumes.
    strict
        Whether problems in the data are errors.
    max_removed
        The largest share of the current generation's products that may be missing from the catalogue, or
        unavailable in it; more is refused before the training.
    include_history
        Whether to evaluate with products of the history kept in, too, as is done where products are bought again.
    as_of
        Moment of the catalogue's file in POSIX seconds, by default that of its last modification.
    warm_start
        A bundle's folder, or its URL: the training starts from its current generation and learns what is new
        since, with the same towers and hyperparameters. Only its drift is measured, see `WarmStart.drift`.
    cluster
        Encodes, trains the sequence models, counts pairs, compares products and ranks the queries of the
        evaluation, with the results of one process; its machines need the cache folder, and the shop's files if
        anything is to be encoded. None: this process does.

    Returns
    -------
    str
        The generation's name.

    Raises
    ------
    ConfigError, DataError, EncoderError, BundleError
        If a file, a column, the encoder or the output folder cannot be used.
    RequestError
        If there is no cluster, or it is lost; nothing is published then.
    """
    timer, config, seed, out = StageTimer(), config.with_encoder_files(), config.train.seed, local_copy(out)
    if cluster is not None:
        cluster.connect()
    with Staging(out):
        pass  # an output folder that is not writable is better found before the training than after
    checked_share(max_removed)
    start = None if warm_start is None else WarmStart.open(local_copy(warm_start))
    with timer.stage("reading"):
        from_file = catalog is None
        catalog = catalog or Catalog.load(config, strict=strict, as_of=as_of)
        refuse_losses(catalog.report.losses, strict)
        live = LiveChanges.read(store_url)
        check_fit(out, catalog, config.catalog.path.name, max_removed, added_ids(live.entries))
        times = CatalogTimes.of(catalog, complete=True)
        catalog = with_overlay(catalog, live.entries, config if from_file else None)
        interactions = _read_interactions(config, catalog, interactions, users, store_url, strict, until)
    with timer.stage("encoding"):
        chosen = choose_encoder(config, catalog, cache_dir, cluster) if start is None else start.encoder(config)
        config = config.model_copy(update={"encoder": chosen.config})
        if cluster is not None:
            encode_on(cluster, catalog, chosen.encoder, chosen.config, chosen.folder, cache_dir)
        encoded = encode_catalog(catalog, chosen.encoder, cache_dir)
    losses = [*catalog.report.losses, *_lost_photos(catalog, encoded, config)]
    losses += [] if interactions is None else interactions.report.losses
    refuse_losses(losses, strict)
    items = TrainingItems.of(catalog, encoded)
    _require_content_or_events(items, interactions)
    with checkpoint_folder(_checkpoint_path(interactions, learn_until, cache_dir)) as checkpoints:
        reports: Reports = {}
        drift: dict[str, Any] = {}
        if start is not None:
            model, drift[WARM_START] = _continue(start, items, interactions, seed, timer, checkpoints, cluster)
        elif interactions is None:
            model = _train_without_events(items, free_encoding(chosen.encoder, cache_dir), seed, timer)
        else:
            folder = None if cluster is None else cache_location(cache_dir)  # workers open the bundle there
            measure = partial(_evaluate, items, encoded, config, cluster, folder, include_history)
            split = split_events(interactions, learn_until)
            evaluate_on, encode = measure if until is None else None, free_encoding(chosen.encoder, cache_dir)
            model, reports = _train_with_events(
                items, interactions, split, encode, seed, timer, checkpoints, evaluate_on, cluster
            )
        figures: dict[str, Any] = {name: report.to_dict() for name, report in reports.items()}
        metrics = {"evaluation": {}, **figures, **drift, "seconds": timer.seconds, **chosen.metrics}
        if lost := loss_line(losses):
            metrics["lost"] = lost
        stored, files = reports.get("evaluation"), chosen.folder
        revision = live.revision
        generation = publish(
            out,
            model,
            items,
            encoded,
            config,
            metrics,
            stored,
            encoder_files=files,
            overlay_revision=revision,
            counted=None if interactions is None else _counted(interactions, config, store_url),
            run=None if cluster is None else cluster.map,
            encoder=chosen.encoder,
        )
        live.settle(out, times)
        return generation


def evaluate_config(
    config: Config,
    *,
    catalog: Catalog | None = None,
    interactions: Interactions | None = None,
    users: Users | None = None,
    cache_dir: Path | None = None,
    include_history: bool = False,
    cluster: Cluster | None = None,
) -> dict[str, Any]:
    """Fit on the earlier events and return the metrics on the later ones; publish nothing. See `fit`."""
    with TemporaryDirectory() as folder:
        fit(
            config,
            folder,
            catalog=catalog,
            interactions=interactions,
            users=users,
            cache_dir=cache_dir,
            include_history=include_history,
            cluster=cluster,
        )
        return with_headline(load(folder))


def _train_with_events(
    items: TrainingItems,
    interactions: Interactions,
    split: EventSplit,
    encode: Encode | None,
    seed: int,
    timer: StageTimer,
    checkpoints: Path,
    measure: Evaluate | None,
    cluster: Cluster | None,
) -> tuple[TrainedModel, Reports]:
    """Train, tune and evaluate on the split, then refit on all events; return the model and its evaluation."""
    cases = [] if split.tuning is None else user_cases(split.train, split.tuning, seed)
    run, train = _run(cluster), partial(train_behaviour, items, folder=checkpoints, cluster=cluster)
    with timer.stage("item tower"):
        item_tower, metrics = train_item_tower(items, pairs_of(split.train), seed)
    with timer.stage("similarity"):
        content, *found = tune_by_masked_attributes(items, item_tower.tower, encode, seed)
        metrics["masked_attributes"], metrics["label_precision"] = found
    with timer.stage("behaviour"):
        validate = Validation.of(cases).score if cases else None
        behaviour = train(item_tower, split.train, seed, validate=validate)
        metrics |= {} if behaviour is None else {"behaviour": behaviour.metrics}
    with timer.stage("co-occurrence"):
        tower, segment = assemble_segment(items, item_tower, behaviour)
        tables = CooccurrenceTables.of(segment, split.train, texts=items.inputs.words, run=run)
    user_tower = UserTower(dict(split.train.weights), sequence=None if behaviour is None else behaviour.tower)
    hyperparameters = default_hyperparameters(segment, user_tower, content_weights(segment.layout, content))
    new_products = NewProducts()
    if split.tuning is not None:
        with timer.stage("tuning"):
            data = TuningData(segment, tables, split.train, split.tuning)
            hyperparameters = tune(data, hyperparameters, cases, seed)
            new_products = tune_new_products(data, hyperparameters, cases, seed)
            hyperparameters = tune_profile(data, hyperparameters, cases, seed)
        with timer.stage("repeat purchases"):
            repeat = tune_repeat(data, hyperparameters, type_numbers(items.catalog), seed)
            hyperparameters, metrics["repeat"] = repeat.applied(hyperparameters), repeat.metrics
    assemble = partial(assemble_model, run=run)
    model = assemble(tower, segment, tables, hyperparameters, new_products, split.train, seed, metrics)
    if split.tuning is not None:
        with timer.stage("tuning for products"):
            hyperparameters = _tune_for_products(
                items, model.segment, hyperparameters, split.train, split.tuning, seed
            )
            served = hyperparameters.with_user_tower(model.user_tower)
            model = TrainedModel.of(model.tower, model.segment, served, model.metrics, model.statistics)
    if split.test is None:
        return replace(model, behaviour=behaviour), {}
    evaluation: Reports = {}
    if measure is not None:
        with timer.stage("evaluation"):
            evaluation = measure(model, split)
    with timer.stage("refit"):
        start = None if behaviour is None else Start.after(behaviour, split.train)
        behaviour = train(item_tower, interactions, seed, start=start)
        tower, segment = assemble_segment(items, item_tower, behaviour)
        tables = tables.refit(interactions, hyperparameters.mixture, run)
        hyperparameters = hyperparameters.with_sequence(None if behaviour is None else behaviour.tower)
        hyperparameters = refit_repeat(hyperparameters, interactions, type_numbers(items.catalog), seed)
        model = assemble(tower, segment, tables, hyperparameters, new_products, interactions, seed, metrics)
        return replace(model, behaviour=behaviour), evaluation


def _continue(
    start: WarmStart,
    items: TrainingItems,
    interactions: Interactions | None,
    seed: int,
    timer: StageTimer,
    checkpoints: Path,
    cluster: Cluster | None,
) -> tuple[TrainedModel, dict[str, Any]]:
    """Continue a generation's training with the events that are new; return the model and the drift."""
    interactions = start.require_events(interactions)
    hyperparameters, new_products = start.hyperparameters(), start.statistics.new_products
    run = _run(cluster)
    with timer.stage("drift"):
        drift = start.drift(items.catalog, interactions, seed)
    with timer.stage("item tower"):
        item_tower = start.item_tower(items)
    with timer.stage("behaviour"):
        earlier = start.behaviour(items.catalog)
        behaviour = train_behaviour(
            items, item_tower, interactions, seed, start=earlier, folder=checkpoints, cluster=cluster
        )
        assert behaviour is not None
        hyperparameters = hyperparameters.with_sequence(behaviour.tower)
    with timer.stage("co-occurrence"):
        tower, segment = assemble_segment(items, item_tower, behaviour)
        tables = CooccurrenceTables.of(segment, interactions, items.inputs.words, hyperparameters.mixture, run)
        hyperparameters = refit_repeat(hyperparameters, interactions, type_numbers(items.catalog), seed)
        metrics = {"behaviour": behaviour.metrics}
        model = assemble_model(
            tower, segment, tables, hyperparameters, new_products, interactions, seed, metrics, run
        )
    return replace(model, behaviour=behaviour), drift


def _tune_for_products(
    items: TrainingItems,
    segment: Segment,
    hyperparameters: Hyperparameters,
    earlier: Interactions,
    later: Interactions,
    seed: int,
) -> Hyperparameters:
    """Tune the weights for similar items on what users compared, those for complementary products on baskets."""
    initial, kinds = hyperparameters.weights["item"].weights, category_kinds(items.catalog)
    pairs = substitutes(later, earlier.joined(later), segment.layout, product_types(items.catalog))
    similar, categories = tune_for_items(segment, pairs, initial, kinds, seed)
    users = {"user": hyperparameters.weights["user"].weights}
    complementary = tune_for_complements(segment, hyperparameters.user_tower, later, users, seed)
    return hyperparameters.with_item_weights(similar | complementary, categories)


def _train_without_events(
    items: TrainingItems, encode: Encode | None, seed: int, timer: StageTimer
) -> TrainedModel:
    """Train the item tower, and tune the block weights by masked attributes."""
    with timer.stage("item tower"):
        item_tower, metrics = train_item_tower(items, None, seed)
        tower, segment = assemble_segment(items, item_tower, None)
    with timer.stage("similarity"):
        content, *found = tune_by_masked_attributes(items, tower, encode, seed)
        metrics["masked_attributes"], metrics["label_precision"] = found
    hyperparameters = default_hyperparameters(segment, UserTower(EVENT_WEIGHTS)).with_weights(content)
    return TrainedModel.of(tower, segment, hyperparameters, {**metrics, "prior": no_prior(items.catalog)[1]})


def _evaluate(
    items: TrainingItems,
    encoded: EncodedCatalog,
    config: Config,
    cluster: Cluster | None,
    folder: Path | None,
    include_history: bool,
    model: TrainedModel,
    split: EventSplit,
) -> Reports:
    """Evaluate a model as it would be served: published to a temporary folder, opened and queried by scans."""
    assert split.test is not None
    known = split.train.joined(split.test)
    compared = substitutes(split.test, known, model.segment.layout, product_types(items.catalog))
    pairs = {"compared in one session": compared, "bought together": bought_together(split.test)}
    with TemporaryDirectory(dir=folder) as published:
        publish(Path(published), model, items, encoded, config, {}, searchable=False)
        rec = load(published)
        report = evaluate(rec, split.train, split.test, run=_run(cluster))
        found = item_pairs(rec, {kind: partners(rec.segment, of) for kind, of in pairs.items()})
        reports = {"evaluation": replace(report, pairs=found)}
        if include_history or "repeat" in rec.weights["user"]:
            report = evaluate(rec, split.train, split.test, include_history=True, run=_run(cluster))
            reports["evaluation_with_history"] = report
        return reports


def _run(cluster: Cluster | None) -> MapFunction:
    return map if cluster is None else cluster.map


def _require_content_or_events(items: TrainingItems, interactions: Interactions | None) -> None:
    """Refuse a catalogue of bare ids."""
    inputs = items.inputs
    if inputs.image is None and inputs.text is None and not inputs.columns and interactions is None:
        raise DataError(
            "the products have neither image, text nor category, and there are no events: nothing tells "
            "them apart. Map title, description, image_link or product_type in [catalog], or give [events]"
        )


def _lost_photos(catalog: Catalog, encoded: EncodedCatalog, config: Config) -> list[Loss]:
    """Return how many of the photos that the catalogue names could be used; none where no photo was opened."""
    if "broken" not in encoded.counts or not encoded.image.shape[1]:
        return []
    named, used = sum(map(bool, catalog.image_refs())), encoded.counts["images"]
    lost = {f"{state} photo": int(encoded.counts[state]) for state in ("broken", "placeholder")}
    lost["missing photo"] = int(named - used - sum(lost.values()))
    reasons = {kind: count for kind, count in lost.items() if count > 0}
    return [Loss("photos", config.catalog.path.name, named, int(used), reasons)] if named else []


def _read_interactions(
    config: Config,
    catalog: Catalog,
    given: Interactions | None,
    users: Users | None,
    store_url: str | None,
    strict: bool,
    until: datetime | None,
) -> Interactions | None:
    """Return the given events or those of the files, with those of the store; None if there are none.

    The attributes of users come the same ways, those of the store over those of the files.
    """
    sources = [] if given is None else [given]
    if given is None and config.events is not None:
        sources.append(Interactions.load(config, catalog, strict=strict))
    if users is None and given is not None:
        users = given.users
    if users is None and config.users is not None:
        users = Users.load(config, strict=strict)
    for source in sources:
        refuse_losses(source.report.losses, strict)
    stored = None
    if store_url is not None:
        weights = config.events.weights if config.events is not None else None
        with open_store(store_url) as store:
            shoppers = (event for event in store.events.scan() if not event.user_id.startswith(PLAYED))
            sources.append(Interactions.from_events(shoppers, catalog, weights))
            stored = Users.from_attributes(store.users.scan(), "store")
    if not sources:
        if users is not None:
            raise ConfigError(
                "[users] without events: attributes are learned with what users choose. Give [events]"
            )
        return None
    interactions = sources[0] if len(sources) == 1 else sources[0].joined(sources[1])
    interactions = interactions if until is None else interactions.before(until)
    return _with_users(bound_influence(interactions), users, stored) if len(interactions) else None


def _counted(interactions: Interactions, config: Config, store_url: str | None) -> dict[str, Any]:
    """Return which events the generation has counted, and from where, for `recommender refresh`."""
    return asdict(CountedEvents.of(interactions, log_path(config), store_url is not None))


def _with_users(interactions: Interactions, users: Users | None, stored: Users | None) -> Interactions:
    """Return the events with the attributes of users, of whom at least one must be known if any are given."""
    if users is not None:
        return interactions.with_users(users if stored is None else users.joined(stored))
    if stored is not None and stored.frame.index.isin(interactions.frame["user_id"]).any():
        return interactions.with_users(stored)
    return interactions


def _checkpoint_path(
    interactions: Interactions | None, learn_until: datetime | None, cache_dir: Path | None
) -> Path:
    """Return the folder of checkpoints of trainings on these events and this split."""
    key = "none"
    if interactions is not None:
        lines = pd.util.hash_pandas_object(interactions.frame, index=False).to_numpy()
        key = repr((digest(lines.tobytes()), sorted(interactions.weights.items()), learn_until))
    return cache_location(cache_dir) / "checkpoints" / digest(key).decode()
