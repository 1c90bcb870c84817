"""Walk over the neighbour table in numpy, for bundles without a graph or machines without numba."""

import numpy as np

from recommender.core.blocks import Float, Rows
from recommender.core.scoring import Query, Scorer

EXPANDED = 4  # rows expanded in one step, which takes as long for one row


def walk_table(
    scorer: Scorer,
    query: Query,
    table: Rows,
    seeds: Rows,
    marks: tuple[np.ndarray, np.uint32],
    width: int,
    steps: int,
) -> Rows:
    """Return up to `width` rows near the query, nearest first, shape (c,).

    Parameters
    ----------
    table
        Neighbours of each product, shape (n, T), padded with −1.
    seeds
        Entry points.
    marks
        Array of shape (n,), and the number that marks visited rows in it.
    width
        Rows in the beam.
    steps
        Number of steps; each expands the best rows that were not expanded yet.
    """
    weighted = scorer.weighted(query).astype(np.float32)
    prior = np.float32(scorer.weights.get("prior", 0.0))

    def score(rows: Rows) -> Float:
        scores: Float = scorer.vectors[rows] @ weighted + prior * scorer.prior[rows]
        return scores

    visited, mark = marks
    visited[seeds] = mark
    rows, scores, expanded = seeds, score(seeds), np.zeros(len(seeds), dtype=bool)
    for _ in range(steps):
        order = np.argsort(-scores)[:width]
        rows, scores, expanded = rows[order], scores[order], expanded[order]
        expanded_now = np.flatnonzero(~expanded)[:EXPANDED]
        expanded[expanded_now] = True
        neighbours = table[rows[expanded_now]].ravel()
        neighbours = neighbours[(neighbours >= 0) & (visited[neighbours] != mark)]
        position = np.arange(len(neighbours), dtype=np.uint32)
        visited[neighbours] = position  # of a duplicate row, one position remains
        neighbours = neighbours[visited[neighbours] == position]
        visited[neighbours] = mark
        rows, scores = np.concatenate([rows, neighbours]), np.concatenate([scores, score(neighbours)])
        expanded = np.concatenate([expanded, np.zeros(len(neighbours), dtype=bool)])
    return rows[np.argsort(-scores)[:width]]
