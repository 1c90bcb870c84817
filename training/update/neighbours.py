"""The neighbour table after some products were changed, added or removed, without comparing all pairs again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from recommender.core.blocks import Double, Float, Mask, Rows
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.progress import progress
from recommender.retrieval.selection import Selection, ranked
from recommender.towers.user import item_query
from training.retrieval.neighbours import by_all_pairs, rows_by_kind

CHUNK = 4096


class NeighbourPatch:
    """Works out which lists change, and to what.

    A list is the beginning of the exact order, so what is not in it comes after its last entry. Of the products
    that changed, those that come before that entry are merged in; a list that loses products becomes shorter, and
    is followed by a scan where it comes short.

    Parameters
    ----------
    before
        The products with their table, shape (n, T).
    after
        The products as they are now, without a table.
    weights, kinds
        Kinds of question to learned weights; whose weights count for each product of `after`.
    changed
        Rows changed or added, ascending.
    removed
        All rows that hold no product now, and those that held none before.
    """

    def __init__(
        self,
        before: Segment,
        after: Segment,
        weights: Mapping[str, Mapping[str, float]],
        kinds: Sequence[str],
        changed: Rows,
        removed: tuple[Rows, Rows],
    ) -> None:
        assert before.neighbours is not None
        assert before.neighbour_scores is not None
        self._lists, self._scores = before.neighbours, before.neighbour_scores
        self._before, self._after, self._changed = before, after, changed
        self._removed, self._removed_before = removed
        rows = rows_by_kind(kinds)
        self._scorers = [
            Scorer(after.vectors, after.prior, after.layout, weights[kind], places=after.places) for kind in rows
        ]
        self._scorer_of = np.zeros(after.n, dtype=np.int32)
        for number, own in enumerate(rows.values()):
            self._scorer_of[own] = number
        self._touched = np.zeros(after.n, dtype=bool)
        self._touched[changed], self._touched[self._removed] = True, True
        self._places = np.arange(after.n) if after.places is None else after.places

    def lists(self) -> Iterator[tuple[int, Selection]]:
        """Yield each row whose list is another now, and the list."""
        width = self._lists.shape[1]
        live = np.setdiff1d(self._changed, self._removed)
        for number, scorer in enumerate(self._scorers):
            own = live[self._scorer_of[live] == number]
            anew = by_all_pairs(self._after, scorer, width, own, self._removed)
            yield from zip(own.tolist(), anew, strict=True)
        starts = range(0, self._before.n, CHUNK)
        for start in progress(starts, "neighbours", len(starts), "chunk"):
            rows = np.arange(start, min(start + CHUNK, self._before.n))
            bounds = self._bounds(rows)
            near = self._estimates(rows, live) >= bounds[:, None] - self._slack()
            lists = self._lists[rows]
            lost = (self._touched[lists] & (lists >= 0)).any(axis=1)
            affected = (near.any(axis=1) | lost) & ~self._touched[rows]
            for place in np.flatnonzero(affected).tolist():
                row = int(rows[place])
                yield row, self._merged(row, live[near[place]], float(bounds[place]))

    def _merged(self, row: int, near: Rows, bound: float) -> Selection:
        """Return a list without what was touched, and with what of `near` comes before its end."""
        entries = self._lists[row]
        entries = entries[entries >= 0]
        keep = ~self._touched[entries]
        query = item_query(self._after, row)
        near = near[self._after.groups[near] != self._after.groups[row]]
        new = ranked(self._scorers[self._scorer_of[row]], query, near, len(near))
        certain = new.scores > bound
        if len(entries):  # of equal scores the one comes first whose id does
            certain |= (new.scores == bound) & (self._places[new.rows] < self._places[entries[-1]])
        rows = np.concatenate([entries[keep], new.rows[certain]]).astype(np.int32)
        scores = np.concatenate([self._scores[row, : len(entries)][keep], new.scores[certain]])
        order = np.lexsort((self._places[rows], -scores))[: self._lists.shape[1]]
        return Selection(rows[order], scores[order])

    def _bounds(self, rows: np.ndarray) -> Double:
        """Return the score of each list's last entry; −inf where it names all there are, inf where none, (b,)."""
        counts = (self._lists[rows] >= 0).sum(axis=1)
        last = self._scores[rows, np.maximum(counts - 1, 0)]
        return np.where(counts == self._others[rows], -np.inf, np.where(counts > 0, last, np.inf))

    @cached_property
    def _others(self) -> np.ndarray:
        """How many products each row could have in its list before, shape (n,)."""
        live: Mask = np.ones(self._before.n, dtype=bool)
        live[self._removed_before] = False
        groups = self._before.groups
        return live.sum() - np.bincount(groups[live], minlength=int(groups.max(initial=0)) + 1)[groups]

    def _estimates(self, rows: np.ndarray, live: Rows) -> Float:
        """Return estimated scores of the changed for a run of rows, shape (b, c)."""
        after, own = self._after, self._scorer_of[rows]
        weights = [scorer.weights for scorer in self._scorers]
        matrix = (after.vectors[rows] * np.stack([*map(after.layout.spread, weights)])[own]).astype(np.float32)
        prior, together = (
            np.array([each.get(term, 0.0) for each in weights], dtype=np.float32)[own, None]
            for term in ("prior", "cooccurrence")
        )
        scores: Float = matrix @ after.vectors[live].T + prior * after.prior[live]
        if together.any() and len(live):
            table = after.cooccurrence
            first, last = table.indptr[rows[0]], table.indptr[rows[-1] + 1]
            columns = table.indices[first:last]
            place = np.minimum(np.searchsorted(live, columns), len(live) - 1)
            hit = live[place] == columns
            line = np.repeat(np.arange(len(rows)), np.diff(table.indptr[rows[0] : rows[-1] + 2]))
            scores[line[hit], place[hit]] += together[line[hit], 0] * table.values[first:last][hit]
        return scores

    def _slack(self) -> float:
        """Return the slack that no product's query exceeds: each of its blocks has norm 1 at most."""
        longest = np.zeros(self._after.layout.d, dtype=np.float32)
        longest[[place.start for place in self._after.layout.slices.values()]] = 1.0
        strongest = self._after.cooccurrence.values.max(initial=0.0)
        query = replace(Query.free(longest), together=np.array([strongest], dtype=np.float64))
        return max(scorer.slack(query) for scorer in self._scorers)
