"""P4: the loss where a tenth of the products lack their image, their text or every category.

One bundle and its learned weights throughout. The bundle's item tower imputes a missing block from the others;
behaviour, learned from events, stays. The tower was trained on the complete products, so the predictions of a
small shop may be memorised. The lists are those of the exact plan: the index only proposes candidates, and the
bundle's is over the complete products. For comparison, the block is left at 0. Also measured: the distance between
the centres of texts and images in their shared space (the modality gap: Liang et al., Mind the Gap, NeurIPS 2022),
before centring and after.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from recommender.catalog import Catalog, Interactions
from recommender.commands.benchmarks.protocols.neighbours import LABELS, QUERIES, labels_of
from recommender.commands.benchmarks.protocols.pairs import groups_of
from recommender.commands.benchmarks.protocols.shops import fitted, provenance
from recommender.config import Config
from recommender.core.blocks import unit
from recommender.evaluation import metrics, split
from recommender.evaluation.evaluate import MAX_USERS
from recommender.evaluation.queries import Queries
from recommender.evaluation.rankers import Candidates, recommender_rankers
from recommender.evaluation.similar_items import label_precision, paired_comparison
from recommender.recommender import Recommender

SHARE = 0.1  # of the products that have the block
STRIPPED = ("image", "text", "category")
COMPLETE = "complete"
K, K_USERS = 10, 12


def measure(shop: Config, at: datetime | None) -> dict[str, Any]:
    """Remove each block in turn, and compare lists, shared labels and, with `at`, recall of next purchases."""
    catalog = Catalog.load(shop)
    queries = None
    if at is not None:
        parts = split.at(Interactions.load(shop, catalog), at)
        queries = Queries.of(parts.train, parts.test, len(catalog), MAX_USERS)
    with fitted(shop, until=at) as rec:
        draw = np.random.default_rng(shop.train.seed)
        blocks = [name for name in STRIPPED if name in rec.layout.names]
        rows = {name: drawn(rec, name, draw) for name in blocks}
        shops = {COMPLETE: rec} | {f"without {name}": without_block(rec, name, rows[name]) for name in blocks}
        lists = {f"lists of products without {name}": _imputed(rec, name, rows[name]) for name in blocks}
        lists |= _by_labels(shops, catalog, draw)
        if queries is not None:
            lists[f"recall@{K_USERS} of next purchases"] = _by_users(shops, queries)
        return {
            "protocol": "missing",
            "seed": shop.train.seed,
            "bundles": {"one for all": provenance(rec)},
            "modality gap": gap(rec),
            "neighbours": lists,
        }


def drawn(rec: Recommender, block: str, draw: np.random.Generator) -> np.ndarray:
    """Draw a tenth of the products that have a block, ascending."""
    having = np.flatnonzero(rec.segment.present[:, rec.layout.index(block)])
    return np.sort(draw.permutation(having)[: max(1, round(SHARE * len(having)))])


def without_block(rec: Recommender, block: str, rows: np.ndarray, predicted: bool = True) -> Recommender:
    """Return the recommender with a block of some products removed: imputed, or left at 0."""
    vectors, present = np.array(rec.segment.vectors), np.array(rec.segment.present)
    vectors[rows, rec.layout.slices[block]] = 0.0
    present[rows, rec.layout.index(block)] = False
    if predicted:
        vectors[rows] = rec.item_tower.predictor.fill(vectors[rows], present[rows])
    segment = replace(rec.segment, vectors=vectors, present=present, neighbours=None)
    return Recommender(rec.bundle, planner=replace(rec.planner, segment=segment, index=None))


def gap(rec: Recommender) -> dict[str, float]:
    """Return the distance between the centres of unit texts and images, before and after centring."""
    blocks = rec.item_tower.content
    if rec.item_tower.projection is None or not {"image", "text"} <= blocks.keys():
        return {}
    before = blocks["image"].aligned_mean - blocks["text"].aligned_mean
    centres = []
    for name, block in blocks.items():
        vectors = rec.segment.vectors[rec.segment.present[:, rec.layout.index(name)], rec.layout.slices[name]]
        start, dim = block.axes.shape[1], len(block.aligned_mean)
        centres.append(unit(vectors[:, start : start + dim]).mean(axis=0))
    after = centres[0] - centres[1]
    return {"before": round(float(np.linalg.norm(before)), 4), "after": round(float(np.linalg.norm(after)), 4)}


def _imputed(complete: Recommender, block: str, rows: np.ndarray) -> dict[str, Any]:
    """Compare lists without the block with the complete ones; count the other products without it in them."""
    before, columns = _similar(complete, rows), {}
    for treatment, predicted in (("predicted", True), ("left at 0", False)):
        after = _similar(without_block(complete, block, rows, predicted), rows)
        shared = [len(set(a) & set(b) - {-1}) / K for a, b in zip(before.tolist(), after.tolist(), strict=True)]
        others = np.isin(after, rows).sum(axis=1) / np.maximum((after >= 0).sum(axis=1), 1)
        columns[treatment] = {f"overlap@{K}": np.array(shared), "share that also lacks it": others}
    return paired_comparison(columns)


def _by_labels(shops: Mapping[str, Recommender], catalog: Catalog, draw: np.random.Generator) -> dict[str, Any]:
    """Measure neighbours with the same label; labels are inputs of the model here, unlike in `neighbours`."""
    rows = np.sort(draw.permutation(len(catalog))[:QUERIES])
    lists = {name: _similar(rec, rows) for name, rec in shops.items()}
    groups = groups_of(catalog)
    return {
        f"label {values.name}": label_precision(lists, rows, values, groups)
        for values in labels_of(catalog, LABELS)
    }


def _by_users(shops: Mapping[str, Recommender], queries: Queries) -> dict[str, Any]:
    columns, everything = {}, Candidates(None, np.arange(len(queries)))
    for name, rec in shops.items():
        (rows,) = recommender_rankers(rec)[0].rank(queries, K_USERS, [everything])
        recall = metrics.recall(metrics.hits(rows, queries.relevant), metrics.counts(queries.relevant))
        columns[name] = {f"recall@{K_USERS}": recall}
    return {"queries": len(queries)} | paired_comparison(columns)


def _similar(rec: Recommender, rows: np.ndarray) -> np.ndarray:
    ids = [rec.attributes.id_of(int(row)) for row in rows]
    return rec.similar_many(ids, K, plan="exact", variants="all").rows
