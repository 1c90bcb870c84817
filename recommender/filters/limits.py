"""How deep and how large a filter may be, counted while it is parsed, so that a large one costs no time."""

import math

from recommender.errors import RequestError


class FilterLimits:
    """What is left of a filter's limits.

    Parameters
    ----------
    pointer
        JSON pointer to the filter in the request.
    depth, conditions, values
        The most levels of nesting, conditions, and values of all conditions.
    """

    def __init__(
        self, pointer: str, depth: float = math.inf, conditions: float = math.inf, values: float = math.inf
    ) -> None:
        self._pointer = pointer
        self._depth, self._limits = depth, {"conditions": conditions, "values": values}
        self._left = {**self._limits}

    def enter(self, pointer: str) -> None:
        """Go one level deeper; raises `RequestError` if that is too deep."""
        if self._depth < 1:
            raise RequestError("filter is nested too deep", pointer)
        self._depth -= 1

    def leave(self) -> None:
        """Go back one level."""
        self._depth += 1

    def take(self, what: str, count: int = 1) -> None:
        """Count "conditions" or "values"; raises `RequestError` if these are too many."""
        self._left[what] -= count
        if self._left[what] < 0:
            limit = self._limits[what]
            raise RequestError(f"filter has more than {limit} {what}; at most {limit} are allowed", self._pointer)
