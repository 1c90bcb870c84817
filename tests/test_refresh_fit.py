"""What a fit publishes for a refresh: its own counts can be taken again, and an update retains later ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recommender
from recommender.bundle import open_bundle
from recommender.bundle.delta import REFRESH
from recommender.catalog import Catalog, Interactions
from recommender.core.segment import Segment
from training.new_products.factors import with_events
from training.refresh.statistics import CountStatistics

N, UNSOLD = 24, "p023"
PRODUCTS = pd.DataFrame(
    {
        "id": [f"p{row:03}" for row in range(N)],
        "title": [
            f"{('red', 'blue', 'green')[row % 3]} {('mug', 'lamp', 'chair')[row % 2]} {row}" for row in range(N)
        ],
        "product_type": [("Kitchen", "Light", "Seats")[row % 3] for row in range(N)],
    }
)


def events_of(users: int, rows: Callable[[int, int], int], start: str) -> pd.DataFrame:
    """Return four purchases of each user."""
    moments = pd.Timestamp(start) + pd.to_timedelta(np.arange(4 * users), unit="h")
    pairs = [(user, rows(user, step)) for user in range(users) for step in range(4)]
    return pd.DataFrame(
        {
            "user_id": [f"{start}-{user}" for user, _ in pairs],
            "item_id": [f"p{row:03}" for _, row in pairs],
            "event_name": "purchase",
            "timestamp": moments,
        }
    )


EVENTS = events_of(30, lambda user, step: (user * 5 + step * step) % (N - 1), "2026-01-01")
NEW = events_of(10, lambda user, step: (4, N - 1)[step % 2], "2026-02-01")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was fitted on files."""
    folder = tmp_path_factory.mktemp("refresh")
    PRODUCTS.to_csv(folder / "products.csv", index=False)
    EVENTS.to_csv(folder / "events.csv", index=False)
    NEW.to_csv(folder / "new.csv", index=False)
    products, events = folder / "products.csv", folder / "events.csv"
    recommender.fit(products, events, out=folder / "bundles", encoder="tfidf", cache=folder / "cache")
    return folder / "bundles"


def counted(root: Path, events: pd.DataFrame) -> Segment:
    """Return the products with the counts of events by the statistics of the bundle."""
    rec, statistics = recommender.load(root), CountStatistics.open(open_bundle(root))
    interactions = Interactions.from_frame(events, Catalog.from_frame(PRODUCTS))
    segment, _ = statistics.with_counts(rec.segment, statistics.count(interactions, N), interactions)
    known = with_events(interactions, N)
    return statistics.new_products.applied_to_counts(rec.item_tower, segment, known, rec.manifest.seed)[1]


def assert_equal_counts(found: Segment, expected: Segment) -> None:
    for name in ("cooccurrence", "complements"):
        for array in ("indptr", "indices", "values"):
            np.testing.assert_array_equal(*(getattr(getattr(each, name), array) for each in (found, expected)))
    np.testing.assert_array_equal(found.prior, expected.prior)


def test_a_refresh_counts_as_the_fit_did_and_an_update_retains_it(root: Path) -> None:
    fitted = recommender.load(root)
    assert_equal_counts(fitted.segment, counted(root, EVENTS))
    assert fitted.manifest.extra[REFRESH]["events"]["count"] == len(EVENTS)
    assert recommender.refresh(root).generation is None, "no event is new"

    result = recommender.refresh(root, root.parent / "new.csv")
    refreshed = recommender.load(root)
    assert result.events == len(EVENTS) + len(NEW)
    assert_equal_counts(refreshed.segment, counted(root, pd.concat([EVENTS, NEW])))
    row = refreshed.attributes.row_of(UNSOLD)
    assert refreshed.segment.prior[row] > fitted.segment.prior[row]
    assert refreshed.recommend(["p004"], k=1, weights={"cooccurrence": 50.0})[0].item_id == UNSOLD

    changed = PRODUCTS[PRODUCTS["id"] == UNSOLD].assign(title="something else altogether")
    assert recommender.update(root, changed, cache=root.parent / "cache").embedded == 1
    updated = recommender.load(root)
    assert updated.segment.prior[row] == refreshed.segment.prior[row]
    assert updated.recommend(["p004"], k=1, weights={"cooccurrence": 50.0})[0].item_id == UNSOLD
