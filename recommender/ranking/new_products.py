"""New products: their age, and a floor of positions for them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Double, Mask, Rows
from recommender.errors import RequestError
from recommender.items import Attributes
from recommender.retrieval.selection import Selection

DAY = 86_400.0
NO_DATES = "this catalogue has no published_at: which products are new is not known"


@dataclass(frozen=True)
class Freshness:
    """A floor of positions for new products.

    Parameters
    ----------
    days
        A product is new for so many days after its `published_at`.
    places
        Positions of a list that new products have at least.
    """

    days: int
    places: int

    @classmethod
    def parse(cls, value: object) -> "Freshness":
        """Parse such as ``{"days": 30, "places": 2}``; raises `RequestError` if it is not of this form."""
        numbers = [*value.values()] if isinstance(value, dict) and value.keys() == {"days", "places"} else [0]
        if not all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers):
            expected = "{'days': 30, 'places': 2}, whole numbers of at least 1"
            raise RequestError(f"freshness is {value!r}; expected such as {expected}", "/freshness")
        return cls(**value)  # type: ignore[arg-type]  # a dict by now


@dataclass(frozen=True)
class FreshRows:
    """The rows of a list with its floor of new products: those that are new, and a warning if they are fewer."""

    selection: Selection
    new: frozenset[int]
    warnings: tuple[str, ...] = ()


def new_rows(attributes: Attributes, days: float, now: float) -> Mask | None:
    """Return which products were published less than `days` before a moment in POSIX seconds, shape (n,).

    None if no date is known.
    """
    dates = published(attributes)
    return None if dates is None else np.asarray(dates > now - days * DAY)


def published(attributes: Attributes) -> Double | None:
    """Return when each product was published, POSIX seconds, NaN where not known, (n,); None if none is."""
    if "published_at" not in attributes.names or attributes.kind("published_at") != "date":
        return None
    return attributes.numbers("published_at")


def with_new_products(
    best: Selection,
    pinned: frozenset[int],
    freshness: Freshness,
    is_new: Mask | None,
    search: Callable[[int], Selection],
) -> FreshRows:
    """Return a list in which new products have their floor of positions: the last of the others make way.

    Parameters
    ----------
    best
        The list, best first.
    pinned
        Its rows that stay at their positions.
    is_new
        Which rows are new, shape (n,); None if that is not known.
    search
        Returns the best new rows that are eligible and not in the list.
    """
    if is_new is None:
        return FreshRows(best, frozenset(), (f"freshness: {NO_DATES}",))
    rows = best.rows.tolist()
    floor = min(freshness.places, len(rows))
    old = [position for position, row in enumerate(rows) if row not in pinned and not is_new[row]]
    missing = min(floor - int(is_new[best.rows].sum()), len(old))
    more = search(missing) if missing > 0 else Selection(best.rows[:0], best.scores[:0])
    replaced = _replaced(best, pinned, old[len(old) - len(more.rows) :], more)
    new = frozenset(row for row in replaced.rows.tolist() if is_new[row])
    if len(new) >= freshness.places:
        return FreshRows(replaced, new)
    found = f"{len(new)} of {freshness.places} places have products under {freshness.days} days old"
    return FreshRows(replaced, new, (f"freshness: {found}; no more are eligible",))


def _replaced(best: Selection, pinned: frozenset[int], out: list[int], more: Selection) -> Selection:
    """Return a list without the rows at some positions, with more at its end; pinned rows stay where they are."""
    if not len(more.rows):
        return best
    rows, scores = np.concatenate([best.rows, more.rows]), np.concatenate([best.scores, more.scores])
    left_out = {*out}
    free = iter([p for p in range(len(rows)) if p not in left_out and int(rows[p]) not in pinned])
    order: Rows = np.array(
        [p if row in pinned else next(free) for p, row in enumerate(best.rows.tolist())], dtype=np.int32
    )
    return Selection(rows[order], scores[order])
