"""Known pairs of products (also bought, related) as a test of neighbour lists."""

from pathlib import Path
from typing import Any

import numpy as np

from recommender import Recommender
from recommender.catalog import Catalog
from recommender.evaluation.edges import read_edges
from recommender.evaluation.similar import by_edges, neighbours


def edges(rec: Recommender, catalog: Catalog, path: Path, among: np.ndarray | None) -> dict[str, Any]:
    """Recall@10 of known pairs; with `among`, queries and candidates are only these rows."""
    figures = {}
    for kind, pairs in read_edges(path, catalog.frame["id"]).items():
        relevant = pairs if among is None else pairs.multiply(among[None, :]).tocsr()
        relevant.eliminate_zeros()
        has = np.diff(relevant.indptr) > 0
        rows = np.flatnonzero(has if among is None else has & among)
        figures[kind] = by_edges(neighbours(rec, rows, 10, among), relevant[rows])
    return figures
