"""The planner: chooses how candidates of a query are retrieved, so that lists are full and scores exact.

Plans, cheapest first: `neighbours` (for a product of the catalogue under the learned weights, its row of the
neighbour table), `annoy+graph` (entry points from Annoy and a walk over the graph of neighbours, scored exactly;
without numba `annoy+hop`: more rows from Annoy and a walk over the neighbour table) and `exact` (a scan of all
eligible rows). Where a plan returns fewer than k rows, `exact` follows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from recommender.core.blocks import Float, Rows
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.retrieval.candidates import ENTRIES, Index
from recommender.retrieval.codes import Codes
from recommender.retrieval.eligibility import Eligibility, among
from recommender.retrieval.kernels import kernels
from recommender.retrieval.selection import Selection, grouped, nearest, ranked, select
from recommender.retrieval.table_walk import walk_table

# Below this many rows a scan is no slower than a walk.
SCAN_ROWS = 8_000
# Where a filter matches a smaller share, the matching rows are scanned.
WALK_SHARE = 0.1
# To walk among a share s of the products takes as long as to scan (WALK_ROWS + ROWS_EACH * (width + entries)) / s.
WALK_ROWS, ROWS_EACH = 500, 25
# Without the graph, a filter that matches a smaller share is answered by a scan: too few candidates would match.
HOP_SHARE = 0.5
# Minimum width of a walk over the neighbour table.
VIEW = 64
# Rows with the highest prior, and with the strongest co-occurrence, that are candidates too.
EXTRA = 200
# Queries of one matrix product: the more, the faster, while their scores are at most SCAN_CELLS.
SCAN_CHUNK, MAX_CHUNK, SCAN_CELLS = 64, 512, 1 << 25


@dataclass(frozen=True)
class Budget:
    """Search budget of one operating point, chosen at the build by measured recall.

    Parameters
    ----------
    width
        Beam width of the walk over the graph; 0 where there is no graph.
    seeds, search_k, steps
        Without the graph: rows from Annoy, nodes it inspects, and steps over the neighbour table from there.
    entries
        Rows from Annoy at which a walk over the graph starts.
    """

    width: int
    seeds: int
    search_k: int
    steps: int = 8
    entries: int = ENTRIES


@dataclass(frozen=True)
class Budgets:
    """The search budgets of one bundle; None where a scan is the better plan.

    Parameters
    ----------
    learned
        For the learned weights of items and users.
    other
        For any other weights.
    single
        For one block alone, with or without a filter: the edges of the graph follow all blocks.
    filtered
        For several blocks and a filter.
    """

    learned: Budget | None = None
    other: Budget | None = None
    single: Budget | None = None
    filtered: Budget | None = None


@dataclass(frozen=True)
class RowQuery:
    """One query for rows.

    Parameters
    ----------
    query
        The query vector.
    k
        How many rows, at least 1.
    excluded
        Rows that are not returned, ascending.
    table_row
        The row of the neighbour table that answers the query: for a product under its learned weights.
    """

    query: Query
    k: int
    excluded: Rows
    table_row: int | None = None


@dataclass(frozen=True)
class RowResult:
    """The best rows of a query, the plan that found them, and the numbers of eligible and of scored rows."""

    selection: Selection
    plan: str
    eligible: int
    candidates: int


Plan = Callable[[Scorer, RowQuery, Eligibility], tuple[Selection, str, int]]


@dataclass(frozen=True)
class Planner:
    """Retrieves and scores the rows of one segment.

    Parameters
    ----------
    segment
        The products.
    index
        Retrieves candidates; None while a bundle is built or evaluated: every answer is a scan.
    budgets
        Search budgets by kind of query.
    learned
        The weights that `budgets.learned` was measured with.
    fresh
        Rows that changed since the index was built, shape (c,): candidates of every query.
    """

    segment: Segment
    index: Index | None = None
    budgets: Budgets = Budgets()
    learned: Sequence[Mapping[str, float]] = ()
    fresh: Rows | None = None

    def search(
        self, scorer: Scorer, row_query: RowQuery, eligibility: Eligibility, plan: str = "auto"
    ) -> RowResult:
        """Return the best rows of one query; `plan` is "auto", "exact" or "annoy"."""
        eligible = eligibility.eligible(row_query.excluded)
        wanted = min(row_query.k, eligible)
        for attempt in self._plans(scorer, row_query, eligibility, plan):
            selection, name, candidates = attempt(scorer, row_query, eligibility)
            if len(selection.rows) == wanted:
                return RowResult(selection, name, eligible, candidates)
        raise AssertionError("the exact plan always fills the list")

    def search_many(
        self, scorer: Scorer, row_queries: Sequence[RowQuery], eligibility: Eligibility, plan: str = "auto"
    ) -> Iterator[RowResult]:
        """Yield the best rows of many queries, each as `search` would: by neighbour table or matrix product."""
        tabled = self.segment.neighbours is not None and not scorer.extra and eligibility.subset is None
        if plan == "annoy" or (
            plan == "auto" and tabled and all(row_query.table_row is not None for row_query in row_queries)
        ):
            yield from (self.search(scorer, row_query, eligibility, plan) for row_query in row_queries)
            return
        rows = eligibility.to_scan()
        scanned = self.segment.n if rows is None else len(rows)
        size = min(max(SCAN_CHUNK, SCAN_CELLS // max(scanned, 1)), MAX_CHUNK)
        buffer = np.empty(
            (min(size, len(row_queries)), scanned), dtype=np.float32
        )  # new memory is slow to write to
        for start in range(0, len(row_queries), size):
            chunk = row_queries[start : start + size]
            lines = scorer.estimate([row_query.query for row_query in chunk], rows, buffer[: len(chunk)])
            for row_query, line in zip(chunk, lines, strict=True):
                best = self._choose(scorer, row_query, eligibility, line, scorer.slack(row_query.query), rows)
                yield RowResult(best, "exact", eligibility.eligible(row_query.excluded), len(line))

    def _plans(self, scorer: Scorer, row_query: RowQuery, eligibility: Eligibility, plan: str) -> Iterator[Plan]:
        if not self._indexed(scorer):
            yield self._exact
            return
        if plan == "auto" and row_query.table_row is not None and self.segment.neighbours is not None:
            yield self._neighbours
        budget = self._budget(scorer, eligibility)
        if plan == "annoy" and self.index is not None:
            yield self._candidates(budget or self.budgets.learned or Budget(4 * row_query.k, 8 * row_query.k, -1))
        large = budget is not None and eligibility.count > SCAN_ROWS
        if plan == "auto" and budget is not None and large and self._broad(eligibility, budget):
            yield self._candidates(budget)
        yield self._exact

    def _budget(self, scorer: Scorer, eligibility: Eligibility) -> Budget | None:
        learned = scorer.weights in self.learned
        if not learned and sum(scorer.weights.get(name, 0.0) > 0 for name in scorer.layout.names) == 1:
            return self.budgets.single
        if eligibility.subset is not None:
            return self.budgets.filtered
        return self.budgets.learned if learned else self.budgets.other

    def _indexed(self, scorer: Scorer) -> bool:
        """Return whether the index approximates the score: not with other terms, or another prior."""
        return not scorer.extra and scorer.prior is self.segment.prior

    def _broad(self, eligibility: Eligibility, budget: Budget) -> bool:
        """Return whether the filter matches enough rows for a walk to meet candidates."""
        share = eligibility.count / self.segment.n
        if not self._walks(budget):
            return share >= HOP_SHARE
        walk = WALK_ROWS + ROWS_EACH * (budget.width + budget.entries)
        return share >= WALK_SHARE and share * eligibility.count >= walk

    def _neighbours(
        self, scorer: Scorer, row_query: RowQuery, eligibility: Eligibility
    ) -> tuple[Selection, str, int]:
        """Return the row of the neighbour table without ineligible rows; it stays in order of score."""
        assert self.segment.neighbours is not None
        assert self.segment.neighbour_scores is not None
        rows = self.segment.neighbours[row_query.table_row]
        retained = rows >= 0
        if eligibility.subset is not None:
            retained &= eligibility.subset.mask[rows]
        if len(row_query.excluded) > 1:
            retained &= ~among(rows, row_query.excluded)
        best = Selection(rows[retained], self.segment.neighbour_scores[row_query.table_row][retained])
        return best.first(row_query.k, eligibility.groups), "neighbours", len(rows)

    def _candidates(self, budget: Budget) -> Plan:
        def plan(scorer: Scorer, row_query: RowQuery, eligibility: Eligibility) -> tuple[Selection, str, int]:
            rows = self.candidates(scorer, row_query, eligibility, budget)
            codes = self.index.codes if self.index is not None else None
            if codes is None:
                estimate = partial(_by_vectors, scorer, row_query.query)
            else:
                estimate = partial(self._estimated, codes, scorer, row_query)
            best = grouped(
                lambda wanted: ranked(scorer, row_query.query, rows, wanted, estimate),
                len(rows),
                row_query.k,
                eligibility.groups,
            )
            return best, f"annoy+{'graph' if self._walks(budget) else 'hop'}", len(rows)

        return plan

    def _exact(self, scorer: Scorer, row_query: RowQuery, eligibility: Eligibility) -> tuple[Selection, str, int]:
        rows = eligibility.to_scan()
        codes = self.index.codes if self.index is not None and self._indexed(scorer) else None
        if codes is None:
            line, slack = _by_vectors(scorer, row_query.query, rows)
        else:
            line, slack = self._estimated(codes, scorer, row_query, rows)
        return self._choose(scorer, row_query, eligibility, line, slack, rows), "exact", len(line)

    @staticmethod
    def _choose(
        scorer: Scorer, row_query: RowQuery, eligibility: Eligibility, line: Float, slack: float, rows: Rows | None
    ) -> Selection:
        eligibility.mask_out(line, rows, row_query.excluded)
        return select(scorer, row_query.query, line, slack, rows, row_query.k, eligibility.groups)

    def _walks(self, budget: Budget) -> bool:
        return budget.width > 0 and self.index is not None and self.index.graph is not None

    def candidates(self, scorer: Scorer, row_query: RowQuery, eligibility: Eligibility, budget: Budget) -> Rows:
        """Return the eligible candidate rows of the index, of C and of the prior, each once, shape (c,)."""
        assert self.index is not None
        query, weights = row_query.query, scorer.weights
        if self._walks(budget):
            width = max(budget.width, 2 * row_query.k) + len(row_query.excluded)
            sources = [self.index.walk(scorer, query, width, eligibility.subset, budget.entries)]
        else:
            width = max(VIEW, 2 * row_query.k) + len(row_query.excluded)
            sources = [self.index.candidates(scorer, query, max(budget.seeds, 2 * row_query.k), budget.search_k)]
            if self.segment.neighbours is not None:
                marks = self.index.fresh_marks(self.segment.n)
                table = self.segment.neighbours
                sources = [walk_table(scorer, query, table, sources[0], marks, width, budget.steps)]
        if weights.get("cooccurrence") and len(query.cooccurrence_rows):
            strongest = np.argsort(-query.cooccurrence, kind="stable")[:EXTRA]
            sources.append(query.cooccurrence_rows[strongest])
        if weights.get("repeat") and len(query.repeats.rows):
            sources.append(query.repeats.rows)
        if weights.get("prior"):
            sources.append(self.segment.popular[:EXTRA])
        if self.fresh is not None:
            sources.append(self._best_fresh(scorer, row_query, eligibility, self.fresh))
        return self._distinct(np.concatenate(sources), row_query.excluded, eligibility)

    def _distinct(self, rows: Rows, excluded: Rows, eligibility: Eligibility) -> Rows:
        """Return each eligible row once."""
        loops = kernels()
        if loops is None or self.index is None:
            return eligibility.filter(np.unique(rows), excluded)
        mask = None if eligibility.subset is None else eligibility.subset.mask
        out = np.empty_like(rows)
        return out[: loops.distinct(rows, excluded, mask, *self.index.fresh_marks(self.segment.n), out)]

    def _best_fresh(self, scorer: Scorer, row_query: RowQuery, eligibility: Eligibility, fresh: Rows) -> Rows:
        """Return the fresh rows that could be among the best `EXTRA` of them."""
        rows = eligibility.filter(fresh, row_query.excluded)
        codes = self.index.codes if self.index is not None else None
        if codes is None or len(rows) <= EXTRA:
            return rows
        line, slack = self._estimated(codes, scorer, row_query, rows)
        return rows[nearest(line, EXTRA, slack)]

    @staticmethod
    def _estimated(codes: Codes, scorer: Scorer, row_query: RowQuery, rows: Rows | None) -> tuple[Float, float]:
        """Return scores by int8 codes, shape (c,), and twice their largest error."""
        line = codes.estimate(codes.query(scorer, row_query.query), rows)
        scorer.add_sparse(line, row_query.query, rows)
        return line, scorer.slack(row_query.query) + codes.slack(scorer, row_query.query)


def _by_vectors(scorer: Scorer, query: Query, rows: Rows | None) -> tuple[Float, float]:
    """Return scores by one float32 product, shape (c,), and twice their largest error."""
    return scorer.estimate([query], rows)[0], scorer.slack(query)
