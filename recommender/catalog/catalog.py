"""The validated product table."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog.cells import Kind, dates, fill, kind_of, lists, numbers, strings
from recommender.catalog.columns import STANDARD, Column, columns_of
from recommender.catalog.images import ImageSource, open_images
from recommender.catalog.report import DataReport
from recommender.catalog.tables import Table, frame_table, read_table, unpacked
from recommender.config import CatalogConfig, Config
from recommender.errors import ConfigError, DataError

_OWN_NAME = {"image_link": ("image_link", "image")}


@dataclass(frozen=True)
class Catalog:
    """A shop's products, sorted by id; the row of a product is its position.

    Attributes
    ----------
    frame
        (n, columns) with a RangeIndex and the names of Google Merchant's product data. "id", categories and
        texts are strings, "" missing; multi-valued columns lists of strings; numbers float64, NaN missing; dates
        datetime64[us] in UTC without zone, NaT missing.
    columns
        What each column but "id" is.
    images
        Where photos come from.
    report
        What was wrong with the file.
    text
        Template over `frame` of what a text encoder reads; None: title and description.
    """

    frame: pd.DataFrame
    columns: tuple[Column, ...]
    images: ImageSource
    report: DataReport = field(default_factory=DataReport)
    text: str | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each row, ascending, as plain strings compare."""
        ids: list[str] = self.frame["id"].tolist()
        return ids

    @cached_property
    def _rows(self) -> pd.Index:
        return pd.Index(self.ids, dtype=object)

    def row_of(self, ids: Iterable[str]) -> NDArray[np.int32]:
        """Return the row of each id, int32, -1 for an unknown one."""
        return self._rows.get_indexer(pd.Index(ids, dtype=object)).astype(np.int32)

    def texts(self) -> list[str]:
        """Return what a text encoder reads of each product (n,), "" for nothing."""
        if self.text is not None:
            filled: list[str] = fill(self.text, self.frame).tolist()
            return filled
        title, description = (self._strings(name) for name in ("title", "description"))
        return [". ".join(filter(None, both)) for both in zip(title, description, strict=True)]

    def image_refs(self) -> list[str]:
        """Return what `images` calls the photo of each product (n,), "" for none."""
        return self._strings("image_link")

    def _strings(self, name: str) -> list[str]:
        found: list[str] = self.frame[name].tolist() if name in self.frame else [""] * len(self)
        return found

    @classmethod
    def load(cls, config: Config, strict: bool = False) -> Self:
        """Read the products that a config names.

        Parameters
        ----------
        config
            Where they are and what their columns mean.
        strict
            Whether anything that has to be left out is an error.

        Raises
        ------
        DataError
            If the file cannot be read, lacks a mapped column or holds no product; with `strict`, if anything in
            it was left out.
        ConfigError
            If a template or `learn` names a column that is not there.
        """
        report = DataReport()
        table = read_table(config.resolve(config.catalog.path), report)
        frame, columns = _products(table, config.catalog, report)
        links = frame.get("image_link", pd.Series(dtype="str")).tolist()
        images = open_images(config, links)
        catalog = cls(frame, columns, images, report, config.catalog.text)
        catalog._count()
        report.tell()
        report.raise_if_strict(strict)
        return catalog

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, images: "Path | str | ImageSource | None" = None, **mapping: Any
    ) -> Self:
        """Take products from memory.

        Parameters
        ----------
        frame
            One product a row.
        images
            Folder or zip of photos, or anything that reads them.
        mapping
            As in a config's ``[catalog]``, such as ``id="article_id"``.

        Raises
        ------
        DataError, ConfigError
            As `load`.
        """
        at = Path(images) if isinstance(images, Path | str) else None
        config = Config.model_validate({"catalog": {"path": "table", "images": at, **mapping}})
        report = DataReport()
        found, columns = _products(frame_table(frame), config.catalog, report)
        links = found.get("image_link", pd.Series(dtype="str")).tolist()
        source = images if images is not None and at is None else open_images(config, links)
        catalog = cls(found, columns, source, report, config.catalog.text)  # type: ignore[arg-type]
        catalog._count()
        return catalog

    def _count(self) -> None:
        """Put the number of products into the report, and how many lack what."""
        self.report.facts["products"] = len(self)
        self.report.facts["products without a text"] = self.texts().count("")
        self.report.facts["products without an image link"] = self.image_refs().count("")
        learned = [column.name for column in self.columns if column.learn and column.kind != "number"]
        known = [np.array([bool(cell) for cell in self.frame[name]]) for name in learned]
        bare = ~np.logical_or.reduce(known) if known else np.ones(len(self), bool)
        self.report.facts["products without a category"] = int(bare.sum())


def _products(table: Table, config: CatalogConfig, report: DataReport) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    """Map, check and sort a table's rows."""
    table = unpacked(table)
    for name in config.separators:
        table.require(name, "named in separators")
    ids = _ids(table, config.id)
    keep = _distinct(table, ids, report)
    table, ids = table.where(keep), ids[keep].reset_index(drop=True)
    if not len(ids):
        raise DataError(f"{table.name} has no product with an id in the column {config.id!r}")
    values: dict[str, pd.Series] = {"id": ids}
    kinds: dict[str, Kind] = {}
    for name, cells in _sources(table, config).items():
        kinds[name] = STANDARD.get(name) or kind_of(cells)
        if kinds[name] == "category" and kind_of(cells) == "multi":
            kinds[name] = "multi"
        values[name] = _typed(name, cells, kinds[name], table, ids, report)
    frame = pd.DataFrame(values)
    order = np.argsort(ids.to_numpy(object), kind="stable")
    frame = frame.iloc[order].reset_index(drop=True)
    return frame, columns_of(frame, kinds, config)


def _ids(table: Table, column: str) -> pd.Series:
    if "{" in column:
        return fill(column, table.frame)
    table.require(column, "the product's id")
    return strings(table.frame[column])


def _distinct(table: Table, ids: pd.Series, report: DataReport) -> NDArray[np.bool_]:
    """Mask the first row of each id; report the others and those without."""
    blank, again = (ids == "").to_numpy(bool), ids.duplicated().to_numpy(bool)
    first = dict(zip(reversed(ids.tolist()), reversed(table.rows.tolist()), strict=True))
    report.add("no id", table.name, table.rows[blank], ids[blank].tolist(), lambda i: "has no id; left out")
    twice = again & ~blank
    known = ids[twice].tolist()
    report.add(
        "duplicate id",
        table.name,
        table.rows[twice],
        known,
        lambda i: f"stands in row {first[known[i]]} already; expected one row a product; left out",
    )
    return ~(blank | again)


def _sources(table: Table, config: CatalogConfig) -> dict[str, pd.Series]:
    """Return the cells of each column of the catalogue by its name there, still as the file has them."""
    frame = table.frame.copy(deep=False)
    for column, separator in config.separators.items():
        frame[column] = lists(frame[column], separator)
    found: dict[str, pd.Series] = {}
    used = {config.id}
    for name in STANDARD:
        asked = getattr(config, name)
        own = next((column for column in _OWN_NAME.get(name, (name,)) if column in frame), None)
        source = own if asked is None else asked
        if source is None:
            continue
        if "{" in source:
            found[name] = fill(source, frame)
            continue
        table.require(source, f"mapped to {name}")
        found[name] = frame[source]
        used.add(source)
    others = config.attributes
    if others is None:
        others = [name for name in frame.columns if name not in used and name not in found and name != "id"]
    for name in others:
        table.require(name, "named in attributes")
        if name in found or name == "id":
            raise ConfigError(f"[catalog] attributes: {name!r} is the name of another column's field already")
        found[name] = frame[name]
    return found


def _typed(name: str, cells: pd.Series, kind: Kind, table: Table, ids: pd.Series, report: DataReport) -> pd.Series:
    """Return cells as values of a kind; what does not fit is missing, and reported."""
    if kind == "multi":
        return lists(cells)
    if kind in ("category", "text"):
        return strings(cells)
    if kind == "number":
        values, bad = numbers(cells)
        if name == "price":
            bad |= values < 0
            values = np.where(bad, np.nan, values)
        _report_bad(name, cells, bad, "a number such as 12.50", table, ids, report)
        return pd.Series(values, index=cells.index)
    moments, bad = dates(cells)
    _report_bad(name, cells, bad, "a date such as 2026-11-23 or 2026-11-23T06:41:07Z", table, ids, report)
    return moments


def _report_bad(
    name: str,
    cells: pd.Series,
    bad: NDArray[np.bool_],
    expected: str,
    table: Table,
    ids: pd.Series,
    report: DataReport,
) -> None:
    found = strings(cells[bad]).tolist()
    message: Callable[[int], str] = lambda i: f'{name} is "{found[i]}"; expected {expected}; taken as missing'
    report.add(f"bad {name}", table.name, table.rows[bad], ids[bad].tolist(), message)
