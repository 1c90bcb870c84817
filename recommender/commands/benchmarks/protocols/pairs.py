"""Recall of known pairs of products, such as also-bought ones, by neighbour lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recommender.catalog import Catalog
from recommender.evaluation.baskets import without_same_label
from recommender.evaluation.content_baselines import ContentCentroid
from recommender.evaluation.known_pairs import read_known_pairs
from recommender.evaluation.similar_items import CHUNK, complementary_items, neighbours, pair_recall
from recommender.evaluation.top_k import top_k
from recommender.recommender import Recommender

K = 10


def known_pairs(
    rec: Recommender,
    catalog: Catalog,
    path: Path,
    among: np.ndarray | None,
    untrained: Sequence[ContentCentroid],
) -> dict[str, Any]:
    """Return recall@10 of known pairs, with pairs of variants (which no list contains) and without.

    Beside similar items, the complementary products: also-bought pairs are more of these.

    Parameters
    ----------
    among
        (n,) mask of the queries and candidates; None for all.
    untrained
        Baselines of content alone.
    """
    figures = {}
    groups = groups_of(catalog)
    for kind, pairs in read_known_pairs(path, catalog.frame["id"]).items():
        relevant = pairs if among is None else _among(pairs, among)
        rows = np.flatnonzero(np.diff(relevant.indptr))
        lists = neighbours(rec, rows, K, among)
        if rec.segment.complements.indices.size:
            lists["complementary"] = complementary_items(rec, rows, K, among)
        lists |= {each.name: _ranked(each, rows, groups, among) for each in untrained}
        figures[f"pairs: {kind}"] = pair_recall(lists, relevant[rows])
        others = without_same_label(relevant, groups)
        if others.nnz < relevant.nnz:
            figures[f"pairs: {kind}, variants left out"] = pair_recall(lists, others[rows])
    return figures


def groups_of(catalog: Catalog) -> pd.Series:
    """Return each product's `item_group_id` (n,), "" where it has none."""
    return catalog.frame.get("item_group_id", pd.Series("", index=catalog.frame.index))


def _among(pairs: csr_array, among: np.ndarray) -> csr_array:
    retained = pairs.multiply(among[None, :]).multiply(among[:, None]).tocsr()
    retained.eliminate_zeros()
    return csr_array(retained)


def _ranked(ranker: ContentCentroid, rows: np.ndarray, groups: pd.Series, among: np.ndarray | None) -> np.ndarray:
    """Rank by untrained content, under the rules of `similar`: neither the query nor its variants."""
    names = groups.to_numpy(object)
    parts = []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        excluded = (names[chunk][:, None] == names[None, :]) & (names[chunk] != "")[:, None]
        excluded[np.arange(len(chunk)), chunk] = True
        scores = (ranker.vectors[chunk] @ ranker.vectors.T).astype(np.float64)
        parts.append(top_k(scores, K, csr_array(excluded), among))
    return np.concatenate(parts) if parts else np.empty((0, K), np.int32)
