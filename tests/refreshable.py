"""A small shop that is published as a fit would for a refresh, without training."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recommender.bundle import Staging, write_thumbnails
from recommender.bundle.delta import REFRESH
from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.core.weights import resolve
from recommender.items.attributes import write_columns
from recommender.retrieval.planner import Budget, Budgets
from recommender.towers.behaviour import BehaviourPredictor
from recommender.towers.item import ItemTower
from recommender.towers.predictor import BlockPredictor
from recommender.towers.user import UserTower
from tests.segments import LAYOUT, TERMS, make_segment
from training.cooccurrence.tables import CooccurrenceTables, Mixture, content_similarity
from training.new_products.factors import NewProducts, with_events
from training.prior import PriorShape
from training.refresh.refresher import Refresher
from training.refresh.sources import CountedEvents, EventSources
from training.refresh.statistics import STATISTICS, CountStatistics
from training.retrieval.index import make_index
from training.retrieval.neighbours import with_neighbours

START = pd.Timestamp("2026-01-01")
NAMES = ("view_item", "purchase", "view_item_list")
ITEM_WEIGHTS = resolve(dict.fromkeys(TERMS, 0.5) | {"prior": 0.3}, {"cooccurrence": 0.4})
USER_WEIGHTS = resolve(dict.fromkeys(TERMS, 0.5), {"cooccurrence": 5.0, "prior": 1.0})
Line = tuple[int, int, int, str]  # user, product, day, event name


def ids_of(n: int) -> list[str]:
    """Return the ids of n products, in order."""
    return [f"p{row:03}" for row in range(n)]


def frame_of(lines: Iterable[Line]) -> pd.DataFrame:
    """Return events as a file of them."""
    rows = [(f"u{user}", f"p{row:03}", name, START + pd.Timedelta(days=day)) for user, row, day, name in lines]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "event_name", "timestamp"])


def interactions_of(frame: pd.DataFrame, n: int) -> Interactions:
    """Return events with n products as a fit reads them."""
    return Interactions.from_frame(frame, Catalog.from_frame(pd.DataFrame({"id": ids_of(n), "title": "t"})))


def draw_lines(generator: np.random.Generator, n: int, count: int) -> list[Line]:
    """Return events in order of time, of which some are equal."""
    days = np.sort(generator.integers(0, 60, count)).tolist()
    return [
        (int(generator.integers(6)), int(generator.integers(n) ** 2 // n), day, str(generator.choice(NAMES)))
        for day in days
    ]


def statistics_of(seed: int, vectors: np.ndarray) -> CountStatistics:
    """Return hyperparameters, and tables that are not counted."""
    similarity = content_similarity(vectors, LAYOUT)
    tables = CooccurrenceTables(similarity, similarity, similarity, similarity * 0.5)
    mixture = (Mixture(0.7, 0.2, 0.1), Mixture(1.0, 0.0), Mixture(0.9, 0.1, 0.0, 8.0))[seed % 3]
    prior = PriorShape((7.0, 365.0)[seed % 2], ("log", "root", "linear")[seed % 3])
    return CountStatistics.of(tables, mixture, prior, NewProducts(level=(None, 0.25)[seed % 2], cooccurrence=0.5))


def publish_shop(root: Path, log: Path, seed: int = 0, n: int = 20, budget: Budget | None = None) -> str:
    """Publish a bundle of the events in a log, counted as a fit counts them."""
    interactions = interactions_of(pd.read_csv(log), n)
    segment = make_segment(seed, n)
    statistics = statistics_of(seed, segment.vectors)
    segment, _ = statistics.with_counts(segment, statistics.count(interactions, n), interactions)
    known = with_events(interactions, n)
    segment = replace(segment, groups=np.arange(n, dtype=np.int32))
    predictor = BehaviourPredictor(np.zeros((11, 4), np.float32), np.zeros((0, 4), np.float32))
    tower = ItemTower(LAYOUT, {}, None, None, BlockPredictor({}, LAYOUT), behaviour=predictor)
    tower, segment = statistics.new_products.applied_to_counts(tower, segment, known, 0)
    weights = {"item": ITEM_WEIGHTS, "user": USER_WEIGHTS}
    with Staging(root) as staging:
        base = staging.part("base")
        make_index(base, segment, ITEM_WEIGHTS, trees=3, seed=0)
        with_neighbours(segment, weights).save(base)
        (base / "attributes").mkdir()
        write_columns(base / "attributes", ids_of(n), {"title": "text"}, {"title": ["t"] * n})
        tower.save(staging.part("towers"))
        statistics.save(staging.part(STATISTICS))
        write_thumbnails(staging.part("thumbnails"), [None] * n)
        counted = CountedEvents.of(interactions, str(log), False)
        config = Config.from_mapping({"catalog": {"path": "products.csv"}, "events": {"path": "events.csv"}})
        return staging.publish(
            {
                "n": n,
                "blocks": dict(LAYOUT.dims),
                "weights": weights,
                "config": config.to_dict(),
                "user_tower": UserTower({"view_item": 1.0, "purchase": 5.0}).to_dict(),
                "index": {"budgets": dict.fromkeys(vars(Budgets()), budget and vars(budget))},
                REFRESH: statistics.to_dict() | {"rows": n, "events": asdict(counted)},
            }
        )


def refresher(root: Path, events: Path | pd.DataFrame | None = None, **more: Any) -> Refresher:
    """Return a refresher of the bundle's own config."""
    config = Config.from_mapping({"catalog": {"path": "products.csv"}, "events": {"path": "events.csv"}})
    return Refresher(root, EventSources(config, events=events, **more))


def write(path: Path, lines: Sequence[Line]) -> Path:
    """Write events to a file."""
    frame_of(lines).to_csv(path, index=False)
    return path
