"""Known pairs of products (also bought, related) as a test of neighbour lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recommender import Recommender
from recommender.catalog import Catalog
from recommender.evaluation.baskets import without_same_label
from recommender.evaluation.content_baselines import ContentCentroid
from recommender.evaluation.known_pairs import read_known_pairs
from recommender.evaluation.similar_items import CHUNK, neighbours, pair_recall
from recommender.evaluation.top_k import top_k

K = 10


def edges(
    rec: Recommender,
    catalog: Catalog,
    path: Path,
    among: np.ndarray | None,
    untrained: Sequence[ContentCentroid],
) -> dict[str, Any]:
    """Recall@10 of known pairs, with those of variants among them (which no list answers) and without.

    Parameters
    ----------
    among
        (n,) the only queries and candidates; None: all.
    untrained
        Content by itself, to compare with.
    """
    figures = {}
    groups = groups_of(catalog)
    for kind, pairs in read_known_pairs(path, catalog.frame["id"]).items():
        relevant = pairs if among is None else _among(pairs, among)
        rows = np.flatnonzero(np.diff(relevant.indptr))
        lists = neighbours(rec, rows, K, among)
        lists |= {each.name: _listed(each, rows, groups, among) for each in untrained}
        figures[f"pairs: {kind}"] = pair_recall(lists, relevant[rows])
        others = without_same_label(relevant, groups)
        if others.nnz < relevant.nnz:
            figures[f"pairs: {kind}, variants left out"] = pair_recall(lists, others[rows])
    return figures


def groups_of(catalog: Catalog) -> pd.Series:
    """Return each product's `item_group_id` (n,), "" where it has none."""
    return catalog.frame.get("item_group_id", pd.Series("", index=catalog.frame.index))


def _among(pairs: csr_array, among: np.ndarray) -> csr_array:
    kept = pairs.multiply(among[None, :]).multiply(among[:, None]).tocsr()
    kept.eliminate_zeros()
    return csr_array(kept)


def _listed(ranker: ContentCentroid, rows: np.ndarray, groups: pd.Series, among: np.ndarray | None) -> np.ndarray:
    """Rank by untrained content as the product does: neither the query nor its variants."""
    names = groups.to_numpy(object)
    parts = []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        own = (names[chunk][:, None] == names[None, :]) & (names[chunk] != "")[:, None]
        own[np.arange(len(chunk)), chunk] = True
        scores = (ranker.vectors[chunk] @ ranker.vectors.T).astype(np.float64)
        parts.append(top_k(scores, K, csr_array(own), among))
    return np.concatenate(parts) if parts else np.empty((0, K), np.int32)
