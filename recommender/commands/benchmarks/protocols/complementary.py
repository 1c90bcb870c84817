"""P5: complementary products. Some baskets are training events, the pairs of the others are to be predicted."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recommender.catalog import Catalog
from recommender.commands.benchmarks.protocols.shops import AFTER, fitted, provenance
from recommender.config import Config, EventsConfig
from recommender.evaluation.baskets import read_baskets, split_baskets, without_same_label
from recommender.evaluation.rankers import component_weights
from recommender.evaluation.similar_items import pair_recall
from recommender.progress import progress
from recommender.recommender import Recommender

K = 10
Ranker = Callable[[str, dict[str, Any]], list[str]]  # from an id and options to ids


def measure(shop: Config, pairs: Path, kind: str | None, other_type: bool) -> dict[str, Any]:
    """Measure the recall of held-out pairs; the known complements of a product are excluded from its answer.

    Parameters
    ----------
    pairs
        See `read_baskets`: pairs of products, or products and the scene that shows them.
    kind
        Only pairs of this kind.
    other_type
        Whether products of the query's own type are excluded, from the pairs and from the answers.
    """
    catalog = Catalog.load(shop)
    baskets = split_baskets(read_baskets(pairs, catalog.frame["id"], kind), len(catalog), shop.train.seed)
    labels = [catalog.frame[name] for name in ("item_group_id", "product_type") if name in catalog.frame]
    apart = [label for label in labels if other_type or label.name != "product_type"]
    relevant = without_same_label(baskets.relevant, *apart)
    rows = np.flatnonzero(np.diff(relevant.indptr))
    with TemporaryDirectory() as folder:
        _events(baskets.train, catalog).to_csv(Path(folder) / "events.csv", index=False)
        events = EventsConfig(path=(Path(folder) / "events.csv").resolve())
        with fitted(shop.model_copy(update={"events": events}), until=AFTER) as rec:
            options = [_options(catalog, int(row), baskets.known, other_type) for row in rows]
            figures = pair_recall(_lists(rec, rows, options), relevant[rows])
            setting = {"known_pairs": int(baskets.known.nnz), "other_type": other_type}
            return {
                "protocol": "complementary",
                "seed": shop.train.seed,
                "bundles": {"trained on the known baskets": provenance(rec)},
                "neighbours": {f"held-out pairs: {kind or 'all'}": setting | figures},
            }


def _events(baskets: pd.DataFrame, catalog: Catalog) -> pd.DataFrame:
    """Return each basket as one purchase of a user; a minute apart, so that some are later than others."""
    minute = pd.to_timedelta(pd.factorize(baskets["basket"])[0], unit="min")
    return pd.DataFrame(
        {
            "user_id": baskets["basket"],
            "item_id": catalog.frame["id"].to_numpy()[baskets["row"]],
            "event_name": "purchase",
            "timestamp": AFTER - timedelta(minutes=1) - minute,
        }
    )


def _options(catalog: Catalog, row: int, known: csr_array, other_type: bool) -> dict[str, Any]:
    """Return options that exclude the known complements of the product, its variants and perhaps its own type."""
    excluded = set(known.indices[known.indptr[row] : known.indptr[row + 1]].tolist())
    if "item_group_id" in catalog.frame and (group := catalog.frame["item_group_id"][row]):
        excluded |= set(np.flatnonzero(catalog.frame["item_group_id"] == group).tolist())
    options: dict[str, Any] = {"variants": "all", "exclude": [catalog.ids[each] for each in sorted(excluded)]}
    own = catalog.frame["product_type"][row] if other_type and "product_type" in catalog.frame else ""
    return options | ({"filter": {"must_not": [{"field": "product_type", "match": own}]}} if own else {})


def _lists(rec: Recommender, rows: np.ndarray, options: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    ids = [rec.attributes.id_of(int(row)) for row in rows]
    rankers = _rankers(rec)
    lists = {}
    for name, rank in progress(rankers.items(), "complementary", len(rankers), "ranker"):
        lists[name] = np.full((len(rows), K), -1, np.int32)
        for line, (item_id, wanted) in enumerate(zip(ids, options, strict=True)):
            ranked = [rec.attributes.row_of(each) for each in rank(item_id, wanted)]
            lists[name][line, : len(ranked)] = ranked
    return lists


def _rankers(rec: Recommender) -> dict[str, Ranker]:
    """Return the rankers of complementary products: the engine's answer first, then its components."""

    def similar(**more: Any) -> Ranker:
        return lambda item_id, options: rec.similar(item_id, K, **options, **more).item_ids

    def popular(item_id: str, options: dict[str, Any]) -> list[str]:
        excluded = [*options["exclude"], item_id]
        return rec.recommend(k=K, strategy="popular", **{**options, "exclude": excluded}).item_ids

    def complementary(item_id: str, options: dict[str, Any]) -> list[str]:
        return rec.recommend([item_id], K, strategy="complementary", **options).item_ids

    return {
        "complementary": complementary,
        "similar": similar(plan="exact"),
        "similar, annoy": similar(plan="annoy"),
        **{
            name: similar(plan="exact", weights=alone)
            for name, alone in component_weights(rec.weights["item"]).items()
        },
        "popular": popular,
    }
