"""Live changes of products: validation, and which of them queue a product to be embedded."""

from collections.abc import Mapping
from typing import Any

from recommender.errors import RequestError, nearest
from recommender.items.availability import (
    AVAILABILITIES,
    EXPECTED,
    IN_STOCK,
    OUT_OF_STOCK,
    STATE_COLUMNS,
    STOCK_COLUMNS,
    AvailabilityWords,
)
from recommender.items.columns import posix
from recommender.items.prices import currency_code, price_amount
from recommender.items.schema import STANDARD
from recommender.recommender import Recommender

# Attributes that take effect at once and do not change a product's embedding.
OFFERS = (
    *("price", "regular_price", "sale_price", "sale_starts", "sale_ends", "currency"),
    *("availability", "published_at", "item_group_id", *STATE_COLUMNS, *STOCK_COLUMNS),
)
_PRICES = ("price", "regular_price", "sale_price")


def checked(recommender: Recommender, attributes: Mapping[str, Any], pointer: str = "") -> Mapping[str, Any]:
    """Return attributes with prices as numbers and availability in Google Merchant's words; null empties one.

    Raises
    ------
    RequestError
        Unless all attributes are known and of the right type.
    """
    attributes = {
        name: _value(recommender, name, value, f"{pointer}/{name}") for name, value in attributes.items()
    }
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
    return attributes


def _value(recommender: Recommender, name: str, value: Any, pointer: str) -> Any:
    """Return a price given as text, a word of availability and a currency in their canonical form."""
    text = str(value)
    if name == "availability" and isinstance(value, str | bool | int | float):
        word = _words(recommender).canonical(text)
        if word is None:
            guess = nearest(text, AVAILABILITIES)
            raise RequestError(f"availability is {text[:60]!r}; expected {EXPECTED}", pointer, guess)
        return word or None
    if name in _PRICES and isinstance(value, str):
        if (amount := price_amount(text)) is None:
            expected = "a number, or a price such as 1299.00 EUR that can be read in one way only"
            raise RequestError(f"{name} is {text[:60]!r}; expected {expected}", pointer)
        return amount
    if name in _PRICES and isinstance(value, int | float) and value < 0:
        raise RequestError(f"{name} is {value}; expected a number of at least 0", pointer)
    if name == "currency" and isinstance(value, str):
        if not (code := currency_code(text)):
            raise RequestError(f"currency is {text[:60]!r}; expected a code of ISO 4217 such as EUR", pointer)
        return code
    return value


def with_availability(recommender: Recommender, item_id: str, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return attributes with the availability that a changed quantity or state says, unless they name one.

    As in a file: a draft or a product with a quantity of 0 cannot be bought. A quantity says nothing of
    products that can be ordered without stock.
    """
    columns = (*STATE_COLUMNS, *STOCK_COLUMNS)
    if "availability" in attributes or all(attributes.get(name) is None for name in columns):
        return attributes
    current = recommender.product(item_id) if item_id in recommender else {}
    words = _words(recommender)
    values = {
        name: words.canonical(str(value))
        for name, value in {**current, **attributes}.items()
        if name in columns and value is not None
    }
    stock = next((values[name] for name in STOCK_COLUMNS if values.get(name)), None)
    if any(values.get(name) == OUT_OF_STOCK for name in STATE_COLUMNS):
        stock = OUT_OF_STOCK
    elif current.get("availability") not in (None, IN_STOCK, OUT_OF_STOCK):
        stock = None
    return attributes if stock is None else {**attributes, "availability": stock}


def with_currency(currency: str | None, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return attributes with the currency of the market, if they have a price and name none."""
    if currency is None or "currency" in attributes or all(attributes.get(name) is None for name in _PRICES):
        return attributes
    return {**attributes, "currency": currency}


def _words(recommender: Recommender) -> AvailabilityWords:
    return AvailabilityWords(recommender.manifest.config.get("catalog", {}).get("availability_words"))


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
