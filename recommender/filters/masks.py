"""A boolean Series of pandas as a filter: the ids for which it is true."""

from typing import Any

from recommender.errors import RequestError

_REMEDY = "make the condition on rec.products(), or on your own frame after set_index('id')"


def ids_of_mask(mask: Any, pointer: str) -> tuple[str, ...]:
    """Return the ids for which a boolean Series is true; a missing value is not.

    A mask without ids is refused, whatever its length: rows of the shop's own table are in another order than
    those of the bundle.

    Parameters
    ----------
    mask
        A Series of booleans, indexed by id.
    pointer
        JSON pointer to the filter in the request.

    Raises
    ------
    RequestError
        If it is something else.
    """
    if not hasattr(mask, "index") or mask.ndim != 1:
        found = f"the filter is of type {type(mask).__name__}"
        raise RequestError(f"{found}; expected a boolean Series indexed by id: {_REMEDY}", pointer)
    if str(mask.dtype) not in ("bool", "boolean", "bool[pyarrow]"):
        raise RequestError(f"the filter is a Series of {mask.dtype}; expected one of booleans", pointer)
    ids = mask.index.tolist()
    if strange := [item_id for item_id in ids if not isinstance(item_id, str)]:
        found = f"the filter is a Series indexed by {strange[0]!r} and others, of type {type(strange[0]).__name__}"
        raise RequestError(f"{found}; expected ids, which are strings: {_REMEDY}", pointer)
    return tuple(item_id for item_id, true in zip(ids, mask.fillna(False).tolist(), strict=True) if true)
