"""The planner: which rows to score for a question, so that no filter starves and scores are exact.

Plans, cheapest first: `neighbours` (a product of the catalogue asked with the learned weights: its row of the
neighbour table is the answer), `annoy+exact` (Annoy's candidates and their neighbours, scored exactly) and
`exact` (all eligible rows). A plan that comes short is followed by `exact`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.blocks import Float, Rows
from recommender.index.candidates import Index
from recommender.index.rules import Rules
from recommender.index.select import Selection, ranked, select
from recommender.scoring import Query, Scorer
from recommender.segment import Segment

# Below this many rows a scan (about 0.1 ms per 1,000 rows of 640 dims) is no slower than Annoy.
SCAN_ROWS = 8_000
# A filter thins the neighbours and Annoy's candidates; one that keeps less than this share is answered by a scan.
BROAD_SHARE = 0.5
# Rows of the prior's and the co-occurrence's own best that join Annoy's candidates.
EXTRA = 200
SCAN_CHUNK = 64


@dataclass(frozen=True)
class Budget:
    """How much Annoy may look at: the operating point that the build chose by measured recall."""

    seeds: int
    search_k: int


@dataclass(frozen=True)
class Question:
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
class Found:
    """A selection and how it was reached."""

    selection: Selection
    plan: str
    eligible: int
    candidates: int


Plan = Callable[[Scorer, Question, Rules], tuple[Selection, str, int]]


@dataclass(frozen=True)
class Search:
    """Answers questions over one segment.

    Parameters
    ----------
    segment
        The products.
    index
        Annoy's candidates; None only while a bundle is being built.
    budget
        The chosen operating point; None if scanning is the better plan for this shop.
    """

    segment: Segment
    index: Index | None
    budget: Budget | None

    def one(self, scorer: Scorer, question: Question, rules: Rules, plan: str = "auto") -> Found:
        """Answer one question; `plan` is 'auto', 'exact' or 'annoy'."""
        eligible = rules.eligible(question.excluded)
        wanted = min(question.k, eligible)
        for attempt in self._plans(scorer, question, rules, plan):
            selection, name, candidates = attempt(scorer, question, rules)
            if len(selection.rows) == wanted:
                return Found(selection, name, eligible, candidates)
        raise AssertionError("the exact plan always fills the list")

    def many(
        self, scorer: Scorer, questions: Sequence[Question], rules: Rules, plan: str = "auto"
    ) -> Iterator[Found]:
        """Answer many questions, each exactly as `one` would: from the neighbour table, or by matrix products."""
        tabled = self.segment.neighbours is not None and rules.share >= BROAD_SHARE and scorer.boost is None
        if plan == "annoy" or (
            plan == "auto" and tabled and all(question.row is not None for question in questions)
        ):
            yield from (self.one(scorer, question, rules, plan) for question in questions)
            return
        rows = rules.to_scan()
        for start in range(0, len(questions), SCAN_CHUNK):
            chunk = questions[start : start + SCAN_CHUNK]
            lines = scorer.estimate([question.query for question in chunk], rows)
            for question, line in zip(chunk, lines, strict=True):
                best = self._choose(scorer, question, rules, line, rows)
                yield Found(best, "exact", rules.eligible(question.excluded), len(line))

    def _plans(self, scorer: Scorer, question: Question, rules: Rules, plan: str) -> list[Plan]:
        if plan == "exact" or scorer.boost is not None:  # boosts may raise what no candidate is near to
            return [self._exact]
        if plan == "annoy" and self.index is not None:
            return [self._annoy, self._exact]
        plans: list[Plan] = []
        if question.row is not None and self.segment.neighbours is not None and rules.share >= BROAD_SHARE:
            plans.append(self._neighbours)
        if self.budget is not None and rules.share >= BROAD_SHARE:
            plans.append(self._annoy)
        return [*plans, self._exact]

    def _neighbours(self, scorer: Scorer, question: Question, rules: Rules) -> tuple[Selection, str, int]:
        assert self.segment.neighbours is not None
        assert question.row is not None
        rows = np.asarray(self.segment.neighbours[question.row])
        rows = rules.first_of_group(rules.keep(rows[rows >= 0], question.excluded), question.k)
        return ranked(scorer, question.query, rows, question.k), "neighbours", len(rows)

    def _annoy(self, scorer: Scorer, question: Question, rules: Rules) -> tuple[Selection, str, int]:
        budget = self.budget or Budget(seeds=8 * question.k, search_k=-1)
        rows = rules.keep(self.candidates(scorer, question, budget), question.excluded)
        line = scorer.estimate([question.query], rows)[0]
        best = select(scorer, question.query, line, rows, question.k, rules.groups)
        return best, "annoy+exact", len(rows)

    def _exact(self, scorer: Scorer, question: Question, rules: Rules) -> tuple[Selection, str, int]:
        rows = rules.to_scan()
        line = scorer.estimate([question.query], rows)[0]
        return self._choose(scorer, question, rules, line, rows), "exact", len(line)

    @staticmethod
    def _choose(scorer: Scorer, question: Question, rules: Rules, line: Float, rows: Rows | None) -> Selection:
        rules.strike(line, rows, question.excluded)
        return select(scorer, question.query, line, rows, question.k, rules.groups)

    def candidates(self, scorer: Scorer, question: Question, budget: Budget) -> Rows:
        """Return the rows that Annoy, its seeds' neighbours, C and the prior propose, ascending, shape (c,)."""
        count = max(budget.seeds, 2 * question.k)
        assert self.index is not None
        seeds = self.index.candidates(question.query, scorer.weights, count, budget.search_k)
        sources = [seeds]
        if self.segment.neighbours is not None:
            hop = self.segment.neighbours[seeds].ravel()
            sources.append(hop[hop >= 0])
        if scorer.weights.get("cooccurrence"):
            strongest = np.argsort(-question.query.together, kind="stable")[:EXTRA]
            sources.append(question.query.together_rows[strongest])
        if scorer.weights.get("prior"):
            sources.append(self.segment.popular[:EXTRA])
        return np.unique(np.concatenate(sources))
