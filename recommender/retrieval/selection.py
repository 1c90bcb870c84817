"""Select the exact top k from estimated scores."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Double, Float, Rows
from recommender.core.scoring import COMPILED_MIN_ROWS, Query, Scorer
from recommender.retrieval.kernels import kernels

OUT = np.float32(-np.inf)  # the score of an ineligible row
# Up to EXACT_ROWS * k rows are scored exactly without an estimate first, which would take as long.
EXACT_ROWS = 8
COMPILED_MAX_K = 256  # the compiled loops insert into a sorted list
# From rows to estimated scores and twice their largest error.
Estimate = Callable[[Rows], tuple[Float, float]]


@dataclass(frozen=True)
class Selection:
    """The best rows of one query, best first.

    Parameters
    ----------
    rows
        Shape (k,) or shorter, by descending score, ties by id.
    scores
        Shape (k,).
    """

    rows: Rows
    scores: Double

    def first(self, k: int, groups: Rows | None) -> "Selection":
        """Return the best `k`; with variant `groups`, shape (n,), only the best of each group."""
        if groups is None:
            return Selection(self.rows[:k], self.scores[:k])
        best: dict[int, int] = {}
        for position, row in enumerate(self.rows.tolist()):
            best.setdefault(groups.item(row), position)
            if len(best) == k:
                break
        positions = [*best.values()]
        return Selection(self.rows[positions], self.scores[positions])


def select(
    scorer: Scorer,
    query: Query,
    estimates: Float,
    slack: float,
    rows: Rows | None,
    k: int,
    groups: Rows | None,
) -> Selection:
    """Select the exact top k.

    Every row whose estimate is within `slack` of the best k is scored exactly, so the result equals that of an
    exact scan over the given rows.

    Parameters
    ----------
    estimates
        Estimated scores, shape (c,), `OUT` where a row is ineligible.
    slack
        Twice the largest error of an estimate.
    rows
        Rows of the estimates, shape (c,); None for all rows, shape (n,).
    groups
        Variant groups, shape (n,): only the best of a group is returned. None returns all.
    """

    def best(size: int) -> Selection:
        near = nearest(estimates, size, slack)
        return ranked(scorer, query, (near if rows is None else rows[near]).astype(np.int32, copy=False), size)

    return grouped(best, len(estimates), k, groups)


def grouped(best: Callable[[int], Selection], count: int, k: int, groups: Rows | None) -> Selection:
    """Return the best `k`, only the best of each variant group, from the shortest list that suffices.

    Parameters
    ----------
    best
        Returns the given number of best rows, or all if there are fewer.
    count
        Number of rows.
    groups
        Variant groups, shape (n,); None returns all.
    """
    size = min(count, k if groups is None else 2 * k + 8)
    while True:
        longer = best(size)
        selection = longer.first(k, groups)
        if len(selection.rows) >= k or len(longer.rows) < size or size == count:
            return selection
        size = min(count, 4 * size)


def ranked(scorer: Scorer, query: Query, rows: Rows, size: int, estimate: Estimate | None = None) -> Selection:
    """Return the best `size` of `rows` by exact score, ties by id.

    Parameters
    ----------
    estimate
        Estimates the scores of many rows, so that fewer are scored exactly; None: all of them are.
    """
    if estimate is not None and len(rows) > EXACT_ROWS * size:
        line, slack = estimate(rows)
        rows = rows[nearest(line, size, slack)]
    scores = scorer.total(scorer.parts(query, rows))
    id_ranks = rows if scorer.id_ranks is None else scorer.id_ranks[rows]
    order = _order(scores, id_ranks, size)
    return Selection(rows[order], scores[order])


def _order(scores: Double, id_ranks: Rows, size: int) -> np.ndarray:
    """Return the positions of the best `size` by score, ties by id."""
    if len(scores) <= EXACT_ROWS * size:
        return np.lexsort((id_ranks, -scores))[:size]
    # where most rows score the same, as without co-occurrence, to sort them all would take longer than the rest
    cut = np.partition(scores, len(scores) - size)[len(scores) - size]
    above, ties = np.flatnonzero(scores > cut), np.flatnonzero(scores == cut)
    wanted = size - len(above)
    ties = ties[np.argpartition(id_ranks[ties], wanted - 1)[:wanted]]
    best = np.concatenate([above, ties])
    return best[np.lexsort((id_ranks[best], -scores[best]))]


def nearest(estimates: Float | Double, size: int, slack: float) -> np.ndarray:
    """Return the positions that could be among the best `size`: at least so many, or all eligible ones."""
    if size == 0:
        return np.empty(0, dtype=np.int64)
    loops = kernels() if len(estimates) > COMPILED_MIN_ROWS and size <= COMPILED_MAX_K else None
    if loops is not None:
        positions: np.ndarray = loops.within_slack(estimates, size, slack)
        return positions
    cut = np.partition(estimates, len(estimates) - size)[len(estimates) - size]
    return np.flatnonzero((estimates >= cut - slack) & (estimates > OUT))


def largest(values: Float | Double, k: int) -> np.ndarray:
    """Return the positions of the k largest values, best first, of equal ones the first; never those of -inf."""
    near = nearest(values, k, 0.0)  # ascending, so that a stable sort breaks ties by position
    return near[np.argsort(-values[near], kind="stable")[:k]]
