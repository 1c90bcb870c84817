"""Updates the neighbour table for changed, new and removed products without comparing all pairs again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from recommender.core.blocks import Double, Float, Mask, Rows
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.progress import progress
from recommender.retrieval.selection import Selection, ranked
from training.retrieval.neighbours import by_all_pairs, rows_by_kind

CHUNK = 4096


class NeighbourUpdate:
    """Finds the lists that change, and their new entries.

    A list is the beginning of the exact ranking, so that all other products rank after its last entry. Changed
    products that rank before that entry are merged in. A list that loses products becomes shorter; a request that
    needs more is answered by a scan.

    Parameters
    ----------
    before
        The products with their neighbour table, shape (n, T).
    after
        The products after the update, without a table.
    weights, kinds
        Kinds of request to learned weights; names of the weights that apply to each product of `after`.
    changed
        Rows changed or added, ascending.
    removed
        All rows without a product after and before the update.
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
            Scorer(after.vectors, after.prior, after.layout, weights[kind], id_ranks=after.id_ranks)
            for kind in rows
        ]
        self._scorer_of = np.zeros(after.n, dtype=np.int32)
        for number, of_kind in enumerate(rows.values()):
            self._scorer_of[of_kind] = number
        self._touched = np.zeros(after.n, dtype=bool)
        self._touched[changed], self._touched[self._removed] = True, True
        self._id_ranks = np.arange(after.n) if after.id_ranks is None else after.id_ranks

    def lists(self) -> Iterator[tuple[int, Selection]]:
        """Yield each row whose list changes, and the new list."""
        width = self._lists.shape[1]
        live = np.setdiff1d(self._changed, self._removed)
        for number, scorer in enumerate(self._scorers):
            of_kind = live[self._scorer_of[live] == number]
            selections = by_all_pairs(self._after, scorer, width, of_kind, self._removed)
            yield from zip(of_kind.tolist(), selections, strict=True)
        starts = range(0, self._before.n, CHUNK)
        for start in progress(starts, "neighbours", len(starts), "chunk"):
            rows = np.arange(start, min(start + CHUNK, self._before.n))
            bounds = self._bounds(rows)
            near = self._estimates(rows, live) >= bounds[:, None] - self._slack()
            lists = self._lists[rows]
            lost = (self._touched[lists] & (lists >= 0)).any(axis=1)
            affected = (near.any(axis=1) | lost) & ~self._touched[rows]
            for index in np.flatnonzero(affected).tolist():
                row = int(rows[index])
                yield row, self._merged(row, live[near[index]], float(bounds[index]))

    def _merged(self, row: int, near: Rows, bound: float) -> Selection:
        """Return a list without its changed entries, and with those of `near` that rank before its end."""
        entries = self._lists[row]
        entries = entries[entries >= 0]
        unchanged = ~self._touched[entries]
        query = self._after.item_query(row)
        near = near[self._after.groups[near] != self._after.groups[row]]
        new = ranked(self._scorers[self._scorer_of[row]], query, near, len(near))
        ranked_before = new.scores > bound
        if len(entries):  # ties are broken by id
            ranked_before |= (new.scores == bound) & (self._id_ranks[new.rows] < self._id_ranks[entries[-1]])
        rows = np.concatenate([entries[unchanged], new.rows[ranked_before]]).astype(np.int32)
        scores = np.concatenate([self._scores[row, : len(entries)][unchanged], new.scores[ranked_before]])
        order = np.lexsort((self._id_ranks[rows], -scores))[: self._lists.shape[1]]
        return Selection(rows[order], scores[order])

    def _bounds(self, rows: np.ndarray) -> Double:
        """Return the score of each list's last entry, shape (b,); −inf if the list is complete, inf if empty."""
        counts = (self._lists[rows] >= 0).sum(axis=1)
        last = self._scores[rows, np.maximum(counts - 1, 0)]
        return np.where(counts == self._others[rows], -np.inf, np.where(counts > 0, last, np.inf))

    @cached_property
    def _others(self) -> np.ndarray:
        """Number of products that each row's list could have had before, shape (n,)."""
        live: Mask = np.ones(self._before.n, dtype=bool)
        live[self._removed_before] = False
        groups = self._before.groups
        return live.sum() - np.bincount(groups[live], minlength=int(groups.max(initial=0)) + 1)[groups]

    def _estimates(self, rows: np.ndarray, live: Rows) -> Float:
        """Return estimated scores of the changed products for consecutive rows, shape (b, c)."""
        after, kind = self._after, self._scorer_of[rows]
        weights = [scorer.weights for scorer in self._scorers]
        matrix = (after.vectors[rows] * np.stack([*map(after.layout.spread, weights)])[kind]).astype(np.float32)
        prior, cooccurrence = (
            np.array([each.get(term, 0.0) for each in weights], dtype=np.float32)[kind, None]
            for term in ("prior", "cooccurrence")
        )
        scores: Float = matrix @ after.vectors[live].T + prior * after.prior[live]
        if cooccurrence.any() and len(live):
            table = after.cooccurrence
            first, last = table.indptr[rows[0]], table.indptr[rows[-1] + 1]
            columns = table.indices[first:last]
            position = np.minimum(np.searchsorted(live, columns), len(live) - 1)
            hit = live[position] == columns
            line = np.repeat(np.arange(len(rows)), np.diff(table.indptr[rows[0] : rows[-1] + 2]))
            scores[line[hit], position[hit]] += cooccurrence[line[hit], 0] * table.values[first:last][hit]
        return scores

    def _slack(self) -> float:
        """Return an upper bound of the slack of any product's query, whose blocks have norm 1 at most."""
        longest = np.zeros(self._after.layout.d, dtype=np.float32)
        longest[[columns.start for columns in self._after.layout.slices.values()]] = 1.0
        strongest = self._after.cooccurrence.values.max(initial=0.0)
        query = replace(Query.free(longest), cooccurrence=np.array([strongest], dtype=np.float64))
        return max(scorer.slack(query) for scorer in self._scorers)
