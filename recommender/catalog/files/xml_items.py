"""Read the items of an XML feed, RSS or Atom, such as Google Merchant's."""

from io import BytesIO
from typing import TypeAlias
from xml.etree.ElementTree import Element, ParseError, iterparse

from recommender.errors import DataError

Cell: TypeAlias = str | list[str]
_ITEMS = ("item", "entry")  # of RSS, of Atom
_LINK = "href"  # Atom's links are attributes


def xml_items(name: str, data: bytes) -> list[dict[str, Cell]]:
    """Return the elements of each item by name without namespace; repeated ones as lists.

    Raises
    ------
    DataError
        If it is not XML, or has neither items nor entries.
    """
    items = []
    try:
        for _, element in iterparse(BytesIO(data), events=("end",)):
            if _local_name(element) in _ITEMS:
                items.append(_cells(element))
                element.clear()  # frees memory: a feed may be much larger than its table
    except ParseError as error:
        raise DataError(f"{name} is not an XML file: {error}") from None
    if not items:
        raise DataError(f"{name} has no <item> and no <entry>; expected a feed of products in RSS or Atom")
    return items


def _cells(item: Element) -> dict[str, Cell]:
    texts_by_name: dict[str, list[str]] = {}
    for element in item:
        text = "".join(element.itertext()).strip() or element.get(_LINK, "")
        if text:
            texts_by_name.setdefault(_local_name(element), []).append(text)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in texts_by_name.items()}


def _local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
