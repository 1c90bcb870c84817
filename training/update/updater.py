"""Takes up what has changed of the products since a bundle was published, in seconds and without training."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from recommender import load
from recommender.bundle import open_bundle
from recommender.catalog import Catalog
from recommender.config import Config
from recommender.encoders.base import Encoder
from recommender.encoders.registry import create_for
from recommender.errors import RecommenderError
from recommender.progress import notice
from recommender.recommender import Recommender
from recommender.stores import Store
from training.update.compact import compact
from training.update.delta import publish_delta
from training.update.embed import Cells, completed, embed, told

# Measured on 25,000 products: with a delta of 4 % a user's question takes 1.6 times as long, and a new base is
# built in half a minute; at 0.4 % it is 1.16 times.
COMPACT_SHARE = 0.05


@dataclass(frozen=True)
class Updated:
    """What one update did.

    Parameters
    ----------
    generation
        The new generation; None if nothing had changed.
    embedded, removed
        How many products were changed or added, and how many removed.
    compacted
        Whether a new base was built in the end.
    seconds
        Until the changes were in the published bundle.
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
    """Return what a TOML says, or, without one, what the bundle was fitted with; `images` has the last word."""
    if config is not None:
        found = Config.load(config, data)
    else:
        found = Config.model_validate(open_bundle(root).manifest.config)
    if images is None:
        return found
    return found.model_copy(update={"catalog": found.catalog.model_copy(update={"images": images.absolute()})})


@dataclass
class Updater:
    """Updates one folder of bundles; keeps the encoder between updates.

    Parameters
    ----------
    root
        The bundle's folder.
    config
        Says what the columns of `changed` mean, where photos are, and what the text encoder reads.
    changed
        A file of products that were changed or added; None where only the store is asked.
    complete
        Whether that file has all products, so that those it lacks were removed.
    store
        Whose queue of changed products is taken up.
    cache_dir
        Where encoder vectors are kept.
    encoder
        By default the bundle's own, loaded when it is needed.
    """

    root: Path
    config: Config
    changed: Path | None = None
    complete: bool = False
    store: Store | None = None
    cache_dir: Path | None = None
    encoder: Encoder | None = None
    _read: float = 0.0

    def update(self) -> Updated:
        """Publish what has changed, if anything has; a file that was read before is read again once it is newer.

        Raises
        ------
        DataError, BundleError, EncoderError
            If the file cannot be read, another generation was published meanwhile, or the encoder cannot be had.
        """
        started = perf_counter()
        queued = self.store.overlay.queued() if self.store is not None else []
        stamp = self.changed.stat().st_mtime if self.changed is not None else 0.0
        if stamp == self._read and not queued:
            return Updated()
        recommender = load(self.root)
        said, removed = self._said(recommender, stamp != self._read)
        for product in queued:  # the service heard of it after the file was written
            if product.attributes is None:
                said.pop(product.item_id, None)
                removed.add(product.item_id)
            else:
                said[product.item_id] = {**said.get(product.item_id, {}), **product.attributes}
                removed.discard(product.item_id)
        known = sorted(item_id for item_id in removed if item_id in recommender)
        done = self._publish(recommender, said, known, started)
        self._read = stamp
        if self.store is not None:
            self.store.overlay.mark_embedded(queued)
        return done

    def watch(self, seconds: float) -> Iterator[Updated]:
        """Update again and again; yield what was published. What fails is told, and tried again."""
        while True:
            try:
                done = self.update()
            except (RecommenderError, OSError) as error:
                notice(f"not updated: {error}")
            else:
                if done.generation is not None:
                    yield done
            sleep(seconds)

    def _said(self, recommender: Recommender, anew: bool) -> tuple[dict[str, Cells], set[str]]:
        """Return what the file says of each product, and the products that it says are gone."""
        if self.changed is None or not anew:
            return {}, set()
        entries = {"path": self.changed.absolute(), "learn": []}
        config = self.config.model_copy(update={"catalog": self.config.catalog.model_copy(update=entries)})
        said = told(Catalog.load(config), recommender)
        return said, set(recommender.ids) - said.keys() if self.complete else set()

    def _publish(
        self, recommender: Recommender, said: dict[str, Cells], removed: list[str], started: float
    ) -> Updated:
        if not said and not removed:
            return Updated()
        if self.encoder is None:
            self.encoder = create_for(recommender.bundle)
        embedded = embed(recommender, completed(recommender, said, self.config), self.encoder, self.cache_dir)
        if not embedded.ids and not removed:
            return Updated()
        generation = publish_delta(recommender, embedded, removed)
        seconds = round(perf_counter() - started, 2)
        delta = open_bundle(self.root).manifest.extra["delta"]
        compacted = delta["rows"] + delta["removed"] > COMPACT_SHARE * delta["base_n"]
        if compacted:
            generation = compact(self.root)
        return Updated(generation, len(embedded.ids), len(removed), compacted, seconds)
