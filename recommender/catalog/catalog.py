"""The catalogue: the validated table of products."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog.columns import ColumnSpec, columns_of
from recommender.catalog.files.sources import parts_of
from recommender.catalog.files.tables import Table, frame_table, read_table
from recommender.catalog.images.files import ImageSource
from recommender.catalog.images.sources import open_images
from recommender.catalog.mapping import UPDATED_AT, map_products, select_products, sources_of
from recommender.catalog.report import DataReport
from recommender.catalog.values.boilerplate import find_boilerplate, without_boilerplate
from recommender.catalog.values.cells import fill
from recommender.catalog.values.ids import aliases_of
from recommender.config import Config
from recommender.items.schema import Kind

_MAX_SHOWN = 80  # characters of boilerplate


@dataclass(frozen=True)
class Catalog:
    """The products of a shop, sorted by id; the row of a product is its position.

    Attributes
    ----------
    frame
        (n, columns) with a RangeIndex and the names of Google Merchant's product data. "id", categories and
        texts are strings, "" missing; multi-valued columns lists of strings; numbers float64, NaN missing; dates
        datetime64[us] in UTC without zone, NaT missing.
    columns
        Name, kind and use of each column but "id".
    images
        The source of images.
    report
        Problems of the file.
    text
        Template over `frame` of the text that is encoded; None: title and description.
    boilerplate
        Column to the pieces of its texts that stand in most of them, and are not encoded.
    excluded
        Ids of the products that `[catalog] where` leaves out.
    unsold
        Ids of the products of the file that the shop does not sell, such as drafts.
    as_of
        Moment of the file in POSIX seconds: what is older than that it knows.
    row_times
        Moment of each row in POSIX seconds, (n,); NaN of products that the file does not have. By default `as_of`.
    """

    frame: pd.DataFrame
    columns: tuple[ColumnSpec, ...]
    images: ImageSource
    report: DataReport = field(default_factory=DataReport)
    text: str | None = None
    boilerplate: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    unsold: frozenset[str] = frozenset()
    as_of: float = 0.0
    row_times: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each row, in ascending order of strings."""
        ids: list[str] = self.frame["id"].tolist()
        return ids

    @cached_property
    def _rows(self) -> pd.Index:
        return pd.Index(self.ids, dtype=object)

    def times(self) -> NDArray[np.float64]:
        """Return the moment of each row in POSIX seconds, (n,); NaN of products that the file does not have."""
        return np.full(len(self), self.as_of) if self.row_times is None else self.row_times

    def row_of(self, ids: Iterable[str]) -> NDArray[np.int32]:
        """Return the row of each id, int32, -1 for an unknown one."""
        return self._rows.get_indexer(pd.Index(ids, dtype=object)).astype(np.int32)

    @cached_property
    def aliases(self) -> dict[str, dict[str, int]]:
        """The values by which events may name a product, too, see `recommender.catalog.values.ids.aliases_of`."""
        return aliases_of(self.frame)

    def texts(self) -> list[str]:
        """Return the text of each product that is encoded (n,), "" for none."""
        if self.text is not None:
            texts: list[str] = fill(self.text, self._without_boilerplate()).tolist()
            return texts
        frame = self._without_boilerplate()
        title, description = (self._strings(name, frame) for name in ("title", "description"))
        return [". ".join(filter(None, both)) for both in zip(title, description, strict=True)]

    def _without_boilerplate(self) -> pd.DataFrame:
        known = {name: pieces for name, pieces in self.boilerplate.items() if name in self.frame}
        return self.frame.assign(
            **{name: without_boilerplate(self.frame[name].tolist(), pieces) for name, pieces in known.items()}
        )

    def image_refs(self) -> list[str]:
        """Return the reference of each product's image in `images` (n,), "" for none."""
        return self._strings("image_link", self.frame)

    def _strings(self, name: str, frame: pd.DataFrame) -> list[str]:
        values: list[str] = frame[name].tolist() if name in frame else [""] * len(self)
        return values

    @classmethod
    def load(
        cls,
        config: Config,
        strict: bool = False,
        attribute_kinds: Mapping[str, Kind] | None = None,
        as_of: float | None = None,
    ) -> Self:
        """Read the products that a config names.

        Parameters
        ----------
        config
            Names the file and its columns.
        strict
            Whether a problem that leaves something out is an error.
        attribute_kinds
            Of columns, as in a bundle; by default what most of their cells are.
        as_of
            Moment of the file in POSIX seconds, by default that of its last modification.

        Raises
        ------
        DataError
            If the file cannot be read, lacks a mapped column or has no product; with `strict`, if anything in it
            was left out.
        ConfigError
            If a template or `learn` names a column that is not there.
        """
        report = DataReport()
        path = config.resolve(config.catalog.path)
        table = read_table(path, report)
        as_of = modified_at(path) if as_of is None else as_of
        return cls._checked(table, config, None, report, strict, attribute_kinds, as_of)

    @classmethod
    def _checked(
        cls,
        table: Table,
        config: Config,
        images: ImageSource | None,
        report: DataReport,
        strict: bool,
        kinds: Mapping[str, Kind] | None,
        as_of: float,
    ) -> Self:
        """Map a table and print its problems; raise if `strict`."""
        catalog = cls._of(table, config, images, report, kinds, as_of)
        report.count_used("products", table.name, len(catalog))
        report.print_summary()
        report.raise_if_strict(strict)
        return catalog

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        images: "Path | str | ImageSource | None" = None,
        *,
        strict: bool = False,
        attribute_kinds: Mapping[str, Kind] | None = None,
        as_of: float | None = None,
        **mapping: Any,
    ) -> Self:
        """Take products from a pandas frame, with the checks that a file goes through.

        Parameters
        ----------
        frame
            One product a row, its columns named as in a file: id, title, price and so on. Whole numbers are ids,
            too: 12 is "12".
        images
            Folder or zip of images, or an `ImageSource`.
        strict
            Whether a problem that leaves something out is an error.
        attribute_kinds
            As in `load`.
        as_of
            Moment of the frame in POSIX seconds, by default now.
        mapping
            As in a config's ``[catalog]``, such as ``id="article_id"``.

        Raises
        ------
        DataError
            If the frame has no rows, no column of ids, or ids that are floats; else as `load`.
        ConfigError
            If the mapping has an unknown key; else as `load`.
        """
        folder, source = (images, None) if isinstance(images, Path | str) else (None, images)
        name, report = "products frame", DataReport()
        config = Config.from_mapping({"catalog": {"path": name, "images": folder, **mapping}})
        table = frame_table(frame, name, sources_of(config.catalog.id), 'id="sku"', report)
        as_of = time.time() if as_of is None else as_of
        return cls._checked(table, config, source, report, strict, attribute_kinds, as_of)

    @classmethod
    def _of(
        cls,
        table: Table,
        config: Config,
        images: ImageSource | None,
        report: DataReport,
        kinds: Mapping[str, Kind] | None,
        as_of: float,
    ) -> Self:
        table, excluded = select_products(table, config.catalog, report)
        frame, found = map_products(table, config.catalog, report, kinds)
        times = None
        if config.catalog.updated_at is not None:
            times = _row_times(frame.pop(UPDATED_AT), as_of)
        columns = columns_of(frame, found, config.catalog)
        refs = frame["image_link"].tolist() if "image_link" in frame else []
        if config.catalog.images is not None and not any(refs):
            hint = 'photos are given, but no product has an image_link; expected such as image_link = "{id}.jpg"'
            report.add("no image links", table.name, [0], [""], lambda i: hint, "warning")
        source = open_images(config, refs) if images is None else images
        boilerplate = _boilerplate(frame, found)
        for name, pieces in boilerplate.items():
            _report_boilerplate(name, pieces, table.name, report)
        unsold = table.unsold - frozenset(frame["id"])
        text = config.catalog.text
        catalog = cls(frame, columns, source, report, text, boilerplate, excluded, unsold, as_of, times)
        catalog._count()
        return catalog

    def _count(self) -> None:
        """Add the counts of products and of missing values to the report."""
        self.report.facts = {"products": len(self), **self.report.facts}
        self.report.facts["products without a text"] = self.texts().count("")
        self.report.facts["products without an image link"] = self.image_refs().count("")
        learned = [column.name for column in self.columns if column.learn and column.kind != "number"]
        known = [self.frame[name].map(bool).to_numpy(bool) for name in learned]
        self.report.facts["products without a category"] = (
            int((~np.any(known, axis=0)).sum()) if known else len(self)
        )


def modified_at(path: Path) -> float:
    """Return when a file, or the latest one of a folder, was modified last, in POSIX seconds."""
    return max(part.stat().st_mtime for part in (parts_of(path) if path.is_dir() else [path]))


def _row_times(moments: "pd.Series[pd.Timestamp]", as_of: float) -> NDArray[np.float64]:
    """Return POSIX seconds; the moment of the file where a row has none, or one that is yet to come."""
    seconds = moments.to_numpy("datetime64[us]").astype(np.int64) / 1e6
    given = moments.notna().to_numpy(bool) & (seconds <= time.time())
    return np.where(given, seconds, as_of)


def _boilerplate(frame: pd.DataFrame, kinds: Mapping[str, Kind]) -> dict[str, tuple[str, ...]]:
    """Return the pieces of each column of prose that stand in most products, variants counted once."""
    prose = [name for name, kind in kinds.items() if kind == "text" and name not in ("title", "image_link")]
    groups = frame.get("item_group_id", frame["id"])
    groups = groups.where(groups != "", frame["id"])
    found = {name: find_boilerplate(frame[name][~_repeated(groups, frame[name])].tolist()) for name in prose}
    return {name: pieces for name, pieces in found.items() if pieces}


def _repeated(groups: pd.Series, texts: pd.Series) -> "pd.Series[bool]":
    return pd.DataFrame({"group": groups, "text": texts}).duplicated()


def _report_boilerplate(name: str, pieces: Sequence[str], file: str, report: DataReport) -> None:
    for piece in pieces:
        message = f'{name}: "{piece[:_MAX_SHOWN]}" stands in most products; it is shown, but not encoded'
        report.add_group("boilerplate", file, "", 1, message, "warning")
