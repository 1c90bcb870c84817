"""Why a product is recommended, or why not: its place among all that may be answered."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recommender.core.scoring import Scorer
from recommender.filters import fields_of, parse
from recommender.filters.compile import evaluate, resolve
from recommender.filters.conditions import All
from recommender.ranking.pipeline import Answering
from recommender.ranking.request import Options
from recommender.ranking.results import Recommendation
from recommender.retrieval.planner import RowQuery
from recommender.retrieval.selection import OUT


@dataclass(frozen=True)
class Placed:
    """Where one product stands.

    Parameters
    ----------
    item_id
        The shop's id.
    explained
        Its score and reasons, with its rank among all that may be answered; a rank of 0 is none.
    left_out
        Why it cannot be answered: unknown, not_embedded_yet, removed, out_of_stock, filter, excluded (by the
        request, or as a product of the history or a variant of one); empty if it can be.
    failed
        The fields that the conditions ask about which the product does not meet.
    """

    item_id: str
    explained: Recommendation | None
    left_out: tuple[str, ...] = ()
    failed: tuple[str, ...] = field(default=())


class Placing:
    """Places products in the answer to one question; scans all of them once.

    Parameters
    ----------
    answering
        Of the bundle.
    question, scorer, options
        What is asked.
    """

    def __init__(self, answering: Answering, question: RowQuery, scorer: Scorer, options: Options) -> None:
        self._answering, self._question, self._scorer, self._options = answering, question, scorer, options
        self._seed = int(question.query.rows[0]) if len(question.query.rows) == 1 else None
        self._rules = answering.rules(options, self._seed)
        self._line = scorer.estimate([question.query])[0]
        self._rules.mask_out(self._line, None, question.excluded)

    def of(self, item_id: str) -> Placed:
        """Place one product."""
        row = self._answering.attributes.row_of(item_id)
        changes = self._answering.changes()
        if changes.by_id.get(item_id, {}) is None:
            return Placed(item_id, None, ("removed",))
        if row < 0:
            return Placed(item_id, None, ("not_embedded_yet" if item_id in changes.by_id else "unknown",))
        parts = self._scorer.parts(self._question.query, np.array([row], dtype=np.int32))[0]
        rank = 0 if self._line[row] == OUT else 1 + int(np.count_nonzero(self._line > self._line[row]))
        explained = self._answering.presenter.explained(row, rank, parts, self._scorer, self._question.query, "")
        failed = self._failed(row)
        return Placed(item_id, explained, () if rank else self._left_out(row, failed), failed)

    def _left_out(self, row: int, failed: tuple[str, ...]) -> tuple[str, ...]:
        changes = self._answering.changes()
        out = changes.in_stock is not None and not changes.in_stock[row]
        said = {
            "out_of_stock": out and not self._rules.allows(row) and not failed,
            "filter": bool(failed),
            "excluded": row in set(self._question.excluded.tolist()),
        }
        return tuple(code for code, holds in said.items() if holds)

    def _failed(self, row: int) -> tuple[str, ...]:
        filter: Any = self._options.get("filter")
        if filter is None:
            return ()
        attributes, by_row = self._answering.attributes, self._answering.changes().by_row
        node = resolve(parse(filter, trusted=True), attributes, self._seed, by_row)
        conditions = node.nodes if isinstance(node, All) else (node,)
        unmet = (each for each in conditions if not evaluate(each, attributes, by_row)[row])
        return tuple(sorted({name for condition in unmet for name in fields_of(condition)}))
