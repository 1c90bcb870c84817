"""P7: all that customers buy after a cut in time, what they bought before included; and what is new to them."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from recommender.catalog import Catalog, Interactions
from recommender.commands.benchmarks.protocols.shops import fitted, provenance
from recommender.config import Config
from recommender.evaluation import split
from recommender.evaluation.evaluate import MAX_USERS, compare
from recommender.evaluation.queries import Queries
from recommender.evaluation.standard_baselines import standard_baselines

K = 12
READINGS = {"all later purchases": True, "products new to the user": False}


def measure(shop: Config, at: datetime, days: int | None = None) -> dict[str, Any]:
    """Measure the recall of the purchases after a cut, of the following `days` if given, in both readings."""
    catalog = Catalog.load(shop)
    events = Interactions.load(shop, catalog)
    parts = split.at(events, at, days)
    frame = parts.test.frame
    later = replace(parts.test, frame=frame[frame["event_name"] == "purchase"].reset_index(drop=True))
    reports = {}
    with fitted(shop, until=at) as rec:
        for name, include_history in READINGS.items():
            queries = Queries.of(parts.train, later, rec.n, MAX_USERS, include_history)
            baselines = standard_baselines(parts.train, rec.n, include_history)
            reports[name] = compare(rec, queries, parts.train, baselines, [K])[0].to_dict()
        bundles = {"cut": provenance(rec)}
    return {
        "protocol": "repeats",
        "seed": shop.train.seed,
        "measures": ["recall"],
        "bundles": bundles,
        "reports": reports,
    }
