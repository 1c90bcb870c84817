"""Takes new co-occurrence and popularity into the neighbour table, without comparing all pairs again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from recommender.core.blocks import Double, Rows
from recommender.core.scoring import Scorer
from recommender.core.segment import Segment
from recommender.progress import progress
from recommender.retrieval.selection import Selection, ranked
from training.retrieval.neighbours import BLOCK, MAX_EXACT_ROWS, by_all_pairs, rows_by_kind

# Products whose prior has risen most are compared with all others; what the rest may have gained limits the lists.
MAX_RISEN = 512
MIN_SHARE = 0.25  # of the entries of the table; with fewer left by earlier refreshes, all pairs are compared again
ROUNDING = 1e-9


def refreshed_neighbours(
    before: Segment, after: Segment, weights: Mapping[str, Mapping[str, float]], kinds: Sequence[str]
) -> Segment:
    """Return the products with their neighbour table; it is that of before if no weight of it concerns events.

    A list stays the beginning of the exact ranking. What is not in it scored no more than its last entry, and has
    gained no more than the prior's largest rise: entries above that sum are certain, others are cut off. A request
    that needs more is answered by a search.

    Parameters
    ----------
    before
        The products with their neighbour table.
    after
        The same with other prior and C, without a table.
    weights, kinds
        Kinds of request to learned weights; names of the weights that apply to each product.
    """
    assert before.neighbours is not None
    assert before.neighbour_scores is not None
    changed = {kind: rows for kind, rows in rows_by_kind(kinds).items() if _depends(weights[kind])}
    if not changed:
        return replace(after, neighbours=before.neighbours, neighbour_scores=before.neighbour_scores)
    table, scores = np.array(before.neighbours), np.array(before.neighbour_scores)
    for kind, rows in changed.items():
        update = _ListUpdate(before, after, weights[kind])
        lists = update.lists(rows)
        if after.n <= MAX_EXACT_ROWS and np.mean(before.neighbours[rows] >= 0) < MIN_SHARE:
            lists = update.full_lists(rows)
        for row, best in progress(lists, f"neighbours of {kind}", len(rows), "product"):
            table[row], scores[row] = -1, 0.0
            table[row, : len(best.rows)], scores[row, : len(best.rows)] = best.rows, best.scores
    return replace(after, neighbours=table, neighbour_scores=scores)


def _depends(weights: Mapping[str, float]) -> bool:
    return bool(weights.get("cooccurrence") or weights.get("prior"))


class _ListUpdate:
    """Finds the lists of products whose requests have the same weights."""

    def __init__(self, before: Segment, after: Segment, weights: Mapping[str, float]) -> None:
        self._before, self._after, self._weights = before, after, weights
        self._scorer = Scorer(after.vectors, after.prior, after.layout, weights, id_ranks=after.id_ranks)
        removed = np.zeros(after.n, dtype=bool)
        removed[after.cooccurrence.removed] = True
        self._removed = removed
        rise = np.where(removed, -np.inf, after.prior.astype(np.float64) - before.prior)
        order = np.argsort(-rise, kind="stable")
        weight = weights.get("prior", 0.0)
        self._risen: Rows = np.sort(order[:MAX_RISEN][rise[order[:MAX_RISEN]] > 0]).astype(np.int32)
        self._risen = self._risen if weight else self._risen[:0]
        self._gain = weight * max(0.0, float(rise[order[MAX_RISEN]])) if len(order) > MAX_RISEN else 0.0
        live = ~removed
        groups = after.groups
        self._others = live.sum() - np.bincount(groups[live], minlength=int(groups.max(initial=0)) + 1)[groups]

    def lists(self, rows: Rows) -> Iterator[tuple[int, Selection]]:
        """Yield the new list of each row."""
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK].tolist()
            queries = [self._after.item_query(row) for row in block]
            lines = self._scorer.estimate(queries, self._risen) if len(self._risen) else np.zeros((len(block), 0))
            for row, query, line in zip(block, queries, lines, strict=True):
                bound = self._bound(row)
                near = self._risen[line >= bound - self._scorer.slack(query)]
                candidates = self._candidates(row, near, query.cooccurrence_rows)
                estimates = self._scorer.estimate([query], candidates)[0]
                candidates = candidates[estimates >= bound - self._scorer.slack(query)]
                best = ranked(self._scorer, query, candidates, self._width)
                certain = best.scores > bound
                yield row, Selection(best.rows[certain], best.scores[certain])

    def full_lists(self, rows: Rows) -> Iterator[tuple[int, Selection]]:
        """Yield the list of each row from a comparison with all products."""
        removed = np.flatnonzero(self._removed).astype(np.int32)
        selections = by_all_pairs(self._after, self._scorer, self._width, rows, removed)
        yield from zip(rows.tolist(), selections, strict=True)

    @property
    def _width(self) -> int:
        assert self._before.neighbours is not None
        return self._before.neighbours.shape[1]

    def _candidates(self, row: int, near: Rows, co_occurring: Rows) -> Rows:
        assert self._before.neighbours is not None
        entries = self._before.neighbours[row]
        candidates = np.unique(np.concatenate([entries[entries >= 0], near, co_occurring]))
        groups = self._after.groups
        return candidates[(groups[candidates] != groups[row]) & ~self._removed[candidates]].astype(np.int32)

    def _bound(self, row: int) -> float:
        """Return what no product can score that was not in the list, is not in C and has not risen most."""
        assert self._before.neighbours is not None
        assert self._before.neighbour_scores is not None
        count = int((self._before.neighbours[row] >= 0).sum())
        if count == self._others[row]:
            return -np.inf
        scores: Double = self._before.neighbour_scores[row]
        return float(scores[count - 1]) + self._gain + ROUNDING if count else np.inf
