"""Updates a bundle with changed products, in seconds and without training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
import pandas as pd

from recommender.bundle import current, open_bundle, pull
from recommender.catalog import Catalog
from recommender.config import Config
from recommender.encoders.base import Encoder
from recommender.encoders.registry import create_for_products
from recommender.errors import RecommenderError
from recommender.items.availability import OUT_OF_STOCK
from recommender.progress import notice
from recommender.recommender import Recommender, load
from recommender.stores import Store
from recommender.stores.base import OverlayEntry
from training.update.compact import compact
from training.update.delta import EmbeddedProducts, publish_delta
from training.update.embed import Cells, attribute_cells, attribute_kinds, complete_catalog, embed
from training.update.guard import MAX_REMOVED, check_ids, check_losses, checked_share
from training.update.live import CatalogTimes, added_ids, entries_of, reconcile, settle

# Share of changed products above which a new base is built. Measured on 25,000 products: with a delta of 4 % a
# user's request takes 1.6 times as long, with 0.4 % 1.16 times; a new base is built in half a minute.
COMPACT_SHARE = 0.05


@dataclass(frozen=True)
class UpdateResult:
    """The result of one update.

    Parameters
    ----------
    generation
        The new generation; None if nothing had changed.
    embedded, removed
        Number of products changed or added, and number removed.
    compacted
        Whether a new base was built.
    seconds
        Until the changes were published.
    """

    generation: str | None = None
    embedded: int = 0
    removed: int = 0
    compacted: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.generation is None:
            return "nothing has changed"
        counts = f"{self.embedded:,} products changed or added, {self.removed:,} removed in {self.seconds} s"
        return f"published {self.generation}: {counts}{'; compacted' if self.compacted else ''}"


def config_of(root: Path, config: Path | None, data: Path | None, images: Path | None) -> Config:
    """Return the config of a TOML file, or that of the bundle without one; `images` overrides its path."""
    if config is not None:
        resolved = Config.load(config, data)
    else:
        resolved = Config.model_validate(open_bundle(root).manifest.config)
    if images is None:
        return resolved
    return resolved.model_copy(
        update={"catalog": resolved.catalog.model_copy(update={"images": images.absolute()})}
    )


@dataclass
class FileChanges:
    """What a file changes, and what is queued over it.

    Parameters
    ----------
    changed
        Cells by product.
    removed
        Ids of the products that are not for sale any more.
    times
        Moments of the file's rows.
    """

    changed: dict[str, Cells] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    times: CatalogTimes = field(default_factory=lambda: CatalogTimes({}))

    def put(self, entry: OverlayEntry, known: float, is_known: bool) -> None:
        """Apply what is newer of a live change than the catalogue's row.

        Parameters
        ----------
        entry
            Of the overlay.
        known
            Moment of the bundle's row, NaN for none.
        is_known
            Whether the bundle has the product.
        """
        item_id = entry.item_id
        if entry.attributes is not None:
            known = self.times.latest(entry, known)
        else:  # what the catalogue does not have is removed, whatever is newer
            known = float(np.fmax(known, self.times.rows.get(item_id, np.nan)))
        change = entry.since(known)
        if change is None:
            self.changed.pop(item_id, None)
            self.removed.add(item_id)
        elif change and (is_known or entry.added or item_id in self.changed):
            self.changed[item_id] = {**self.changed.get(item_id, {}), **change}
            self.removed.discard(item_id)

    def decides(self, entry: OverlayEntry, known: float) -> bool:
        """Return whether the file says something newer than a live change that counts so far."""
        moment = self.times.rows.get(entry.item_id)
        return moment is not None and entry.since(float(np.fmax(known, moment))) != entry.since(known)


@dataclass
class Updater:
    """Updates one folder of bundles; keeps the encoder between updates.

    Parameters
    ----------
    root
        The bundle's folder.
    config
        Meaning of the columns of `changed`, path of the images, columns of the encoded text.
    changed
        A file or frame of changed and new products; None to take changes from the store only.
    complete
        Whether that file has all products, so that all others are removed.
    store
        Its queue of changed products is published too.
    cache_dir
        Folder of encoder vectors.
    encoder
        By default that of the bundle, loaded when it is needed.
    max_removed
        The largest share of the current products that the file may remove, or make unavailable; more is refused.
        Products that were removed over HTTP are not counted.
    as_of
        Moment of the file in POSIX seconds, by default that of its last modification: live changes that are older
        than a product's row do not count any more.
    """

    root: Path
    config: Config
    changed: Path | pd.DataFrame | None = None
    complete: bool = False
    store: Store | None = None
    cache_dir: Path | None = None
    encoder: Encoder | None = None
    max_removed: float = MAX_REMOVED
    as_of: float | None = None
    _stamp: float = 0.0
    _generation: str = ""

    def __post_init__(self) -> None:
        checked_share(self.max_removed)

    def update(self) -> UpdateResult:
        """Publish the changes, if there are any; the file is read again only when it is newer.

        Raises
        ------
        DataError, BundleError, EncoderError
            If the file or the encoder cannot be loaded, or another generation was published meanwhile.
        """
        started = perf_counter()
        pull(self.root)
        queued = self._queued()
        stamp = self.changed.stat().st_mtime if isinstance(self.changed, Path) else float(self.changed is not None)
        if stamp == self._stamp and not queued:
            return UpdateResult()
        recommender = load(self.root)
        file = self._file_changes(recommender, queued) if stamp != self._stamp else FileChanges()
        result = self._publish(recommender, file, queued, started)
        self._stamp = stamp
        return result

    def watch(self, seconds: float) -> Iterator[UpdateResult]:
        """Update every so many seconds and yield each published result; errors are logged and retried.

        What was queued in the store is published also while the file is refused.
        """
        while True:
            try:
                result = self.update()
            except (RecommenderError, OSError) as error:
                notice(f"not updated: {error}")
                result = self._update_from_queue() if self.changed is not None else UpdateResult()
            if result.generation is not None:
                yield result
            sleep(seconds)

    def _update_from_queue(self) -> UpdateResult:
        """Publish what is queued, without the file; an error has been logged for both."""
        started = perf_counter()
        try:
            queued = self._queued()
            return self._publish(load(self.root), FileChanges(), queued, started) if queued else UpdateResult()
        except (RecommenderError, OSError):
            return UpdateResult()

    def _queued(self) -> list[OverlayEntry]:
        """Return what is queued, with what was embedded in generations that have been rolled back since."""
        if self.store is None:
            return []
        if (generation := current(self.root)) != self._generation:
            reconcile(self.store.overlay, self.root, generation)
            self._generation = generation
        return self.store.overlay.queued()

    def _file_changes(self, recommender: Recommender, queued: Sequence[OverlayEntry]) -> FileChanges:
        """Return the file's cells by product, and the products that it removes; raises if these are too many."""
        if self.changed is None:
            return FileChanges()
        catalog = self._changed_catalog(self.changed, recommender)
        changed = attribute_cells(catalog, recommender)
        present = set(recommender.ids)
        removed = (
            present - changed.keys() - self._added(recommender) if self.complete else present & catalog.unsold
        )
        newer = {product.item_id for product in queued}
        unavailable = {item_id for item_id, cells in changed.items() if cells.get("availability") == OUT_OF_STOCK}
        source = self.changed.name if isinstance(self.changed, Path) else "the products frame"
        check_ids(source, [*changed], recommender.attributes, self.max_removed)
        check_losses(source, recommender.attributes, removed - newer, unavailable - newer, self.max_removed)
        return FileChanges(changed, removed, CatalogTimes.of(catalog, self.complete))

    def _added(self, recommender: Recommender) -> set[str]:
        """Return the products that only the API has, which a complete file does not remove."""
        without_row = np.flatnonzero(np.isnan(recommender.row_times))
        ids = set(recommender.attributes.ids.ids_of(without_row))
        return ids if self.store is None else ids.union(added_ids(entries_of(self.store.overlay)))

    def _changed_catalog(self, changed: Path | pd.DataFrame, recommender: Recommender) -> Catalog:
        own, kinds = self.config.catalog, attribute_kinds(recommender)
        if isinstance(changed, Path):
            entries = {"path": changed.absolute(), "learn": []}
            config = self.config.model_copy(update={"catalog": own.model_copy(update=entries)})
            return Catalog.load(config, attribute_kinds=kinds, as_of=self.as_of)
        images = None if own.images is None else self.config.resolve(own.images)
        mapping = own.model_dump(exclude={"path", "images", "learn"}, exclude_defaults=True)
        return Catalog.from_frame(changed, images, learn=[], attribute_kinds=kinds, as_of=self.as_of, **mapping)

    def _publish(
        self, recommender: Recommender, file: FileChanges, queued: Sequence[OverlayEntry], started: float
    ) -> UpdateResult:
        """Publish the file's changes and live ones, of which the newer wins; empty queue and overlay of them."""
        entries = entries_of(self.store.overlay) if self.store is not None else []
        waiting = {entry.item_id for entry in queued}
        is_newer = any(file.decides(entry, recommender.row_time(entry.item_id)) for entry in entries)
        for entry in [*queued, *(each for each in entries if each.item_id not in waiting)]:
            if entry.item_id in waiting or entry.item_id in file.changed:
                file.put(entry, recommender.row_time(entry.item_id), entry.item_id in recommender)
        removed = sorted(item_id for item_id in file.removed if item_id in recommender)
        revision = max((entry.queued or 0 for entry in queued), default=0)
        result = self._publish_delta(recommender, file, removed, revision, is_newer, started)
        if self.store is not None:
            now = load(self.root)
            later = {entry.item_id for entry in entries if (entry.queued or 0) > 0} - waiting  # of the next update
            older = [
                entry
                for entry in entries
                if entry.is_older(file.times.latest(entry, now.row_time(entry.item_id)))
                and entry.item_id not in later
            ]
            settle(self.store.overlay, self.root, queued, older)
        return result

    def _publish_delta(
        self,
        recommender: Recommender,
        file: FileChanges,
        removed: list[str],
        overlay_revision: int,
        is_newer: bool,
        started: float,
    ) -> UpdateResult:
        """Publish a delta if anything differs; `is_newer`: the file has the last word on some live change."""
        if not file.changed and not removed:
            return UpdateResult()
        embedded = self._embedded(recommender, file.changed)
        if not embedded.ids and not removed and not is_newer:
            return UpdateResult()
        generation = publish_delta(recommender, embedded, removed, overlay_revision, file.times.rows)
        seconds = round(perf_counter() - started, 2)
        delta = open_bundle(self.root).manifest.extra["delta"]
        compacted = delta["rows"] + delta["removed"] > COMPACT_SHARE * delta["base_n"]
        if compacted:
            generation = compact(self.root)
        return UpdateResult(generation, len(embedded.ids), len(removed), compacted, seconds)

    def _embedded(self, recommender: Recommender, changed: Mapping[str, Cells]) -> EmbeddedProducts:
        if not changed:
            return EmbeddedProducts.none(recommender)
        if self.encoder is None:
            self.encoder = create_for_products(recommender.bundle)
        return embed(
            recommender, complete_catalog(recommender, changed, self.config), self.encoder, self.cache_dir
        )
