"""Warm starts: a fit that is continued night by night, beside a full fit, on what users choose afterwards."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recommender.catalog import Catalog, Interactions
from recommender.commands.benchmarks.protocols.repeat_purchases import READINGS
from recommender.commands.benchmarks.protocols.shops import fitted, provenance
from recommender.config import Config
from recommender.evaluation import split
from recommender.evaluation.evaluate import MAX_USERS, compare
from recommender.evaluation.queries import Queries
from recommender.evaluation.report import EvaluationReport
from recommender.progress import notice
from recommender.recommender import Recommender, load

K = 12


def measure(shop: Config, first: datetime, nights: int) -> dict[str, Any]:
    """Fit on the events before a moment, continue that fit a day at a time, and compare it with a fit at the end.

    Parameters
    ----------
    shop
        Its files.
    first
        The first fit has the events before it.
    nights
        Number of warm starts.
    """
    from training.fit import fit

    last = first + timedelta(days=nights)
    catalog = Catalog.load(shop)
    parts = split.at(Interactions.load(shop, catalog), last)
    with TemporaryDirectory() as folder, fitted(shop, until=last) as full:
        root, bundles = Path(folder), {}
        fit(shop, root, until=first)
        for night in range(1, nights + 1):
            notice(f"night {night} of {nights}")
            fit(shop, root, until=first + timedelta(days=night), warm_start=root)
            bundles[f"night {night}"] = provenance(load(root))
        warm, reports = load(root), {}
        for name, include_history in READINGS.items():
            queries = Queries.of(parts.train, parts.test, warm.n, MAX_USERS, include_history)
            reports[name] = _beside(warm, full, queries, parts).to_dict()
    return {
        "protocol": "warm-starts",
        "seed": shop.train.seed,
        "measures": ["recall", "ndcg"],
        "bundles": {"full fit": provenance(full), **bundles},
        "reports": reports,
    }


def _beside(warm: Recommender, full: Recommender, queries: Queries, parts: split.Split) -> EvaluationReport:
    """Return the report of the warm generation, with the full fit as its only other ranker."""
    report, other = (compare(rec, queries, parts.train, [], [K])[0] for rec in (warm, full))
    return replace(
        report, rankers=(report.rankers[0], replace(other.rankers[0], name="full fit", group="baseline"))
    )
