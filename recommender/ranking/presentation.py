"""From selected rows to an answer: ids, scores and, where asked for, what each score is made of and why."""

from dataclasses import dataclass
from typing import Any

from recommender.core.blocks import Double
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.items import Attributes
from recommender.ranking.explanation import in_words, reasons
from recommender.ranking.rerank import Arranged
from recommender.ranking.results import Reason, Recommendation


@dataclass(frozen=True)
class Presenter:
    """Presents the rows of one bundle.

    Parameters
    ----------
    attributes
        Knows ids and titles.
    segment
        The products.
    """

    attributes: Attributes
    segment: Segment

    def items(
        self, arranged: Arranged, scorer: Scorer, query: Query, strategy: str, explain: bool
    ) -> tuple[Recommendation, ...]:
        """Return the products of an answer, best first."""
        best = arranged.found.selection
        if not explain:
            ids, scores = self.attributes.ids.ids_of(best.rows), best.scores.tolist()
            return tuple(
                Recommendation(item_id, place, score)
                for place, (item_id, score) in enumerate(zip(ids, scores, strict=True), start=1)
            )
        parts = scorer.parts(query, best.rows)
        return tuple(
            self.explained(row, place, terms, scorer, query, strategy, row in arranged.pinned)
            for place, (row, terms) in enumerate(zip(best.rows.tolist(), parts, strict=True), start=1)
        )

    def explained(
        self,
        row: int,
        rank: int,
        parts: Double,
        scorer: Scorer,
        query: Query,
        strategy: str,
        pinned: bool = False,
    ) -> Recommendation:
        """Return one product with its explanation; `parts` are the terms of its score, see `Scorer.parts`."""
        id_of = self.attributes.id_of
        why = reasons(scorer, self.segment, query, row, parts, id_of, strategy)
        if pinned:
            why = (Reason("promoted", None, 0.0), *why)
        named = {name: float(value) for name, value in zip(scorer.terms, parts, strict=True)}
        score = float(scorer.total(parts[None])[0])
        return Recommendation(id_of(row), rank, score, named, why, in_words(why, self._title))

    def _title(self, item_id: str) -> str:
        row = self.attributes.row_of(item_id)
        named: Any = row >= 0 and "title" in self.attributes.names and self.attributes.value("title", row)
        return str(named or item_id)
