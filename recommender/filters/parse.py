"""Parse a filter, in JSON or text form, and check its size."""

from functools import lru_cache
from typing import Any

from recommender.errors import RequestError
from recommender.filters.conditions import And, IdIn, Node
from recommender.filters.limits import FilterLimits
from recommender.filters.masks import ids_of_mask
from recommender.filters.text import parse_text
from recommender.filters.tree import parse_tree

MAX_DEPTH = 5
MAX_LEAVES = 200
MAX_VALUES = 10_000
MAX_TEXT_LENGTH = 300_000  # of the text form: 10,000 values of 27 characters
# A shop sends the same filters again and again: parsed texts are cached, if not longer than so many characters.
CACHED_FILTERS, MAX_CACHED_LENGTH = 1024, 500


def parse(value: Any, *, trusted: bool = False, pointer: str = "/filter") -> Node:
    """Parse a filter.

    Parameters
    ----------
    value
        A tree as in JSON, see `parse_tree`, or a line of text, see `parse_text`; a boolean Series of pandas that
        is indexed by id; None matches everything; a parsed filter is returned unchanged.
    trusted
        Whether the filter comes from the library itself: its depth and size are not limited.
    pointer
        JSON pointer to the filter in the request, for messages.

    Returns
    -------
    Node
        The conditions; fields are looked up later, see `resolve`.

    Raises
    ------
    RequestError
        If it is not a filter: with a pointer to the wrong member and the nearest right one; or if it is nested
        deeper than 5, has more than 200 conditions, or names more than 10 000 values.
    """
    if value is None:
        return And()
    if isinstance(value, Node):
        return value
    if hasattr(value, "ndim"):  # a Series of pandas, or what was meant to be one
        return IdIn(ids_of_mask(value, pointer))
    if isinstance(value, str) and len(value) > MAX_TEXT_LENGTH and not trusted:
        length = f"{len(value)} characters; at most {MAX_TEXT_LENGTH} are allowed"
        raise RequestError(f"filter has {length}; the tree form may be longer", pointer)
    if isinstance(value, str) and len(value) <= MAX_CACHED_LENGTH:
        return _cached(value, trusted, pointer)
    return _parse(value, trusted, pointer)


def _parse(value: Any, trusted: bool, pointer: str) -> Node:
    limits = FilterLimits(pointer) if trusted else FilterLimits(pointer, MAX_DEPTH, MAX_LEAVES, MAX_VALUES)
    return parse_text(value, limits, pointer) if isinstance(value, str) else parse_tree(value, limits, pointer)


_cached = lru_cache(CACHED_FILTERS)(_parse)
