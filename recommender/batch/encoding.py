"""Encode a catalogue's images and texts on a Ray cluster, in batches.

The workers run the same functions as a single process; each loads the encoder once. This process alone writes to
the cache; cached vectors are not encoded again, so that a job that was interrupted resumes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.batch.answers import chunks
from recommender.batch.on_ray import Cluster
from recommender.encoders.base import Encoder, Metered
from recommender.encoders.cache import Record
from recommender.encoders.photos import image_records, uncached_images
from recommender.encoders.pipeline import cache_of, text_records, uncached_texts
from recommender.encoders.registry import recreate
from recommender.encoders.support.pair import encoder_of
from recommender.encoders.vectors import Precomputed
from recommender.progress import progress

if TYPE_CHECKING:
    from recommender.catalog import Catalog, ImageSource
    from recommender.config import EncoderConfig

BATCH_SIZE = 1024  # images or texts: a multiple of the encoders' batches, which are the same as in one process


@dataclass(frozen=True)
class EncodingTask:
    """What a worker needs to encode images and texts.

    Parameters
    ----------
    config, name, fingerprint, trained
        See `recreate`; the model's folder has this path on every machine.
    images
        Source of the images, on every machine.
    """

    config: Mapping[str, Any]
    name: str
    fingerprint: str
    trained: Path | None
    images: "ImageSource"

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, loaded on first use."""
        return recreate(self.config, self.name, self.fingerprint, self.trained)

    def photos(self, todo: Sequence[tuple[bytes, str]], known: frozenset[bytes]) -> list[Record]:
        """Encode a batch of images, see `image_records`."""
        return [*chain(*image_records(dict(todo), self.images, encoder_of(self.encoder, "image"), known))]

    def texts(self, todo: Sequence[str]) -> list[Record]:
        """Encode a batch of texts, see `text_records`."""
        return [*chain(*text_records(todo, encoder_of(self.encoder, "text")))]


def encode_on(
    cluster: Cluster,
    catalog: "Catalog",
    encoder: Encoder,
    config: "EncoderConfig",
    trained: Path | None = None,
    cache_dir: Path | None = None,
) -> int:
    """Encode the catalogue's images and texts that are not cached; return their number.

    Metered encoders are left to `encode_catalog`.

    Parameters
    ----------
    cluster
        Whose workers encode.
    catalog
        Has the images and texts.
    encoder
        Of this process.
    config, trained
        From which the workers load the encoder, see `recreate`.
    cache_dir
        Folder of the encoder cache.

    Raises
    ------
    RequestError
        See `Cluster`.
    EncoderError
        If the encoder of a worker is a different one.
    """
    cluster.connect()
    serialized = config.model_dump(mode="json")
    work = EncodingTask(serialized, encoder.name, encoder.fingerprint, trained, catalog.images)
    return _photos(cluster, catalog, encoder, work, cache_dir) + _texts(cluster, catalog, encoder, work, cache_dir)


def _photos(
    cluster: Cluster, catalog: "Catalog", both: Encoder, work: EncodingTask, cache_dir: Path | None
) -> int:
    encoder = _mappable(both, "image")
    if encoder is None:
        return 0
    cache = cache_of(encoder, "image", cache_dir)
    _, todo = uncached_images(catalog, encoder, cache)
    known = frozenset(cache.contents().tolist())
    return cache.fill(_map(cluster, "photos", [*todo.items()], lambda: partial(work.photos, known=known)))


def _texts(cluster: Cluster, catalog: "Catalog", both: Encoder, work: EncodingTask, cache_dir: Path | None) -> int:
    encoder = _mappable(both, "text")
    if encoder is None:
        return 0
    cache = cache_of(encoder, "text", cache_dir)
    _, todo = uncached_texts(catalog.texts(), encoder, cache)
    return cache.fill(_map(cluster, "texts", todo, lambda: work.texts))


def _map(
    cluster: Cluster, label: str, todo: Sequence[Any], make: Callable[[], Callable[[Any], list[Record]]]
) -> Iterable[list[Record]]:
    batches = [*chunks(todo, BATCH_SIZE)]
    return progress(cluster.map_unordered(batches, make), label, len(batches), "batch")


def _mappable(both: Encoder, modality: str) -> Encoder | None:
    """Return the encoder of a modality if workers can run it; metered ones are called by this process alone."""
    encoder = encoder_of(both, modality)
    return None if isinstance(encoder, Precomputed | Metered) else encoder
