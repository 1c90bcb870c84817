"""From a shop's files to a published generation."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from recommender import load
from recommender.bundle import Staging
from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.encoders.cache import cache_location, digest
from recommender.encoders.pipeline import EncodedCatalog, encode_catalog
from recommender.errors import DataError
from recommender.evaluation import evaluate
from recommender.evaluation.exam import Map
from recommender.events import EVENT_WEIGHTS, PLAYED
from recommender.progress import notice
from recommender.segment import Segment
from recommender.stores import open_store
from recommender.towers.item import ItemTower
from recommender.towers.user import UserTower
from training.behaviour import Behaviour
from training.checkpoint import unfinished
from training.choices import Case, user_cases
from training.complements import complements
from training.cooccurrence import Table, count_pairs, counts_of, liken, mix
from training.encoding import choose_encoder
from training.held_out import Reader, by_attributes, reader
from training.model import Described, Model, Products, category_kinds, describe, learn_behaviour, place_products
from training.pairs import pairs_of
from training.prior import no_prior
from training.publish import publish
from training.settings import Early, Settings, find, untrained
from training.weights import Learned, soft_recall

# The last part of the events in time: weights and figures come from it.
LATER_SHARE = 0.2
# Fewer events than this cannot decide anything.
LEAST_EVENTS = 200
AT_ONCE = 64  # queries scored together


@dataclass
class Clock:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is inside, and say that it begins."""
        notice(name)
        started = perf_counter()
        yield
        self.seconds[name] = round(perf_counter() - started, 2)


def fit(
    config: Config,
    out: Path | str,
    *,
    store_url: str | None = None,
    until: datetime | None = None,
    learn_until: datetime | None = None,
    cache_dir: Path | None = None,
    strict: bool = False,
    run: Map = map,
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
    with unfinished(_checkpoints(interactions, cache_dir)) as folder:
        if interactions is None:
            draft, final = (
                None,
                _without_events(products, reader(chosen.encoder, cache_dir), config.train.seed, clock),
            )
        else:
            draft, final = _train(products, interactions, learn_until, config.train.seed, clock, folder)
        figures = {}
        if draft is not None and until is None:
            shared = None if run is map else cache_location(cache_dir)
            figures = _figures(draft, products, encoded, config, clock, run, shared)
        metrics = {"evaluation": figures, "seconds": clock.seconds, **chosen.figures}
        return publish(Path(out), final, products, encoded, config, metrics, encoder_files=chosen.folder)


def evaluate_config(config: Config, *, cache_dir: Path | None = None, run: Map = map) -> dict[str, Any]:
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


def _checkpoints(interactions: Interactions | None, cache_dir: Path | None) -> Path:
    """Return the folder of checkpoints of trainings that learn from, and are validated by, these events."""
    told = "none"
    if interactions is not None:
        lines = pd.util.hash_pandas_object(interactions.frame, index=False).to_numpy()
        told = repr((digest(lines.tobytes()), sorted(interactions.weights.items())))
    return cache_location(cache_dir) / "behaviour" / digest(told).decode()


@dataclass(frozen=True)
class Draft:
    """A model of the earlier events, and the later events that it has not seen."""

    model: Model
    earlier: Interactions
    later: Interactions


def _train(
    products: Products,
    interactions: Interactions,
    learn_until: datetime | None,
    seed: int,
    clock: Clock,
    folder: Path,
) -> tuple[Draft | None, Model]:
    """Train on the earlier part, choose on the later, then learn the behaviour once more from everything."""
    if len(interactions.frame) < LEAST_EVENTS:
        return None, _without_choice(products, interactions, seed, clock, folder)
    moment = learn_until or _moment(interactions)
    earlier, later = interactions.before(moment), interactions.since(moment)
    if not len(earlier.frame) or not len(later.frame):
        notice("all events lie on one moment: nothing later to choose weights by")
        return None, _without_choice(products, interactions, seed, clock, folder)
    learning, measuring = _halves(later) if learn_until is None else (later, None)
    cases = user_cases(earlier, learning, seed)
    with clock.stage("towers"):
        described, figures = describe(products, pairs_of(earlier), seed)
    with clock.stage("behaviour"):
        validate = partial(_foresight, cases) if cases else None
        behaviour = learn_behaviour(described, products, earlier, seed, validate=validate, folder=folder)
        figures |= {"behaviour": behaviour.figures} if behaviour is not None else {}
        early_tower, segment = place_products(described, products, behaviour)
    with clock.stage("weights"):
        like = liken(segment.vectors, segment.layout)
        counted = count_pairs(counts_of(earlier, segment.n), earlier)
        early = Early(segment, _users(earlier, behaviour), earlier, counted, like)
        settings = find(early, cases, learning, category_kinds(products.catalog), seed)
        segment = early.placed(settings.prior, settings.smoothing)
    if measuring is None:
        return None, _taught(described, products, earlier, behaviour, settings, figures, like)
    draft = Draft(_model(early_tower, segment, settings, figures), earlier, measuring)
    with clock.stage("everything once more"):
        share = behaviour.share if behaviour is not None else 1.0
        behaviour = learn_behaviour(described, products, interactions, seed, share, folder=folder)
        return draft, _taught(described, products, interactions, behaviour, settings, figures, like)


def _foresight(cases: list[Case], behaviour: Behaviour) -> float:
    """Tell how high the behaviour alone ranks what was chosen later: the validation of its training."""
    users = UserTower(EVENT_WEIGHTS, sequence=behaviour.tower)
    found = [users.liked(case.steps) for case in cases]
    asked = [(case, liked) for case, liked in zip(cases, found, strict=True) if len(liked)]
    if not asked:
        return 0.0
    queries = [
        behaviour.tower.query(
            behaviour.vectors[case.steps.rows[liked]],
            [case.steps.names[step] for step in liked],
            case.steps.times[liked],
        )
        for case, liked in asked
    ]
    gains = []
    for start in range(0, len(asked), AT_ONCE):
        scores = np.stack(queries[start : start + AT_ONCE]) @ behaviour.vectors.T
        for (case, _), line in zip(asked[start : start + AT_ONCE], scores, strict=True):
            line[case.struck] = -np.inf
            gains.append(soft_recall(line, case.chosen))
    return float(np.mean(gains))


def _users(interactions: Interactions, behaviour: Behaviour | None) -> UserTower:
    return UserTower(dict(interactions.weights), sequence=behaviour.tower if behaviour is not None else None)


def _taught(
    described: Described,
    products: Products,
    interactions: Interactions,
    behaviour: Behaviour | None,
    settings: Settings | None,
    figures: dict[str, Any],
    like: Table | None = None,
) -> Model:
    """Join all that events taught, under settings found before, or the usual ones; likeness tells of no event."""
    tower, segment = place_products(described, products, behaviour)
    users = _users(interactions, behaviour)
    settings = settings or untrained(segment, users, events=True)
    settings = replace(settings, users=replace(settings.users, sequence=users.sequence))
    prior, stated = settings.prior.fit(interactions, segment.n)
    like = liken(segment.vectors, segment.layout) if like is None else like
    counts = counts_of(interactions, segment.n)
    counted = count_pairs(counts, interactions)
    together = mix(counted, like, settings.smoothing)
    partners = complements(segment, counts, counted)
    segment = replace(segment, prior=prior, cooccurrence=together, complements=partners)
    return _model(tower, segment, settings, figures | {"prior": stated})


def _moment(interactions: Interactions) -> datetime:
    """Return when the later part begins: the moment that parts the events nearest to `LATER_SHARE`."""
    times = np.sort(interactions.frame["timestamp"].to_numpy())
    moments, starts = np.unique(times, return_index=True)
    nearest = np.argmin(np.abs(1 - starts / len(times) - LATER_SHARE))
    return pd.Timestamp(moments[nearest]).to_pydatetime()


def _without_choice(
    products: Products, interactions: Interactions, seed: int, clock: Clock, folder: Path
) -> Model:
    with clock.stage("towers"):
        described, figures = describe(products, pairs_of(interactions), seed)
        behaviour = learn_behaviour(described, products, interactions, seed, folder=folder)
        return _taught(described, products, interactions, behaviour, None, figures)


def _without_events(products: Products, read: Reader | None, seed: int, clock: Clock) -> Model:
    """Train on the products alone; what the weights of their blocks are, their attributes say."""
    with clock.stage("towers"):
        described, figures = describe(products, None, seed)
        tower, segment = place_products(described, products, None)
    with clock.stage("weights"):
        settings = untrained(segment, UserTower(EVENT_WEIGHTS), events=False)
        if read is not None:
            weights, figures["attributes"] = by_attributes(products, tower, read, seed)
            settings = replace(settings, weights=dict.fromkeys(("item", "user"), Learned(weights, np.empty(0))))
    return _model(tower, segment, settings, figures | {"prior": no_prior(products.catalog)[1]})


def _model(tower: ItemTower, segment: Segment, settings: Settings, figures: dict[str, Any]) -> Model:
    weights = {kind: learned.weights for kind, learned in settings.weights.items()}
    return Model(tower, settings.users, segment, weights, figures | {"weights": settings.stated()})


def _halves(later: Interactions) -> tuple[Interactions, Interactions]:
    """Split by user, so that figures come from people whose choices set no weight."""
    users = later.frame["user_id"]
    learning = pd.util.hash_array(users.to_numpy(dtype=object)) % 2 == 0
    return tuple(  # type: ignore[return-value]
        replace(later, frame=later.frame[half].reset_index(drop=True)) for half in (learning, ~learning)
    )


def _figures(
    draft: Draft,
    products: Products,
    encoded: EncodedCatalog,
    config: Config,
    clock: Clock,
    run: Map,
    folder: Path | None,
) -> dict[str, Any]:
    """Measure the draft through the product itself: published to a temporary folder and asked."""
    with clock.stage("evaluation"), TemporaryDirectory(dir=folder) as published:
        publish(Path(published), draft.model, products, encoded, config, {}, pictures=False)
        report = evaluate(load(published), draft.earlier, draft.later, run=run)
        return report.to_dict()
