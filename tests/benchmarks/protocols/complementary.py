"""P5: products that go together. Some baskets are purchases, the pairs of the others are to be foretold."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from protocols.shops import AFTER, fitted, provenance
from recommender import Recommender
from recommender.catalog import Catalog
from recommender.config import Config, EventsConfig
from recommender.evaluation.baskets import read_baskets, split_baskets, without_same_label
from recommender.evaluation.rankers import component_weights
from recommender.evaluation.similar_items import pair_recall
from recommender.progress import progress

K = 10
Ask = Callable[[str, dict[str, Any]], list[str]]  # an id and options to ids


def measure(shop: Config, pairs: Path, kind: str | None, other_type: bool) -> dict[str, Any]:
    """Measure recall of held-out pairs; what is known to go with a product already may not be answered.

    Parameters
    ----------
    pairs
        See `read_baskets`: pairs of products, or products and the name of what they are shown in.
    kind
        Only pairs of this kind.
    other_type
        Whether products of the query's own type are neither asked for nor answered.
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
                "protocol": "p5",
                "seed": shop.train.seed,
                "bundles": {"trained on the known baskets": provenance(rec)},
                "neighbours": {f"held-out pairs: {kind or 'all'}": setting | figures},
            }


def _events(baskets: pd.DataFrame, catalog: Catalog) -> pd.DataFrame:
    """A basket is a user's one purchase; each has its minute, so that some are later than others."""
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
    """Leave out what is known to go with the product, its variants and, if asked, its own type."""
    out = set(known.indices[known.indptr[row] : known.indptr[row + 1]].tolist())
    if "item_group_id" in catalog.frame and (group := catalog.frame["item_group_id"][row]):
        out |= set(np.flatnonzero(catalog.frame["item_group_id"] == group).tolist())
    options: dict[str, Any] = {"variants": "all", "exclude": [catalog.ids[each] for each in sorted(out)]}
    own = catalog.frame["product_type"][row] if other_type and "product_type" in catalog.frame else ""
    return options | ({"filter": {"must_not": [{"field": "product_type", "match": own}]}} if own else {})


def _lists(rec: Recommender, rows: np.ndarray, options: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    ids = [rec.attributes.id_of(int(row)) for row in rows]
    ways = _ways(rec)
    lists = {}
    for name, ask in progress(ways.items(), "goes together", len(ways), "ranker"):
        lists[name] = np.full((len(rows), K), -1, np.int32)
        for line, (item_id, said) in enumerate(zip(ids, options, strict=True)):
            found = [rec.attributes.row_of(each) for each in ask(item_id, said)]
            lists[name][line, : len(found)] = found
    return lists


def _ways(rec: Recommender) -> dict[str, Ask]:
    """List the ways to ask what goes with a product: the engine's own answer first, then what it is made of."""

    def similar(**more: Any) -> Ask:
        return lambda item_id, said: rec.similar(item_id, K, **said, **more).item_ids

    def popular(item_id: str, said: dict[str, Any]) -> list[str]:
        return rec.popular(K, **{**said, "exclude": [*said["exclude"], item_id]}).item_ids

    return {
        "complementary": lambda item_id, said: rec.complementary([item_id], K, **said).item_ids,
        "similar": similar(plan="exact"),
        "similar, annoy": similar(plan="annoy"),
        **{
            name: similar(plan="exact", weights=alone)
            for name, alone in component_weights(rec.weights["item"]).items()
        },
        "popular": popular,
    }
