"""From products and events to a model: learn from the earlier events, choose by the later, learn once more."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recommender.catalog import Interactions
from recommender.core.segment import Segment
from recommender.errors import DataError
from recommender.events import EVENT_WEIGHTS
from recommender.progress import notice
from recommender.towers.item import ItemTower
from recommender.towers.user import UserTower
from training.behaviour.train import Behaviour
from training.clock import Clock
from training.cooccurrence.complements import complements
from training.cooccurrence.learn import Table, count_pairs, counts_of, liken, mix
from training.cooccurrence.pairs import pairs_of
from training.model import Described, Model, Products, category_kinds, describe, learn_behaviour, place_products
from training.prior import no_prior
from training.tuning.held_out import Case, user_cases
from training.tuning.masked_attributes import Reader, by_attributes
from training.tuning.search import Early, Settings, find, untrained
from training.tuning.weights import Learned, soft_recall

# The last part of the events in time: weights and figures come from it.
LATER_SHARE = 0.2
# Fewer events than this cannot decide anything.
LEAST_EVENTS = 200
AT_ONCE = 64  # queries scored together


@dataclass(frozen=True)
class Draft:
    """A model of the earlier events, and the later events that it has not seen."""

    model: Model
    earlier: Interactions
    later: Interactions


def learn_from_events(
    products: Products,
    interactions: Interactions,
    learn_until: datetime | None,
    seed: int,
    clock: Clock,
    folder: Path,
) -> tuple[Draft | None, Model]:
    """Train on the earlier part, choose on the later, then learn the behaviour once more from everything.

    Parameters
    ----------
    learn_until
        See `fit`.
    folder
        Of checkpoints.

    Returns
    -------
    tuple
        What the figures are measured by, if anything is left for that; and what is published.
    """
    known = interactions if learn_until is None else interactions.before(learn_until)
    if not len(known):
        raise DataError(f"no event lies before {learn_until}: nothing is left to learn from. Choose a later one")
    if len(known.frame) < LEAST_EVENTS:
        return None, _by_usual_settings(products, known, seed, clock, folder)
    moment = learn_until or _moment(interactions)
    earlier, later = interactions.before(moment), interactions.since(moment)
    if not len(earlier.frame) or not len(later.frame):
        notice(f"no events to choose weights by: all lie on one moment, or none from {moment} on")
        return None, _by_usual_settings(products, known, seed, clock, folder)
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
        early = Early(segment, _users(earlier, behaviour), earlier, learning, counted, like)
        settings = find(early, cases, category_kinds(products.catalog), seed)
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


def _by_usual_settings(
    products: Products, interactions: Interactions, seed: int, clock: Clock, folder: Path
) -> Model:
    with clock.stage("towers"):
        described, figures = describe(products, pairs_of(interactions), seed)
        behaviour = learn_behaviour(described, products, interactions, seed, folder=folder)
        return _taught(described, products, interactions, behaviour, None, figures)


def learn_without_events(products: Products, read: Reader | None, seed: int, clock: Clock) -> Model:
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
