"""Live changes of products: validation, and which of them queue a product to be embedded."""

from collections.abc import Mapping
from typing import Any

from recommender.errors import RequestError, nearest
from recommender.items.columns import posix
from recommender.items.schema import STANDARD
from recommender.recommender import Recommender

# Attributes that take effect at once and do not change a product's embedding.
OFFERS = ("price", "availability", "published_at", "item_group_id")


def checked(recommender: Recommender, attributes: Mapping[str, Any], pointer: str = "") -> None:
    """Raise a `RequestError` unless all `attributes` are known and of the right type; null empties one."""
    known = {name: recommender.attributes.kind(name) for name in recommender.attributes.names}
    known = STANDARD | known
    for name, value in attributes.items():
        at = f"{pointer}/{name}"
        if name not in known:
            raise RequestError(
                f"unknown attribute {name!r}; expected one of {', '.join(known)}", at, nearest(name, known)
            )
        expected, fits = _KINDS[known[name]]
        if value is not None and not fits(value):
            raise RequestError(f"{name} is {str(value)[:60]!r}; expected {expected}", at)


def waits(recommender: Recommender, item_id: str, attributes: Mapping[str, Any]) -> bool:
    """Return whether a product must be embedded after a change: it is new, or its text or image differs."""
    row = recommender.attributes.row_of(item_id)
    if row < 0:
        return True
    content = {name: value for name, value in attributes.items() if name not in OFFERS}
    names = set(recommender.attributes.names)
    return any(
        name not in names or recommender.attributes.value(name, row) != value for name, value in content.items()
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _is_list(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and posix(value) is not None


_KINDS = {
    "text": ("text", _is_text),
    "category": ("text", _is_text),
    "multi": ("a list of texts", _is_list),
    "number": ("a number", _is_number),
    "date": ("a date such as 2026-11-23", _is_date),
}
