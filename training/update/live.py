"""Live changes beside a catalogue: of both, the newer wins; what a generation supersedes is absorbed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recommender.bundle import current, lineage_of, open_bundle
from recommender.bundle.generations import names
from recommender.catalog import Catalog
from recommender.catalog.images.sources import open_images
from recommender.config import Config
from recommender.core.blocks import Double
from recommender.items import Attributes
from recommender.items.columns import posix
from recommender.items.sales import SALE, complete_offer
from recommender.loading import open_attributes, open_row_times
from recommender.progress import notice
from recommender.stores import open_store
from recommender.stores.base import ItemOverlay, OverlayEntry


@dataclass(frozen=True)
class CatalogTimes:
    """The moments, in POSIX seconds, at which a catalogue says of products what it says.

    Parameters
    ----------
    rows
        Of each product that it has.
    as_of
        Of a catalogue that is complete, so that all others are not for sale; None otherwise. It says nothing of
        products that were put over the API.
    """

    rows: Mapping[str, float]
    as_of: float | None = None

    @classmethod
    def of(cls, catalog: Catalog, complete: bool) -> "CatalogTimes":
        """Return the moments of a catalogue."""
        return cls(
            dict(zip(catalog.ids, catalog.times().tolist(), strict=True)), catalog.as_of if complete else None
        )

    def latest(self, entry: OverlayEntry, known: float) -> float:
        """Return the moment of what is known of a product, NaN for none; `known` is that of the bundle's row."""
        moment = self.rows.get(entry.item_id)
        if moment is None and not (entry.added and entry.attributes is not None):
            moment = self.as_of
        return float(np.fmax(known, np.nan if moment is None else moment))


def reconcile(overlay: ItemOverlay, root: Path, generation: str) -> None:
    """Bring queue and overlay in line with a generation that has become current, such as by a rollback.

    What was embedded in generations that it does not follow is queued again, what they absorbed counts again, what
    its own rows supersede is absorbed (they may be of an update without the store), and what no rollback needs is
    deleted.
    """
    restored = overlay.restore(generation)
    bundle = open_bundle(root, generation)
    rows = open_attributes(bundle)
    times = open_row_times(bundle, len(rows))
    older = [entry for entry in entries_of(overlay) if entry.is_older(_row_time(entry, rows, times))]
    overlay.absorb(older, generation)
    again = overlay.requeue(lineage_of(root, generation).overlay_revision)
    if again or restored:
        notice(
            f"{again:,} changes over HTTP were embedded in other generations than {generation}: they are embedded "
            f"again; {restored:,} that those had absorbed count again"
        )
    overlay.purge(min(names(root)))


def _row_time(entry: OverlayEntry, attributes: Attributes, times: Double) -> float:
    row = attributes.row_of(entry.item_id)
    return float(times[row]) if row >= 0 else np.nan


def settle(
    overlay: ItemOverlay, root: Path, contained: Sequence[OverlayEntry], older: Iterable[OverlayEntry]
) -> None:
    """Empty queue and overlay of what the current generation contains, after it was published.

    Parameters
    ----------
    overlay
        The overlay.
    root
        The bundle's folder.
    contained
        The queued entries that it has.
    older
        Entries that the catalogue supersedes in it.
    """
    generation = current(root)
    embedded = lineage_of(root, generation).overlay_revision
    for published in (True, False):
        overlay.mark_embedded(
            [each for each in contained if (_revision(each) <= embedded) is published], published
        )
    overlay.absorb(older, generation)


def _revision(entry: OverlayEntry) -> int:
    return entry.queued or 0


@dataclass(frozen=True)
class LiveChanges:
    """The live changes that a fit takes in.

    Parameters
    ----------
    store_url
        Of their store; None where there is none.
    revision
        Of the overlay.
    entries
        All of them.
    """

    store_url: str | None = None
    revision: int = 0
    entries: Sequence[OverlayEntry] = ()

    @classmethod
    def read(cls, store_url: str | None) -> "LiveChanges":
        """Read the overlay of a store."""
        if store_url is None:
            return cls()
        with open_store(store_url) as store:
            revision = store.overlay.revision()
            entries = entries_of(store.overlay)
        return cls(store_url, revision, [each for each in entries if each.revision <= revision])

    def settle(self, root: Path, times: CatalogTimes) -> None:
        """Empty queue and overlay of what a fit has, once it is published."""
        if self.store_url is None:
            return
        queued = [entry for entry in self.entries if (entry.queued or 0) > 0]
        older = [entry for entry in self.entries if entry.is_older(times.latest(entry, np.nan))]
        with open_store(self.store_url) as store:
            settle(store.overlay, root, queued, older)


def entries_of(overlay: ItemOverlay) -> list[OverlayEntry]:
    """Return all entries of an overlay."""
    return [entry for entry in overlay.read().values() if entry is not None]


def with_overlay(catalog: Catalog, entries: Iterable[OverlayEntry], config: Config | None = None) -> Catalog:
    """Return a catalogue with the live changes that are newer than its rows, and the products of the API.

    Parameters
    ----------
    catalog
        The products of a file.
    entries
        Live changes.
    config
        By which images of further products are opened; None leaves the source of images as it is.
    """
    merged = _Merged(catalog)
    for entry in entries:
        merged.put(entry)
    return merged.catalog(config)


class _Merged:
    """The cells of a catalogue by product, with changes of some."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._kinds = {column.name: column.kind for column in catalog.columns}
        self._row_of = {item_id: row for row, item_id in enumerate(catalog.ids)}
        self._times = catalog.times()
        self._changed: dict[int, Mapping[str, Any]] = {}
        self._added: dict[str, Mapping[str, Any]] = {}
        self._removed: list[int] = []

    def put(self, entry: OverlayEntry) -> None:
        row = self._row_of.get(entry.item_id)
        if row is None:
            if entry.added and entry.attributes is not None:
                self._added[entry.item_id] = self._offer(entry.attributes)
            return
        change = entry.since(self._times[row])
        if change is None:
            self._removed.append(row)
        elif change:
            self._changed[row] = self._offer(change)

    def _offer(self, change: Mapping[str, Any]) -> Mapping[str, Any]:
        return complete_offer(change) if SALE.issubset(self._kinds) else change

    def catalog(self, config: Config | None) -> Catalog:
        if not self._changed and not self._added and not self._removed:
            return self._catalog
        before = self._catalog.frame
        frame = pd.DataFrame({"id": pd.Series([*self._catalog.ids, *self._added], dtype=before["id"].dtype)})
        for name, kind in self._kinds.items():
            frame[name] = self._column(name, kind)
        retained = np.setdiff1d(np.arange(len(frame)), self._removed)
        order = retained[np.argsort(frame["id"].to_numpy(object)[retained], kind="stable")]
        frame = frame.iloc[order].reset_index(drop=True)
        times = np.append(self._times, np.full(len(self._added), np.nan))[order]
        images, refs = self._catalog.images, frame.get("image_link", pd.Series(dtype=object))
        if config is not None:
            images = open_images(config, refs.tolist())
        return replace(self._catalog, frame=frame, row_times=times, images=images)

    def _column(self, name: str, kind: str) -> pd.Series:
        cells = self._catalog.frame[name].tolist()
        for row, change in self._changed.items():
            if name in change:
                cells[row] = _cell(change[name], kind)
        cells += [_cell(change.get(name), kind) for change in self._added.values()]
        return pd.Series(cells, dtype=self._catalog.frame[name].dtype)


def _cell(value: Any, kind: str) -> Any:
    """Return a value of JSON as a cell of a catalogue's frame."""
    if kind == "number":
        return np.nan if value is None else float(value)
    if kind == "date":
        seconds = posix(value) if isinstance(value, str) else None
        return pd.NaT if seconds is None else pd.Timestamp(seconds, unit="s")
    if kind == "multi":
        return [value] if isinstance(value, str) else list(value or [])
    return value or ""


def added_ids(entries: Iterable[OverlayEntry]) -> Collection[str]:
    """Return the ids of the products that only the API has."""
    return {entry.item_id for entry in entries if entry.added and entry.attributes is not None}
