"""The exact choice of the best k among rows whose estimated scores are known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Double, Float, Rows
from recommender.core.scoring import Query, Scorer
from recommender.retrieval.kernels import kernels

OUT = np.float32(-np.inf)  # the estimate of a row that may not be answered
# Up to so many rows per answer are scored exactly at once: an estimate of a few takes as long as of a hundred.
MANY = 8
# A shop with fewer products need not load the compiled loops; a longer list is no longer sorted in by hand.
LONG, SHORT = 8_000, 256


@dataclass(frozen=True)
class Selection:
    """The best rows of one question, best first.

    Parameters
    ----------
    rows
        Shape (k,) or shorter, in non-increasing score; ties by id.
    scores
        Shape (k,).
    """

    rows: Rows
    scores: Double

    def first(self, k: int, groups: Rows | None) -> "Selection":
        """Return the best `k`; with variant `groups`, shape (n,), only the best of a group each."""
        if groups is None:
            return Selection(self.rows[:k], self.scores[:k])
        best: dict[int, int] = {}
        for place, row in enumerate(self.rows.tolist()):
            best.setdefault(groups.item(row), place)
            if len(best) == k:
                break
        places = [*best.values()]
        return Selection(self.rows[places], self.scores[places])


def select(
    scorer: Scorer,
    query: Query,
    estimates: Float,
    slack: float,
    rows: Rows | None,
    k: int,
    groups: Rows | None,
) -> Selection:
    """Choose the exact best k.

    Everything whose estimate could be among the best is scored by the exact kernel, so the answer is that of an
    exact scan over the rows given.

    Parameters
    ----------
    estimates
        Estimated scores, shape (c,), `OUT` where a row may not be answered.
    slack
        Twice the largest error of an estimate.
    rows
        The rows that the estimates belong to, shape (c,); None if they are all rows, shape (n,).
    groups
        Variant groups, shape (n,): only the best of a group is kept. None keeps all.
    """

    def best(wanted: int) -> Selection:
        near = nearest(estimates, wanted, slack)
        return ranked(scorer, query, (near if rows is None else rows[near]).astype(np.int32, copy=False), wanted)

    return grouped(best, len(estimates), k, groups)


def grouped(best: Callable[[int], Selection], most: int, k: int, groups: Rows | None) -> Selection:
    """Return the best `k`, of a variant group only the best, by as short a list as gives them.

    Parameters
    ----------
    best
        Returns as many of the best rows as it is asked for, fewer where there are no more.
    most
        Rows that there are at most.
    groups
        Shape (n,); None keeps all.
    """
    wanted = min(most, k if groups is None else 2 * k + 8)
    while True:
        found = best(wanted)
        kept = found.first(k, groups)
        if len(kept.rows) >= k or len(found.rows) < wanted or wanted == most:
            return kept
        wanted = min(most, 4 * wanted)


def ranked(scorer: Scorer, query: Query, rows: Rows, wanted: int) -> Selection:
    """Return the best `wanted` of `rows` by exact score, ties by id."""
    if len(rows) > MANY * wanted:
        near = nearest(scorer.estimate([query], rows)[0], wanted, scorer.slack(query))
        rows = rows[near]
    scores = scorer.total(scorer.parts(query, rows))
    places = rows if scorer.places is None else scorer.places[rows]
    order = np.lexsort((places, -scores))[:wanted]
    return Selection(rows[order], scores[order])


def nearest(estimates: Float, wanted: int, slack: float) -> np.ndarray:
    """Return positions that could be among the best `wanted`: at least so many, or all that may be answered."""
    if wanted == 0:
        return np.empty(0, dtype=np.int64)
    loops = kernels() if len(estimates) > LONG and wanted <= SHORT else None
    if loops is not None:
        found: np.ndarray = loops.near(estimates, wanted, slack)
        return found
    cut = np.partition(estimates, len(estimates) - wanted)[len(estimates) - wanted]
    return np.flatnonzero((estimates >= cut - slack) & (estimates > OUT))
