"""The exact choice of the best k among rows whose estimated scores are known."""

from dataclasses import dataclass

import numpy as np

from recommender.blocks import Double, Float, Rows
from recommender.scoring import Query, Scorer

OUT = np.float32(-np.inf)  # the estimate of a row that may not be answered


@dataclass(frozen=True)
class Selection:
    """The best rows of one question, best first.

    Parameters
    ----------
    rows
        Shape (k,) or shorter, in non-increasing score; ties by row, which is ties by id.
    scores
        Shape (k,).
    parts
        The terms of each score, shape (k, M + 2), see `Scorer.terms`.
    """

    rows: Rows
    scores: Double
    parts: Double


def select(
    scorer: Scorer, query: Query, estimates: Float, rows: Rows | None, k: int, groups: Rows | None
) -> Selection:
    """Choose the exact best k.

    Everything whose estimate could be among the best is scored by the exact kernel, so the answer is that of an
    exact scan over the rows given.

    Parameters
    ----------
    estimates
        Estimated scores, shape (c,), `OUT` where a row may not be answered.
    rows
        The rows that the estimates belong to, ascending, shape (c,); None if they are all rows, shape (n,).
    groups
        Variant groups, shape (n,): only the best of a group is kept. None keeps all.
    """
    possible = int(np.count_nonzero(estimates > OUT))
    wanted = min(possible, k if groups is None else 2 * k + 8)
    slack = scorer.slack(query)
    while True:
        best = _exact(scorer, query, _near(estimates, wanted, slack), rows, wanted)
        kept = best if groups is None else _first_of_group(best, groups)
        if len(kept.rows) >= k or wanted == possible:
            return Selection(kept.rows[:k], kept.scores[:k], kept.parts[:k])
        wanted = min(possible, 4 * wanted)


def _near(estimates: Float, wanted: int, slack: float) -> np.ndarray:
    """Positions that could be among the best `wanted`."""
    if wanted == 0:
        return np.empty(0, dtype=np.int64)
    cut = np.partition(estimates, len(estimates) - wanted)[len(estimates) - wanted]
    return np.flatnonzero((estimates >= cut - slack) & (estimates > OUT))


def _exact(scorer: Scorer, query: Query, near: np.ndarray, rows: Rows | None, wanted: int) -> Selection:
    candidates = (near if rows is None else rows[near]).astype(np.int32)
    return ranked(scorer, query, candidates, wanted)


def ranked(scorer: Scorer, query: Query, rows: Rows, wanted: int) -> Selection:
    """Score `rows` exactly and return the best `wanted`, ties by row."""
    parts = scorer.parts(query, rows)
    scores = scorer.total(parts)
    order = np.lexsort((rows, -scores))[:wanted]
    return Selection(rows[order], scores[order], parts[order])


def _first_of_group(best: Selection, groups: Rows) -> Selection:
    first = np.sort(np.unique(groups[best.rows], return_index=True)[1])
    return Selection(best.rows[first], best.scores[first], best.parts[first])
