"""P2: what customers choose after a cut that the bundle knows nothing beyond; cold and warm."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from protocols.edges import edges
from protocols.shops import content, fitted, provenance
from recommender import Recommender
from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.evaluation import EvaluationReport, evaluate, split
from recommender.evaluation.baselines import Baseline, standard_baselines
from recommender.progress import progress


def measure(shop: Config, at: datetime, rolling: int, pairs: Path | None) -> dict[str, Any]:
    """Measure at a single cut with all that follows, and at rolling monthly cuts with the 31 days that follow.

    Parameters
    ----------
    pairs
        Known pairs of products, asked of the single cut's bundle and of the last rolling one's: what is bought
        together changes with the season.
    """
    catalog = Catalog.load(shop)
    events = Interactions.load(shop, catalog)
    untrained = content(shop, catalog)
    bought = np.bincount(events.frame["row"], minlength=len(catalog)) > 0

    def known_pairs(rec: Recommender, cut: datetime) -> dict[str, Any]:
        found = edges(rec, catalog, pairs, bought, untrained) if pairs is not None else {}
        return {f"{name}; cut at {cut:%Y-%m-%d}": lists for name, lists in found.items()}

    figures: dict[str, Any] = {"protocol": "p2", "seed": shop.train.seed, "measures": ["recall"]}
    with fitted(shop, until=at) as rec:
        figures["bundles"] = {"single cut": provenance(rec)}
        figures["reports"] = {"single cut": _measured(rec, split.at(events, at), untrained).to_dict()}
        figures["neighbours"] = known_pairs(rec, at)
    cuts = list(split.rolling(events, at, rolling)) if rolling else []
    reports = []
    for each in progress(cuts, "cuts", len(cuts), "cut"):
        with fitted(shop, until=each.date) as rec:
            reports.append(_measured(rec, each, untrained))
            if each is cuts[-1]:
                figures["neighbours"] |= known_pairs(rec, each.date)
    if reports:
        figures["reports"]["rolling cuts"] = EvaluationReport.pool(reports).to_dict()
    return figures


def _measured(rec: Recommender, parts: split.Split, untrained: list[Baseline]) -> EvaluationReport:
    return evaluate(rec, parts.train, parts.test, baselines=[*standard_baselines(parts.train, rec.n), *untrained])
