"""A made-up grocery with planted rates and intervals: P7 on it shows whether due times are found."""

from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.commands.benchmarks.protocols import repeat_purchases
from recommender.config import Config

START = datetime(2024, 1, 1)
AISLES = 12
# Aisles, from the first, whose products are used up; products of the others are bought once, such as pans.
CONSUMABLE = 9
TRIP_DAYS = 3.5  # between two visits of a user
TEST_DAYS = 7


def measure(users: int, products: int, days: int, repeats: bool, seed: int) -> dict[str, Any]:
    """Measure P7 on a grocery of so many days, of which the last week is predicted; see `write_grocery`."""
    with TemporaryDirectory() as folder:
        shop = write_grocery(Path(folder), users, products, days, repeats, seed)
        at = START + timedelta(days=days - TEST_DAYS)
        return repeat_purchases.measure(shop, at, TEST_DAYS) | {"protocol": "made-up grocery"}


def write_grocery(folder: Path, users: int, products: int, days: int, repeats: bool, seed: int) -> Config:
    """Write the catalogue and the purchases of a grocery; return their config.

    A user's staples, an eighth of the products, run out after the product's interval of 12 to 60 days, give or
    take a tenth, and are bought on the next visit; beside them, every other visit brings something by popularity.

    Parameters
    ----------
    folder
        Where the files are written.
    users, products, days
        How many.
    repeats
        Whether anything is bought twice; else each user buys the same number of different products.
    seed
        Of everything.
    """
    generator = np.random.default_rng(seed)
    aisles = np.arange(products) % AISLES
    ids = np.array([f"P{number:04}" for number in range(products)])
    frame = pd.DataFrame({"id": ids, "product_type": [f"Aisle {aisle}" for aisle in aisles]})
    frame.to_csv(folder / "products.csv", index=False)
    intervals = np.where(aisles < CONSUMABLE, generator.uniform(12, 60, products), np.inf)
    popularity = 1.0 / np.arange(1, products + 1)[generator.permutation(products)]
    lines = []
    for user in range(users):
        rows, moments = _purchases(generator, intervals, popularity, days)
        if not repeats:
            rows, first = np.unique(rows, return_index=True)
            moments = moments[first]
        lines.append(pd.DataFrame({"user_id": f"u{user:04}", "item_id": ids[rows], "day": moments}))
    events = pd.concat(lines)
    events["timestamp"] = START + pd.to_timedelta(events.pop("day"), unit="D")
    events.assign(event_name="purchase").to_csv(folder / "events.csv", index=False)
    return Config.model_validate(
        {
            "catalog": {"path": folder / "products.csv", "learn": ["product_type"]},
            "events": {"path": folder / "events.csv"},
        }
    )


def _purchases(
    generator: np.random.Generator, intervals: NDArray[np.float64], popularity: NDArray[np.float64], days: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the products and the days of one user's purchases."""
    visits = np.cumsum(generator.uniform(0.5, 1.5, int(2 * days / TRIP_DAYS)) * TRIP_DAYS)
    visits = visits[visits < days]
    known = np.flatnonzero(np.isfinite(intervals))
    odds = np.sqrt(popularity[known])
    staples = generator.choice(known, len(intervals) // 8, replace=False, p=odds / odds.sum())
    rows, moments = [], []
    for staple in staples.tolist():
        out = generator.uniform(0, intervals[staple])
        for visit in visits:
            if visit >= out:
                rows.append(staple)
                moments.append(visit)
                out = visit + intervals[staple] * generator.normal(1, 0.1)
    others = visits[generator.random(len(visits)) < 0.5]
    rows += generator.choice(len(intervals), len(others), p=popularity / popularity.sum()).tolist()
    return np.array(rows, dtype=np.intp), np.append(moments, others)
