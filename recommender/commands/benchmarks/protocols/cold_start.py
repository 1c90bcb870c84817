"""P2: the next purchases of customers after a cut in time, of new (cold) and known (warm) products."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from recommender.catalog import Catalog, Interactions
from recommender.commands.benchmarks.protocols.pairs import known_pairs
from recommender.commands.benchmarks.protocols.shops import content, fitted, provenance
from recommender.config import Config
from recommender.evaluation import EvaluationReport, evaluate, split
from recommender.evaluation.baselines import Baseline
from recommender.evaluation.standard_baselines import standard_baselines
from recommender.progress import progress
from recommender.recommender import Recommender


def measure(shop: Config, at: datetime, rolling: int, pairs: Path | None) -> dict[str, Any]:
    """Measure at a single cut with all that follows, and at rolling monthly cuts with the 31 days that follow.

    Parameters
    ----------
    pairs
        Known pairs of products, measured on the single cut's bundle and on the last rolling one's, since
        co-occurrence changes with the season.
    """
    catalog = Catalog.load(shop)
    events = Interactions.load(shop, catalog)
    untrained = content(shop, catalog)
    bought = np.bincount(events.frame["row"], minlength=len(catalog)) > 0

    def pairs_at(rec: Recommender, cut: datetime | None) -> dict[str, Any]:
        by_kind = known_pairs(rec, catalog, pairs, bought, untrained) if pairs is not None else {}
        return {f"{name}; cut at {cut:%Y-%m-%d}": figures for name, figures in by_kind.items()}

    figures: dict[str, Any] = {"protocol": "cold-start", "seed": shop.train.seed, "measures": ["recall"]}
    with fitted(shop, until=at) as rec:
        figures["bundles"] = {"single cut": provenance(rec)}
        figures["reports"] = {"single cut": _measured(rec, split.at(events, at), untrained).to_dict()}
        figures["neighbours"] = pairs_at(rec, at)
    cuts = list(split.rolling(events, at, rolling)) if rolling else []
    reports = []
    for each in progress(cuts, "cuts", len(cuts), "cut"):
        with fitted(shop, until=each.date) as rec:
            reports.append(_measured(rec, each, untrained))
            if each is cuts[-1]:
                figures["neighbours"] |= pairs_at(rec, each.date)
    if reports:
        figures["reports"]["rolling cuts"] = EvaluationReport.pool(reports).to_dict()
    return figures


def _measured(rec: Recommender, parts: split.Split, untrained: Sequence[Baseline]) -> EvaluationReport:
    return evaluate(rec, parts.train, parts.test, baselines=[*standard_baselines(parts.train, rec.n), *untrained])
