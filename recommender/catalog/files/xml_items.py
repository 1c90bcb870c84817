"""Read the items of an XML feed: RSS or Atom, such as Google Merchant's, or products under any other root."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.entities import html5
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import pandas as pd
from lxml import etree

from recommender.catalog.files.encodings import Encoding, encoding_of, utf8_blocks
from recommender.catalog.files.json_files import flat
from recommender.catalog.report import DataReport, Rows, Severity
from recommender.errors import DataError
from recommender.items.schema import STANDARD

Cell: TypeAlias = "str | list[str] | dict[str, Cell]"
Item = dict[str, Any]
# Of RSS, of Atom, and of the product feeds of shop systems and price comparison sites
_ITEMS = ("item", "entry", "product", "shopitem", "offer", "o", "produkt", "article", "row", "record")
_ADDRESSES = ("href", "url", "src")  # of links and pictures that have no text
# Elements with the name and the value of an attribute: <PARAM><PARAM_NAME>Size</PARAM_NAME><VAL>M</VAL></PARAM>
_NAMES = ("name", "attribute_name", "param_name", "key", "label")
_VALUES = ("value", "attribute_value", "val")
_GOOGLE = "http://base.google.com/ns/1.0"
_SINGLE = {"id", *(name for name, kind in STANDARD.items() if kind != "category")}
_HTML = {
    *(
        "a",
        "b",
        "br",
        "center",
        "div",
        "em",
        "font",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "i",
        "img",
        "li",
        "ol",
        "p",
    ),
    *("small", "span", "strong", "table", "u", "ul"),
}
_SAMPLE = 2**20
_TAG = 2**12  # characters of a tag with its attributes, at most
_DECLARED = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""")
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKUP = re.compile(r"<!\[CDATA\[.*?\]\]>|&(#\d+;|#[xX][\da-fA-F]+;|[A-Za-z]\w*;)?", re.DOTALL)
_XML_ENTITIES = ("amp;", "lt;", "gt;", "quot;", "apos;")
_PREFIX = re.compile(r"</?([A-Za-z_][\w.-]*):")
# Nothing is fetched or expanded: a feed is a text from elsewhere.
_SAFE: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
    "encoding": "utf-8",
}


def xml_parts(name: str, file: BinaryIO, report: DataReport) -> Iterator[tuple[pd.DataFrame, Rows]]:
    """Yield the items of a feed as one frame, numbered from 1; elements that are repeated are lists.

    A namespaced element such as ``g:title`` takes precedence over a plain one of the same name. Nested elements
    are columns ``outer.inner``. Where the file breaks the rules of XML, each item is read by itself, so that a
    fault costs at most one.

    Raises
    ------
    DataError
        If it has no items.
    """
    encoding = _encoding(name, file, report)
    head = next(utf8_blocks(file, encoding), b"")[:_SAMPLE]
    tag = _item_name(name, head)
    try:
        items = [_cells(item) for item in _well_formed(file, encoding, tag)]
        rows = np.arange(1, len(items) + 1)
    except etree.XMLSyntaxError:
        items, rows = _repaired(name, file, encoding, tag, report)
    _report_repeated(name, items, rows, report)
    frame = flat(pd.DataFrame([{key: _first(key, cell) for key, cell in item.items()} for item in items]))
    texts = [column for column in frame if not frame[column].map(lambda cell: isinstance(cell, list)).any()]
    frame = frame.fillna(dict.fromkeys(texts, ""))
    encoding.report_replaced(name, frame, rows, report)
    yield frame, rows


def _encoding(name: str, file: BinaryIO, report: DataReport) -> Encoding:
    """Return the encoding that a file declares, where its bytes do not say otherwise."""
    found = encoding_of(file)
    file.seek(0)
    match = _DECLARED.search(file.read(1024))
    declared = match[1].decode().lower() if match else "utf-8"
    declared = "cp1252" if declared in ("iso-8859-1", "latin1", "us-ascii") else declared  # as browsers do
    if (found.codec == "utf-8" and found.errors == "strict") or found.mark or declared in ("utf-8", "utf8"):
        found.report(name, report)
        return found
    try:
        "".encode(declared)
    except LookupError:
        found.report(name, report)
        return found
    return found if found.codec.startswith("utf-16") else replace(found, codec=declared, errors="replace")


def _item_name(name: str, head: bytes) -> str:
    """Return the name, without prefix, of the elements that are items: a known one, or one that is repeated."""
    start = head.find(b"<")
    root = etree.fromstring(head[max(start, 0) :], etree.XMLParser(recover=True, **_SAFE)) if start >= 0 else None
    if root is None:
        raise DataError(f"{name} is not an XML file; expected a feed of products, such as RSS or Atom")
    found: dict[int, list[str]] = {}
    repeated: dict[int, Counter[str]] = {}
    for parent, depth in _elements(root, 0):
        names = [_local_name(child) for child in parent if len(child) or child.attrib]
        found.setdefault(depth, []).extend(each for each in names if each.lower() in _ITEMS)
        counts = {each: count for each, count in Counter(names).items() if count > 1}
        repeated.setdefault(depth, Counter()).update(counts)
    for depth in sorted(found):
        if found[depth]:
            return found[depth][0]
    for depth in sorted(repeated):
        if repeated[depth]:
            return repeated[depth].most_common(1)[0][0]
    raise DataError(
        f"{name} has no <item> and no <entry>, nor another element that is repeated; expected a feed of products"
    )


def _elements(element: Any, depth: int) -> Iterator[tuple[Any, int]]:
    """Yield an element and those within, with their depths; items are rarely deeper than four."""
    yield element, depth
    if depth < 5:
        for child in element.iterchildren(tag=etree.Element):
            yield from _elements(child, depth + 1)


def _well_formed(file: BinaryIO, encoding: Encoding, tag: str) -> Iterator[Any]:
    """Yield the items of a feed that keeps to the rules; only one is in memory at a time."""
    parser = etree.XMLPullParser(("start", "end"), tag=f"{{*}}{tag}", **_SAFE)
    depth = 0
    for block in utf8_blocks(file, encoding):
        parser.feed(block)
        for event, element in parser.read_events():
            depth += 1 if event == "start" else -1
            if event == "end" and not depth:
                yield element
                _free(element)
    parser.close()


def _free(element: Any) -> None:
    """Remove an element's content, and the elements before it, from memory."""
    parent = element.getparent()
    element.clear()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _repaired(
    name: str, file: BinaryIO, encoding: Encoding, tag: str, report: DataReport
) -> tuple[list[Item], Rows]:
    """Return the items of a feed that breaks the rules of XML, with their numbers; each is read by itself."""
    items: list[Item] = []
    numbers: list[int] = []
    problems: list[tuple[int, str]] = []
    left_out: list[tuple[int, str]] = []
    for number, (text, whole) in enumerate(_item_texts(file, encoding, tag), 1):
        clean = _clean(text)
        problem = "contains characters or entities that XML does not have; they are left out or replaced"
        problem = "" if clean == text else problem
        try:
            item = _parsed(clean, recover=False)
        except etree.XMLSyntaxError as error:
            item = _parsed(clean, recover=True)
            problem = f"is not well-formed ({error.msg}); read as far as it can be"
        cells = {} if item is None or not whole else _cells(item)
        if cells:
            items.append(cells)
            numbers.append(number)
            problems += [(number, problem)] if problem else []
        else:
            left_out.append((number, "cannot be read" if whole else "has no start or no end"))
    _add(report, "malformed item", name, problems, "warning")
    _add(report, "row left out", name, left_out, "left_out")
    return items, np.array(numbers, np.int64)


def _add(report: DataReport, kind: str, name: str, found: list[tuple[int, str]], severity: Severity) -> None:
    report.add(kind, name, [row for row, _ in found], [""] * len(found), lambda i: found[i][1], severity)


def _item_texts(file: BinaryIO, encoding: Encoding, tag: str) -> Iterator[tuple[str, bool]]:
    """Yield the text of each item, and whether it has an end."""
    begin = re.compile(rf"<(?:[\w.-]+:)?{re.escape(tag)}(?=[\s/>])[^>]*>")
    end = re.compile(rf"</(?:[\w.-]+:)?{re.escape(tag)}\s*>")
    text = ""
    for block in utf8_blocks(file, encoding):
        text += block.decode(errors="replace")
        position = 0
        while first := begin.search(text, position):
            if stray := end.search(text, position, first.start()):
                yield text[position : stray.end()], False  # its first tag is damaged
            position = first.start()
            last = first if first[0].endswith("/>") else end.search(text, first.end())
            following = begin.search(text, first.end(), last.start() if last else len(text))
            if following and not first[0].endswith("/>"):
                yield text[position : following.start()], False
                position = following.start()
            elif last:
                yield text[position : last.end()], True
                position = last.end()
            else:
                break
        # a tag may be cut by the end of the block
        text = text[position:] if first else text[max(position, len(text) - _TAG) :]
    if begin.match(text) or end.search(text):
        yield text, False


def _clean(text: str) -> str:
    """Return a text as XML: forbidden characters removed, entities of HTML and bare ampersands replaced."""

    def repaired(match: re.Match[str]) -> str:
        entity = match[1]
        if match[0].startswith("<") or entity in _XML_ENTITIES:
            return match[0]
        if entity is None:
            return "&amp;"
        if entity.startswith("#"):
            code = int(entity[2:-1], 16) if entity[1] in "xX" else int(entity[1:-1])
            return match[0] if code < 0x110000 and not _NOT_XML.match(chr(code)) else ""
        return html5.get(entity, f"&amp;{entity}")

    return _MARKUP.sub(repaired, _NOT_XML.sub("", text))


def _parsed(text: str, recover: bool) -> Any:
    """Return an item's element; namespaces that are declared outside of it are declared anew."""
    prefixes = sorted(set(_PREFIX.findall(text)))
    names = " ".join(f'xmlns:{prefix}="{_GOOGLE if prefix in "gc" else prefix}"' for prefix in prefixes)
    parser = etree.XMLParser(recover=recover, **_SAFE)
    root = etree.fromstring(f"<items {names}>{text}</items>".encode(), parser)
    return next(root.iterchildren(tag=etree.Element), None) if root is not None else None


def _cells(item: Any) -> Item:
    """Return the values of an element's attributes and elements by name."""
    ranked: dict[str, tuple[int, list[Any]]] = {}
    for key, value in item.attrib.items():
        if value.strip():
            ranked[_local(key)] = 0, [value.strip()]
    for element in item.iterchildren(tag=etree.Element):
        name, value = _value(element)
        if not value:
            continue
        rank = 3 if (element.tag.startswith(f"{{{_GOOGLE}")) else 2 if element.prefix is None else 1
        known, values = ranked.get(name, (rank, []))
        if rank > known or name not in ranked:
            ranked[name] = rank, [value]
        elif rank == known and value not in values:
            values.append(value)
    return {name: values[0] if len(values) == 1 else _together(values) for name, (_, values) in ranked.items()}


def _value(element: Any) -> tuple[str, Any]:
    """Return the name and the value of an element: its text, its address, or its elements by name."""
    name = _local_name(element)
    children = list(element.iterchildren(tag=etree.Element))
    if children and not (element.text or "").strip() and not _HTML & {_local_name(child) for child in children}:
        inner = _cells(element)
        lower = {key.lower(): value for key, value in inner.items()}
        label = next((lower[key] for key in _NAMES if key in lower), "")
        value = next((lower[key] for key in _VALUES if key in lower), "")
        return (label, value) if isinstance(label, str) and label and value else (name, inner)
    text = (" " if children else "").join(element.itertext()).strip()
    text = text or next((element.get(key, "").strip() for key in _ADDRESSES if element.get(key)), "")
    label = element.get("name", "").strip()
    currency = element.get("currency", "")
    return label or name, f"{text} {currency}".strip() if text else ""


def _together(values: list[Any]) -> Any:
    """Return the values of a repeated element as a list; of nested ones a list per inner name."""
    if not any(isinstance(value, dict) for value in values):
        return values
    inner: dict[str, list[Any]] = {}
    for value in values:
        for key, cell in value.items() if isinstance(value, dict) else ():
            inner.setdefault(key, []).extend(cell if isinstance(cell, list) else [cell])
    return {key: cells[0] if len(cells) == 1 else _together(cells) for key, cells in inner.items()}


def _first(name: str, cell: Any) -> Any:
    """Return the first of several values where a product has one, such as its title."""
    return cell[0] if name in _SINGLE and isinstance(cell, list) else cell


def _report_repeated(name: str, items: list[Item], rows: Rows, report: DataReport) -> None:
    """Report elements that are repeated though a product has one."""
    repeated = [
        (row, key)
        for row, item in zip(rows, items, strict=True)
        for key in _SINGLE & set(item)
        if isinstance(item[key], list)
    ]
    report.add(
        "repeated element",
        name,
        [row for row, _ in repeated],
        [""] * len(repeated),
        lambda i: f"has several <{repeated[i][1]}>; the first is read",
        "warning",
    )


def _local_name(element: Any) -> str:
    return _local(str(element.tag))


def _local(name: str) -> str:
    return name.rpartition("}")[2].rpartition(":")[2]
