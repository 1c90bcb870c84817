"""From what a caller says (ids, a history, exclusions) to a question for the search."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np

from recommender.attributes import Attributes
from recommender.blocks import Rows
from recommender.errors import RequestError, UnknownItemError
from recommender.history import History, as_events, as_steps
from recommender.index.search import Question
from recommender.segment import Segment
from recommender.towers.user import UserTower, item_query


class Options(TypedDict, total=False):
    """What every question may say.

    Parameters
    ----------
    filter
        `price < 50 AND brand: ANY("Acme")`, or the tree form; only products that meet it are answered.
    weights
        Term name to weight; terms left out keep their learned share.
    exclude
        Ids that may not appear.
    explain
        Whether each product carries the parts of its score and reasons.
    variants
        'collapse' answers the best variant of a product only, 'all' every one.
    plan
        'auto', 'exact' (all eligible rows) or 'annoy'.
    """

    filter: str | Mapping[str, Any] | None
    weights: Mapping[str, float] | None
    exclude: Iterable[str]
    explain: bool
    variants: Literal["collapse", "all"]
    plan: Literal["auto", "exact", "annoy"]


@dataclass(frozen=True)
class Questions:
    """Makes questions over one bundle.

    Parameters
    ----------
    attributes
        Knows ids and rows.
    segment
        The products.
    users
        The user tower.
    """

    attributes: Attributes
    segment: Segment
    users: UserTower

    def of_item(self, row: int, k: int, options: Options) -> Question:
        """Ask for what is like one product; its variants are excluded."""
        excluded = self.segment.variants(row)
        if options.get("exclude"):
            excluded = np.union1d(excluded, self.excluded(options)).astype(np.int32)
        table_row = None if options.get("weights") else row
        return Question(item_query(self.segment, row), count(k), excluded, table_row)

    def of_history(
        self, history: History, k: int, exclude_history: bool, options: Options
    ) -> tuple[Question, list[str]]:
        """Ask for what suits a history; also return the ids in it that are unknown."""
        events = as_events(history)
        rows = [self.attributes.row_of(event.item_id) for event in events]
        unknown = [event.item_id for event, row in zip(events, rows, strict=True) if row < 0]
        steps = as_steps(events, rows)
        excluded = self.excluded(options)
        if exclude_history:
            past = self._with_variants(np.unique(steps.rows), options)
            excluded = np.union1d(excluded, past).astype(np.int32)
        return Question(self.users.query(steps, self.segment), count(k), excluded), unknown

    def excluded(self, options: Options) -> Rows:
        """Return the rows of the ids to leave out, ascending; unknown ids have none."""
        rows = {self.attributes.row_of(item_id) for item_id in options.get("exclude", ())} - {-1}
        return np.array(sorted(rows), dtype=np.int32)

    def known_row(self, item_id: str) -> int:
        """Return the row of an id; raises `UnknownItemError` if it has none."""
        row = self.attributes.row_of(item_id)
        if row < 0:
            raise UnknownItemError(item_id)
        return row

    def _with_variants(self, rows: Rows, options: Options) -> Rows:
        if options.get("variants") == "all" or not len(rows):
            return rows
        return np.concatenate([self.segment.variants(int(row)) for row in rows])


def count(k: int) -> int:
    """Return k, checked; raises `RequestError` if it is no whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise RequestError(f"k is {k!r}; expected a whole number of at least 1", "/limit")
    return int(k)
