"""P4: what is lost where a tenth of the products lack their photo, their text or every category.

One bundle and its learned weights throughout. A stripped product's block is predicted by the bundle's own item
tower from the blocks left; what its events taught of it stays. The tower has learned from the complete products,
so a small shop's predictions may be memories. The lists are those of the exact plan: the index only proposes
candidates, and the bundle's is over the complete products.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from protocols.edges import groups_of
from protocols.shops import fitted, provenance
from protocols.similar import LABELS, QUERIES, labels_of
from recommender import Recommender
from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.evaluation import metrics, split
from recommender.evaluation.contenders import of_product
from recommender.evaluation.evaluate import MOST_CUSTOMERS
from recommender.evaluation.queries import Queries
from recommender.evaluation.similar import by_label, compared

SHARE = 0.1  # of the products that have the block
STRIPPED = ("image", "text", "category")
COMPLETE = "complete"
K, K_USERS = 10, 12


def measure(shop: Config, at: datetime | None) -> dict[str, Any]:
    """Strip each block in turn, and compare lists, shared labels and, with `at`, what customers chose next."""
    catalog = Catalog.load(shop)
    queries = None
    if at is not None:
        parts = split.at(Interactions.load(shop, catalog), at)
        queries = Queries.of(parts.train, parts.test, len(catalog), MOST_CUSTOMERS)
    with fitted(shop, until=at) as rec:
        draw = np.random.default_rng(shop.train.seed)
        blocks = [name for name in STRIPPED if name in rec.layout.names]
        rows = {name: drawn(rec, name, draw) for name in blocks}
        shops = {COMPLETE: rec} | {f"without {name}": stripped(rec, name, rows[name]) for name in blocks}
        overlaps = {name: _overlap(rec, shops[f"without {name}"], rows[name]) for name in blocks}
        lists = {"overlap@10 of the stripped products' lists": overlaps} | _by_labels(shops, catalog, draw)
        if queries is not None:
            lists[f"recall@{K_USERS} of what customers chose next"] = _by_users(shops, queries)
        return {
            "protocol": "p4",
            "seed": shop.train.seed,
            "bundles": {"one for all": provenance(rec)},
            "neighbours": lists,
        }


def drawn(rec: Recommender, block: str, draw: np.random.Generator) -> np.ndarray:
    """Draw a tenth of the products that have a block of their own, ascending."""
    having = np.flatnonzero(rec.segment.present[:, rec.layout.index(block)])
    return np.sort(draw.permutation(having)[: max(1, round(SHARE * len(having)))])


def stripped(rec: Recommender, block: str, rows: np.ndarray) -> Recommender:
    """Return the same recommender, some of its products without a block."""
    vectors, present = np.array(rec.segment.vectors), np.array(rec.segment.present)
    vectors[rows, rec.layout.slices[block]] = 0.0
    present[rows, rec.layout.index(block)] = False
    vectors[rows] = rec.item_tower.predictor.fill(vectors[rows], present[rows])
    segment = replace(rec.segment, vectors=vectors, present=present, neighbours=None)
    return Recommender(rec.bundle, search=replace(rec.search_space, segment=segment, index=None))


def _overlap(complete: Recommender, without: Recommender, rows: np.ndarray) -> dict[str, Any]:
    """Share of each stripped product's list that stood in its complete one."""
    before, after = _similar(complete, rows), _similar(without, rows)
    shared = [len(set(a) & set(b) - {-1}) / K for a, b in zip(before.tolist(), after.tolist(), strict=True)]
    return compared({"": {"overlap@10": np.array(shared)}})[""]


def _by_labels(shops: Mapping[str, Recommender], catalog: Catalog, draw: np.random.Generator) -> dict[str, Any]:
    """Neighbours that share a label; the labels are part of the model's input here, unlike in P3."""
    rows = np.sort(draw.permutation(len(catalog))[:QUERIES])
    lists = {name: _similar(rec, rows) for name, rec in shops.items()}
    groups = groups_of(catalog)
    return {f"label {values.name}": by_label(lists, rows, values, groups) for values in labels_of(catalog, LABELS)}


def _by_users(shops: Mapping[str, Recommender], queries: Queries) -> dict[str, Any]:
    columns = {}
    for name, rec in shops.items():
        rows = of_product(rec)[0].rank(queries, K_USERS, None)
        found = metrics.recall(metrics.hits(rows, queries.relevant), metrics.counts(queries.relevant))
        columns[name] = {f"recall@{K_USERS}": found}
    return {"queries": len(queries)} | compared(columns)


def _similar(rec: Recommender, rows: np.ndarray) -> np.ndarray:
    ids = [rec.attributes.id_of(int(row)) for row in rows]
    return rec.similar_many(ids, K, plan="exact", variants="all").rows
