"""The planner: which rows to score for a question, so that no filter starves and scores are exact.

Plans, cheapest first: `neighbours` (a product of the catalogue asked with the learned weights: its row of the
neighbour table is the answer), `annoy+graph` (Annoy's entries and a walk over the graph of neighbours, scored
exactly; without numba `annoy+hop`: more of Annoy's rows and a walk over the neighbour table) and `exact` (all
eligible rows). A plan that comes short is followed by `exact`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Float, Rows
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.retrieval.candidates import ENTRIES, Index
from recommender.retrieval.codes import Codes
from recommender.retrieval.eligibility import Eligibility, among
from recommender.retrieval.selection import Selection, grouped, nearest, ranked, select
from recommender.retrieval.table_walk import walk_table

# Below this many rows a scan is no slower than a walk.
SCAN_ROWS = 8_000
# A filter that keeps a smaller share is answered by a scan of what it keeps.
WALK_SHARE = 0.1
# To walk among a share s of the products takes as long as to scan (WALK_ROWS + ROWS_EACH * (width + entries)) / s.
WALK_ROWS, ROWS_EACH = 500, 25
# Without the graph a filter thins the candidates; one that keeps less than this share is answered by a scan.
HOP_SHARE = 0.5
# Rows that a walk over the neighbour table keeps in view, at least.
VIEW = 64
# Rows of the prior's and the co-occurrence's own best that join the candidates.
EXTRA = 200
# Questions of one matrix product: the more, the faster each, as long as their scores are no more than so many.
SCAN_CHUNK, MAX_CHUNK, SCAN_CELLS = 64, 512, 1 << 25


@dataclass(frozen=True)
class Budget:
    """How much may be looked at: an operating point that the build chose by measured recall.

    Parameters
    ----------
    width
        Rows that a walk over the graph keeps in view; 0 where there is no graph.
    seeds, search_k, steps
        Without the graph: rows that Annoy gives, nodes it looks at, and steps over the neighbour table from there.
    entries
        Rows that Annoy gives to begin a walk from.
    """

    width: int
    seeds: int
    search_k: int
    steps: int = 8
    entries: int = ENTRIES


@dataclass(frozen=True)
class Budgets:
    """The operating points of one bundle; None where scanning is the better plan.

    Parameters
    ----------
    learned
        For the learned weights of items and users.
    other
        For any other weights.
    single
        For one block alone, with a filter or without: the graph leads by all of them.
    filtered
        For several blocks, where a filter keeps some of the products.
    """

    learned: Budget | None = None
    other: Budget | None = None
    single: Budget | None = None
    filtered: Budget | None = None


@dataclass(frozen=True)
class RowQuery:
    """One query and what it may not be answered with.

    Parameters
    ----------
    query
        What to look for.
    k
        How many, at least 1.
    excluded
        Rows that may not appear, ascending.
    row
        The product asked about, if the query is exactly that product under its learned weights.
    """

    query: Query
    k: int
    excluded: Rows
    row: int | None = None


@dataclass(frozen=True)
class RowResult:
    """A selection and how it was reached."""

    selection: Selection
    plan: str
    eligible: int
    candidates: int


Plan = Callable[[Scorer, RowQuery, Eligibility], tuple[Selection, str, int]]


@dataclass(frozen=True)
class Planner:
    """Answers questions over one segment.

    Parameters
    ----------
    segment
        The products.
    index
        Proposes candidates; None only while a bundle is being built.
    budgets
        The chosen operating points.
    learned
        The weights that `budgets.learned` was measured with.
    fresh
        Rows that changed since the index was built: they are among the candidates of every question, shape (c,).
    """

    segment: Segment
    index: Index | None = None
    budgets: Budgets = Budgets()
    learned: Sequence[Mapping[str, float]] = ()
    fresh: Rows | None = None

    def search(self, scorer: Scorer, question: RowQuery, rules: Eligibility, plan: str = "auto") -> RowResult:
        """Answer one question; `plan` is 'auto', 'exact' or 'annoy'."""
        eligible = rules.eligible(question.excluded)
        wanted = min(question.k, eligible)
        for attempt in self._plans(scorer, question, rules, plan):
            selection, name, candidates = attempt(scorer, question, rules)
            if len(selection.rows) == wanted:
                return RowResult(selection, name, eligible, candidates)
        raise AssertionError("the exact plan always fills the list")

    def search_many(
        self, scorer: Scorer, questions: Sequence[RowQuery], rules: Eligibility, plan: str = "auto"
    ) -> Iterator[RowResult]:
        """Answer many questions, each exactly as `one` would: from the neighbour table, or by matrix products."""
        tabled = self.segment.neighbours is not None and scorer.boost is None and rules.subset is None
        if plan == "annoy" or (
            plan == "auto" and tabled and all(question.row is not None for question in questions)
        ):
            yield from (self.search(scorer, question, rules, plan) for question in questions)
            return
        rows = rules.to_scan()
        scanned = self.segment.n if rows is None else len(rows)
        size = min(max(SCAN_CHUNK, SCAN_CELLS // max(scanned, 1)), MAX_CHUNK)
        room = np.empty((min(size, len(questions)), scanned), dtype=np.float32)  # new memory is slow to write to
        for start in range(0, len(questions), size):
            chunk = questions[start : start + size]
            lines = scorer.estimate([question.query for question in chunk], rows, room[: len(chunk)])
            for question, line in zip(chunk, lines, strict=True):
                best = self._choose(scorer, question, rules, line, scorer.slack(question.query), rows)
                yield RowResult(best, "exact", rules.eligible(question.excluded), len(line))

    def _plans(self, scorer: Scorer, question: RowQuery, rules: Eligibility, plan: str) -> Iterator[Plan]:
        if not self._indexed(scorer):
            yield self._exact
            return
        budget = self._budget(scorer, rules)
        if plan == "annoy" and self.index is not None:
            yield self._candidates(budget or self.budgets.learned or Budget(4 * question.k, 8 * question.k, -1))
        if plan == "auto":
            if question.row is not None and self.segment.neighbours is not None:
                yield self._neighbours
            if budget is not None and rules.count > SCAN_ROWS and self._broad(rules, budget):
                yield self._candidates(budget)
        yield self._exact

    def _budget(self, scorer: Scorer, rules: Eligibility) -> Budget | None:
        learned = scorer.weights in self.learned
        if not learned and sum(scorer.weights.get(name, 0.0) > 0 for name in scorer.layout.names) == 1:
            return self.budgets.single
        if rules.subset is not None:
            return self.budgets.filtered
        return self.budgets.learned if learned else self.budgets.other

    def _indexed(self, scorer: Scorer) -> bool:
        """Tell whether the index knows the score: not with a boost, or an order that stands in for the prior."""
        return scorer.boost is None and scorer.prior is self.segment.prior

    def _broad(self, rules: Eligibility, budget: Budget) -> bool:
        """Tell whether enough is left by the filter for candidates to be met on the way."""
        share = rules.count / self.segment.n
        if not self._walks(budget):
            return share >= HOP_SHARE
        walk = WALK_ROWS + ROWS_EACH * (budget.width + budget.entries)
        return share >= WALK_SHARE and share * rules.count >= walk

    def _neighbours(self, scorer: Scorer, question: RowQuery, rules: Eligibility) -> tuple[Selection, str, int]:
        """Answer by the table: what is left of its row by the rules is still in order of score."""
        assert self.segment.neighbours is not None
        assert self.segment.neighbour_scores is not None
        rows = self.segment.neighbours[question.row]
        kept = rows >= 0
        if rules.subset is not None:
            kept &= rules.subset.mask[rows]
        if len(question.excluded) > 1:
            kept &= ~among(rows, question.excluded)
        best = Selection(rows[kept], self.segment.neighbour_scores[question.row][kept])
        return best.first(question.k, rules.groups), "neighbours", len(rows)

    def _candidates(self, budget: Budget) -> Plan:
        def plan(scorer: Scorer, question: RowQuery, rules: Eligibility) -> tuple[Selection, str, int]:
            rows = rules.filter(self.candidates(scorer, question, rules, budget), question.excluded)
            best = grouped(
                lambda wanted: ranked(scorer, question.query, rows, wanted), len(rows), question.k, rules.groups
            )
            return best, f"annoy+{'graph' if self._walks(budget) else 'hop'}", len(rows)

        return plan

    def _exact(self, scorer: Scorer, question: RowQuery, rules: Eligibility) -> tuple[Selection, str, int]:
        rows = rules.to_scan()
        codes = self.index.codes if self.index is not None and self._indexed(scorer) else None
        if codes is None:
            line, slack = scorer.estimate([question.query], rows)[0], scorer.slack(question.query)
        else:
            line, slack = self._estimated(codes, scorer, question, rows)
        return self._choose(scorer, question, rules, line, slack, rows), "exact", len(line)

    @staticmethod
    def _choose(
        scorer: Scorer, question: RowQuery, rules: Eligibility, line: Float, slack: float, rows: Rows | None
    ) -> Selection:
        rules.mask_out(line, rows, question.excluded)
        return select(scorer, question.query, line, slack, rows, question.k, rules.groups)

    def _walks(self, budget: Budget) -> bool:
        return budget.width > 0 and self.index is not None and self.index.graph is not None

    def candidates(self, scorer: Scorer, question: RowQuery, rules: Eligibility, budget: Budget) -> Rows:
        """Return the rows that the index, C and the prior propose, each once, shape (c,)."""
        assert self.index is not None
        query, weights = question.query, scorer.weights
        if self._walks(budget):
            width = max(budget.width, 2 * question.k) + len(question.excluded)
            sources = [self.index.walk(scorer, query, width, rules.subset, budget.entries)]
        else:
            view = max(VIEW, 2 * question.k) + len(question.excluded)
            sources = [self.index.candidates(scorer, query, max(budget.seeds, 2 * question.k), budget.search_k)]
            if self.segment.neighbours is not None:
                marks = self.index.fresh_marks(self.segment.n)
                table = self.segment.neighbours
                sources = [walk_table(scorer, query, table, sources[0], marks, view, budget.steps)]
        if weights.get("cooccurrence") and len(query.together_rows):
            strongest = np.argsort(-query.together, kind="stable")[:EXTRA]
            sources.append(query.together_rows[strongest])
        if weights.get("prior"):
            sources.append(self.segment.popular[:EXTRA])
        if self.fresh is not None:
            sources.append(self._best_fresh(scorer, question, rules, self.fresh))
        return np.unique(np.concatenate(sources)) if len(sources) > 1 else sources[0]

    def _best_fresh(self, scorer: Scorer, question: RowQuery, rules: Eligibility, fresh: Rows) -> Rows:
        """Return those of the fresh rows that could be among the best `EXTRA` of them."""
        rows = rules.filter(fresh, question.excluded)
        codes = self.index.codes if self.index is not None else None
        if codes is None or len(rows) <= EXTRA:
            return rows
        line, slack = self._estimated(codes, scorer, question, rows)
        return rows[nearest(line, EXTRA, slack)]

    @staticmethod
    def _estimated(codes: Codes, scorer: Scorer, question: RowQuery, rows: Rows | None) -> tuple[Float, float]:
        """Return scores by 8 bits, shape (c,), and twice their largest error."""
        line = codes.estimate(codes.query(scorer, question.query), rows)
        scorer.add_together(line, question.query, rows)
        return line, scorer.slack(question.query) + codes.slack(scorer, question.query)
