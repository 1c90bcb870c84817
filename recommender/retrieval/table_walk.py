"""A walk over the neighbour table in plain numpy, where there is no graph or no numba to walk it."""

import numpy as np

from recommender.core.blocks import Float, Rows
from recommender.core.scoring import Query, Scorer

FOLLOWED = 4  # rows whose neighbours are looked at together: each step costs the same, few or many


def walk_table(
    scorer: Scorer,
    query: Query,
    table: Rows,
    seeds: Rows,
    marks: tuple[np.ndarray, np.uint32],
    view: int,
    steps: int,
) -> Rows:
    """Return up to `view` rows near the query, nearest first, shape (c,).

    Parameters
    ----------
    table
        Neighbours of each product, shape (n, T), padded with −1.
    seeds
        Where to begin.
    marks
        Shape (n,), and the number by which rows that were seen are marked in it.
    view
        Rows that are kept in view.
    steps
        How often the neighbours of the best rows are looked at that were not followed yet.
    """
    weighted = scorer.weighted(query).astype(np.float32)
    prior = np.float32(scorer.weights.get("prior", 0.0))

    def scored(rows: Rows) -> Float:
        scores: Float = scorer.vectors[rows] @ weighted + prior * scorer.prior[rows]
        return scores

    seen, mark = marks
    seen[seeds] = mark
    rows, scores, followed = seeds, scored(seeds), np.zeros(len(seeds), dtype=bool)
    for _ in range(steps):
        order = np.argsort(-scores)[:view]
        rows, scores, followed = rows[order], scores[order], followed[order]
        ahead = np.flatnonzero(~followed)[:FOLLOWED]
        followed[ahead] = True
        near = table[rows[ahead]].ravel()
        near = near[(near >= 0) & (seen[near] != mark)]
        place = np.arange(len(near), dtype=np.uint32)
        seen[near] = place  # of a row that is met twice, one place stays
        near = near[seen[near] == place]
        seen[near] = mark
        rows, scores = np.concatenate([rows, near]), np.concatenate([scores, scored(near)])
        followed = np.concatenate([followed, np.zeros(len(near), dtype=bool)])
    return rows[np.argsort(-scores)[:view]]
