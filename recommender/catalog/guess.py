"""Guess the first configuration of a shop from its files: which column is what, by heading and by content."""

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from recommender.catalog.files.tables import Table, read_parts, unpacked
from recommender.catalog.formats import EVENTS, PRODUCTS, as_products, format_of_events, format_of_products
from recommender.catalog.formats.base import Format
from recommender.catalog.headings import EVENT_HEADINGS, PRODUCT_HEADINGS, likely, plain
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import lists, numbers, shared, strings
from recommender.catalog.values.kinds import kind_of
from recommender.catalog.values.moments import moments
from recommender.errors import DataError
from recommender.events import EVENT_WEIGHTS

_ROWS = 50_000  # of a file that are looked at
_ENOUGH = 0.9  # share of the filled cells that must fit what a column is taken for
_SPARSE = 0.2  # columns with a smaller share of filled cells are taken only if there is no other
_MATCHING = 0.5  # share of ids or photos that two files must have in common
_LISTED = 0.2  # share of the cells of a column of lists that have more than one value
_MAX_PART = 40  # characters on average of one value of a list
_PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".bmp")
_MAX_PHOTOS = 200_000
_SEPARATORS = ("|", ";", ",")
_LEVELS = ("/", ">")
_EXAMPLE = 32  # characters
_MAX_TITLE = 60  # characters on average
_MAX_WEIGHTS = 12
_WEIGHT_OF = {
    r"refund|return|cancel|chargeback": EVENT_WEIGHTS["refund"],
    r"remove": EVENT_WEIGHTS["remove_from_cart"],
    r"purchas|order|buy|bought|transaction|sale|kauf|checkout": EVENT_WEIGHTS["purchase"],
    r"cart|basket|korb": EVENT_WEIGHTS["add_to_cart"],
    r"wish|fav|like|save": EVENT_WEIGHTS["add_to_wishlist"],
    r"impression|list": EVENT_WEIGHTS["view_item_list"],
}


@dataclass(frozen=True)
class Entry:
    """One line of a TOML: a key, its value, and why."""

    key: str
    value: str | float
    why: str = ""


@dataclass
class GuessedConfig:
    """A first configuration: the entries of each table, and what could not be guessed.

    Attributes
    ----------
    tables
        "catalog", "events" … to their entries.
    notes
        Table to what a reader should look at, such as columns that are used as they are.
    """

    tables: dict[str, list[Entry]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def to_toml(self) -> str:
        """Return the text of a TOML file; every guess has a comment."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# A first configuration, guessed from the files: check each line, then run"
        yield "#   recommender validate --config THIS_FILE"
        for table, entries in self.tables.items():
            yield ""
            yield f"[{table}]"
            width = max(len(_line(entry)) for entry in entries)
            for entry in entries:
                yield f"{_line(entry):{min(width, 44)}}  # {entry.why}" if entry.why else _line(entry)
            yield from (f"# {note}" for note in self.notes.get(table, ()))


def guess_config(
    products: Path,
    events: Path | None = None,
    photos: Path | None = None,
    start: Path = Path(),
    users: Path | None = None,
) -> GuessedConfig:
    """Guess the configuration of a shop's files.

    Parameters
    ----------
    products, events
        Files as `[catalog] path` and `[events] path` may name; of a large file the first part is read.
    photos
        Folder or zip of photos.
    start
        The folder that the paths are written relative to.
    users
        File of users' attributes.

    Raises
    ------
    DataError
        If a file cannot be read, or no column of the products looks like an id.
    """
    table = _head(products)
    guessed = GuessedConfig()
    log = None if events is None else _head(events)
    tracker = None if log is None else format_of_events(log, DataReport())
    if log is not None and events is not None and tracker is not None:
        guessed.tables["events"] = [Entry("path", _relative(events, start)), _format_entry(EVENTS[tracker])]
        log = None
    shop = format_of_products(table, DataReport())
    if shop is not None:
        photo = [] if photos is None else [Entry("images", _relative(photos, start), "photos without an address")]
        path = Entry("path", _relative(products, start))
        guessed.tables = {"catalog": [path, _format_entry(PRODUCTS[shop]), *photo], **guessed.tables}
        table = as_products(table, shop, DataReport())
    item_column, id_column = _common_ids(table, log)
    if shop is None:
        _add_products(guessed, table, id_column, products, photos, start)
    if log is not None and events is not None:
        entries, guessed.notes["events"] = _event_guesses(log, item_column)
        guessed.tables["events"] = [Entry("path", _relative(events, start)), *entries]
        if weights := _weights(log, entries):
            guessed.tables["events.weights"] = weights
    if users is not None:
        guessed.tables["users"] = [Entry("path", _relative(users, start)), _user_id(_head(users))]
    return guessed


def _format_entry(format: Format) -> Entry:
    return Entry("format", format.name, f"the headings are those of {format.title}")


def _add_products(
    guessed: GuessedConfig, table: Table, id_column: str, products: Path, photos: Path | None, start: Path
) -> None:
    """Add what the columns of products are to a configuration."""
    guesses = _product_guesses(table, id_column)
    if photos is not None:
        guesses.update(_photo_guess(table, guesses, photos, start))
    lists = {"catalog.levels": _levels(table), "catalog.separators": _separators(table)}
    catalog = [Entry("path", _relative(products, start)), *guesses.values()]
    tables = {"catalog": catalog, **{name: entries for name, entries in lists.items() if entries}}
    guessed.tables = tables | guessed.tables
    guessed.notes["catalog"] = list(_other_columns(table, guesses))


def _head(path: Path) -> Table:
    """Return the first rows of a file."""
    first = next(read_parts(path, DataReport()), None)
    if first is None:
        raise DataError(f"{path.name} has no rows")
    return unpacked(first.where(np.arange(len(first.frame)) < _ROWS))


def _relative(path: Path, start: Path) -> str:
    try:
        return str(path.resolve().relative_to(start.resolve()))
    except ValueError:
        return str(path.resolve())


def _candidates(
    table: Table, headings: Iterable[str], fits: Callable[[pd.Series], bool], taken: Iterable[str] = ()
) -> Iterator[str]:
    """Yield the columns that a standard column may come from, the most likely first, hardly filled ones last."""
    columns = sorted(map(str, table.frame), key=lambda column: "." in column)  # inner ones last
    plain_names = {column: plain(column.rpartition(".")[2]) for column in columns}
    sparse = []
    for heading in headings:
        for column, name in plain_names.items():
            if name != heading or column in taken or not fits(table.frame[column]):
                continue
            if len(_filled(table.frame[column])) < _SPARSE * len(table.frame):
                sparse.append(column)
            else:
                yield column
    yield from sparse


def _common_ids(table: Table, log: Table | None) -> tuple[str | None, str]:
    """Return the column of products in the events, None unknown, and the column of ids in the products."""
    unique = [column for column in map(str, table.frame) if _is_id(table.frame[column])]
    by_name = list(_candidates(table, PRODUCT_HEADINGS["id"], _is_id))
    if log is not None:
        found = _best_overlap(table, list(dict.fromkeys([*by_name, *unique])), log)
        if found is not None:
            return found
    ids = [*by_name, *unique, *_candidates(table, PRODUCT_HEADINGS["id"], lambda cells: True)]
    if not ids:
        raise DataError(
            f"{table.name} has no column that looks like an id: filled in every row, each value once. Its columns "
            f"are {', '.join(map(str, table.frame))}; name one in [catalog] id"
        )
    return None, ids[0]


def _best_overlap(table: Table, ids: list[str], log: Table) -> tuple[str, str] | None:
    """Return the columns of the events and of the products that share most of the events' values."""
    best, best_share = None, _MATCHING
    values = {column: set(strings(table.frame[column])) for column in ids}
    named = list(_candidates(log, EVENT_HEADINGS["item_id"], lambda cells: True))
    for column in dict.fromkeys([*named, *log.frame]):
        cells = strings(log.frame[column])
        distinct = cells[cells != ""].unique()
        for id_column, known in values.items():
            share = sum(value in known for value in distinct) / max(1, len(distinct))
            if len(distinct) > 1 and share > best_share + 0.01:  # of equals, the one that is named so
                best, best_share = (str(column), str(id_column)), share
    return best


def _is_id(cells: pd.Series) -> bool:
    texts = strings(cells)
    filled = texts[texts != ""]
    return (
        len(filled) >= _ENOUGH * len(texts)
        and filled.nunique() >= 0.99 * len(filled)
        and float(filled.str.len().mean()) <= _MAX_PART
        and kind_of(cells) != "date"
    )


def _filled(cells: pd.Series) -> pd.Series:
    texts = strings(cells)
    return texts[texts != ""]


def _has_values(cells: pd.Series) -> bool:
    return len(_filled(cells)) > 0


def _is_text(cells: pd.Series) -> bool:
    """Return whether cells have words rather than numbers or links."""
    filled = _filled(cells)
    return bool(len(filled)) and float(filled.str.contains(r"[^\W\d_]{2}").mean()) >= _ENOUGH


def _is_prose(cells: pd.Series) -> bool:
    return _is_text(cells) and float(_filled(cells).str.len().mean()) >= 15


def _is_photo(cells: pd.Series) -> bool:
    filled = _filled(cells).str.lower()
    named = filled.str.contains(r"\.(?:jpe?g|png|webp|gif|avif|bmp)\b|^https?://|^//")
    return bool(len(filled)) and float(named.mean()) >= _ENOUGH


def _is_price(cells: pd.Series) -> bool:
    filled = _filled(cells)
    return bool(len(filled)) and float(filled.str.contains(r"\d").mean()) >= _ENOUGH


def _is_shared(cells: pd.Series) -> bool:
    filled = _filled(cells)
    return bool(len(filled)) and filled.nunique() > 1 and shared(filled)


def _is_moment(cells: pd.Series) -> bool:
    filled = cells[(strings(cells) != "").to_numpy(bool)][:10_000]
    if not len(filled):
        return False
    _, bad = moments(filled.reset_index(drop=True))
    return float(np.mean(bad)) <= 1 - _ENOUGH


_FITS: dict[str, Callable[[pd.Series], bool]] = {
    "title": _is_text,
    "description": _is_prose,
    "image_link": _is_photo,
    "price": _is_price,
    "item_group_id": _is_shared,
    "published_at": _is_moment,
}


def _product_guesses(table: Table, id_column: str) -> dict[str, Entry]:
    """Return an entry for each standard column that was found."""
    guesses = {"id": Entry("id", id_column, _described_id(table, id_column))}
    taken = set() if likely("title", [id_column]) else {id_column}  # a name may be all that tells products apart
    for name, headings in PRODUCT_HEADINGS.items():
        if name == "id":
            continue
        column = next(_candidates(table, headings, _FITS.get(name, _has_values), taken), None)
        if column is not None:
            taken.add(column)
            guesses[name] = Entry(name, column, _described(table, column))
    if "title" not in guesses and "description" in guesses and _is_short(table, guesses["description"]):
        guesses["title"] = Entry("title", guesses["description"].value, guesses.pop("description").why)
    if "title" not in guesses:
        column = next((str(c) for c in table.frame if c not in taken and _is_prose(table.frame[c])), None)
        if column is not None:
            guesses["title"] = Entry("title", column, f"the first column of text; {_described(table, column)}")
    return guesses


def _is_short(table: Table, entry: Entry) -> bool:
    """Return whether a column has names rather than descriptions."""
    return float(_filled(table.frame[entry.value]).str.len().mean()) <= _MAX_TITLE


def _described_id(table: Table, column: str) -> str:
    filled = _filled(table.frame[column])
    distinct = filled.nunique()
    if distinct == len(filled):
        return f"each row has its own, such as {_example(table, column)}"
    return (
        f"{distinct:,} values in {len(filled):,} rows: of each, the first row is kept; {_example(table, column)}"
    )


def _described(table: Table, column: str) -> str:
    share = len(_filled(table.frame[column])) / len(table.frame)
    return f"filled {share:.0%}, such as {_example(table, column)}"


def _example(table: Table, column: str) -> str:
    text = " ".join(next(iter(_filled(table.frame[column])), "").split())
    return repr(text if len(text) <= _EXAMPLE else f"{text[: _EXAMPLE - 1]}…")


def _photo_guess(table: Table, guesses: Mapping[str, Entry], photos: Path, start: Path) -> dict[str, Entry]:
    """Return the entries of a folder or zip of photos, and of the column or template that names them."""
    names = set(_photo_names(photos))
    found = {"images": Entry("images", _relative(photos, start), f"{len(names):,} photos")}
    best, best_share = None, 0.0
    for column in dict.fromkeys([str(guesses["id"].value), *map(str, table.frame)]):
        values = _filled(table.frame[column]).unique()[:10_000]
        for template, image in _image_templates(column, names):
            share = sum(image(value) in names for value in values) / max(1, len(values))
            if share > best_share + 0.01:
                best, best_share = template, share
    if best is not None and best_share >= _MATCHING:
        found["image_link"] = Entry("image_link", best, f"names a photo for {best_share:.0%} of its values")
    elif "image_link" not in guesses:
        found["images"] = Entry("images", _relative(photos, start), "no column names these photos: add image_link")
    return found


def _image_templates(column: str, names: set[str]) -> Iterator[tuple[str, Callable[[str], str]]]:
    yield column, lambda value: value.lower().lstrip("/")
    suffixes = pd.Series([PurePosixPath(name).suffix for name in islice(names, 1000)], dtype="str")
    for suffix in suffixes.value_counts().index[:2]:
        yield f"{{{column}}}{suffix}", partial(_with_suffix, suffix=str(suffix))


def _with_suffix(value: str, suffix: str) -> str:
    return f"{value.lower()}{suffix}"


def _photo_names(photos: Path) -> Iterator[str]:
    """Yield the names of the photos in a folder or zip, in lower case, below the folder that all are in."""
    if not photos.exists():
        raise DataError(f"{photos} is not there; expected the folder or zip of the photos")
    try:
        listed: Iterable[str] = (
            (str(path.relative_to(photos)) for path in photos.rglob("*"))
            if photos.is_dir()
            else zipfile.ZipFile(photos).namelist()
        )
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{photos} is not a readable zip: {error}") from error
    names = [name for name in islice(listed, _MAX_PHOTOS) if PurePosixPath(name).suffix.lower() in _PHOTOS]
    names = [name for name in names if not name.startswith("__MACOSX/")]
    tops = {name.partition("/")[0] for name in names if "/" in name}
    shared_top = f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""
    yield from (name.removeprefix(shared_top).lower() for name in names)


def _separators(table: Table) -> list[Entry]:
    """Return the separator of each column whose cells are lists."""
    found = []
    for column in map(str, table.frame):
        filled = _filled(table.frame[column])
        separator = next((each for each in _SEPARATORS if _separates(filled, each)), None)
        if separator is not None:
            found.append(Entry(column, separator, f"such as {_listed_example(filled, separator)}"))
    return found


def _separates(filled: pd.Series, separator: str) -> bool:
    """Return whether a separator parts cells into short values that other cells have as well."""
    several = filled[filled.str.contains(separator, regex=False)]
    if len(several) < max(2, _LISTED * len(filled)) or filled.str.contains(r"https?://|[<{]").any():
        return False
    parts = lists(filled[:10_000], separator).explode().dropna()
    prose = float(parts.str.count(r"\s").mean()) > 2
    return not prose and float(parts.str.len().mean()) <= _MAX_PART and 2 * parts.nunique() <= len(parts)


def _listed_example(filled: pd.Series, separator: str) -> str:
    text = next(value for value in filled if separator in value)
    return repr(text if len(text) <= _EXAMPLE else f"{text[: _EXAMPLE - 1]}…")


def _levels(table: Table) -> list[Entry]:
    """Return the separator of levels of each column of paths, such as ``Men/Tops``; " > " needs none."""
    found = []
    for column in map(str, table.frame):
        filled = _filled(table.frame[column])
        for separator in _LEVELS:
            deep = filled.str.contains(rf"[^\W\d_]\s?{re.escape(separator)}\s?[^\W\d_]")
            if not len(filled) or float(deep.mean()) < _MATCHING or filled.str.contains("://|<| > ").any():
                continue
            if shared(filled):
                found.append(Entry(column, separator, f"such as {_example(table, column)}"))
                break
    return found


def _other_columns(table: Table, guesses: Mapping[str, Entry]) -> Iterator[str]:
    used = {str(entry.value) for entry in guesses.values()}
    others = [
        f"{column} ({kind_of(table.frame[column])})" for column in map(str, table.frame) if column not in used
    ]
    if others:
        yield f"further columns, to learn from and to filter on: {', '.join(others)}"


def _event_guesses(log: Table, item_column: str | None) -> tuple[list[Entry], list[str]]:
    """Return the entries of the events, and notes on what could not be guessed."""
    entries, notes = [], []
    columns: dict[str, str] = {} if item_column is None else {"item_id": item_column}
    fits = {"timestamp": _is_moment, "event_name": _is_shared, "value": _is_number, "quantity": _is_number}
    for name, headings in EVENT_HEADINGS.items():
        taken = set(columns.values())
        column = columns.get(name) or next(_candidates(log, headings, fits.get(name, _has_values), taken), None)
        if column is not None:
            columns[name] = column
    for name in ("user_id", "item_id", "timestamp"):
        if name in columns:
            entries.append(Entry(name, columns[name], _described(log, columns[name])))
        else:
            notes.append(f'{name} = "..."  # no column looks like it; there are {", ".join(map(str, log.frame))}')
    entries.append(_event_name(log, columns))
    for name in ("value", "quantity", "price"):
        if name in columns:
            entries.append(Entry(name, columns[name], _described(log, columns[name])))
    return entries, notes


def _user_id(table: Table) -> Entry:
    """Return the entry of the users' id: a column of that name, or the first whose values differ."""
    ids = [column for column in map(str, table.frame) if _is_id(table.frame[column])]
    column = next(_candidates(table, EVENT_HEADINGS["user_id"], _is_id), None) or next(iter(ids), "user_id")
    return Entry(
        "user_id", column, _described(table, column) if column in table.frame else "no column looks like it"
    )


def _weights(log: Table, entries: Iterable[Entry]) -> list[Entry]:
    """Return a weight for each event name that has none."""
    column = next(str(entry.value) for entry in entries if entry.key == "event_name")
    if column not in log.frame:
        return []
    names = _filled(log.frame[column]).value_counts()
    unknown = [str(name) for name in names.index if name not in EVENT_WEIGHTS][:_MAX_WEIGHTS]
    return [Entry(name, _weight(name), f"{names[name]:,} events; a guess") for name in unknown]


def _weight(name: str) -> float:
    """Return the weight of the known event whose words a name has."""
    return next((weight for words, weight in _WEIGHT_OF.items() if re.search(words, name.lower())), 1.0)


def _event_name(log: Table, columns: Mapping[str, str]) -> Entry:
    if "event_name" in columns:
        names = _filled(log.frame[columns["event_name"]]).value_counts()
        return Entry("event_name", columns["event_name"], ", ".join(map(str, names.index[:4])))
    if "value" in columns:
        return Entry("event_name", "rate", "there is no column of event names, but one of ratings")
    return Entry("event_name", "purchase", "there is no column of event names: taken as purchases")


def _is_number(cells: pd.Series) -> bool:
    values, bad = numbers(cells)
    return bool(np.isfinite(values).any()) and float(np.mean(bad)) <= 1 - _ENOUGH


def _line(entry: Entry) -> str:
    key = entry.key if re.fullmatch(r"[A-Za-z0-9_-]+", entry.key) else _quoted(entry.key)
    return f"{key} = {_quoted(entry.value) if isinstance(entry.value, str) else entry.value}"


def _quoted(text: str) -> str:
    """Return a basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
