"""A catalogue's photos and texts read by a cluster: what the cache lacks, in parts.

The same functions that read them in one process run in the workers, each of which loads the encoder once. This
process alone writes into the cache; what is there is not read again, so a job that was stopped goes on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.batch.answers import chunks
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

SIZE = 1024  # photos or texts in a part: whole batches, each of the same ones as in one process


@dataclass(frozen=True)
class Encoding:
    """All that a worker needs to know to read photos and texts.

    Parameters
    ----------
    config, name, fingerprint, trained
        See `recreate`; the model's folder is under this name on every machine.
    images
        Where photos come from, on every machine.
    """

    config: Mapping[str, Any]
    name: str
    fingerprint: str
    trained: Path | None
    images: "ImageSource"

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, loaded when it is first asked."""
        return recreate(self.config, self.name, self.fingerprint, self.trained)

    def photos(self, todo: Sequence[tuple[bytes, str]], known: frozenset[bytes]) -> list[Record]:
        """Read some photos, see `image_records`."""
        return [*chain(*image_records(dict(todo), self.images, encoder_of(self.encoder, "image"), known))]

    def texts(self, todo: Sequence[str]) -> list[Record]:
        """Read some texts, see `text_records`."""
        return [*chain(*text_records(todo, encoder_of(self.encoder, "text")))]


@dataclass(frozen=True)
class Cluster:
    """Reads what the cache lacks on Ray, see `recommender.batch.on_ray.connect`.

    Parameters
    ----------
    address
        Of the cluster; by default one is started on this machine.
    gpus
        That each worker has, or a share of one; 0 reads with the processors.
    size
        Photos or texts in a part.
    """

    address: str | None = None
    gpus: float = 0
    size: int = SIZE

    def fill(
        self,
        catalog: "Catalog",
        encoder: Encoder,
        config: "EncoderConfig",
        trained: Path | None = None,
        cache_dir: Path | None = None,
    ) -> int:
        """Put into the cache what the encoder makes of a catalogue's photos and texts; returns how many were new.

        What a provider's encoder is to read is left to `encode_catalog`.

        Parameters
        ----------
        encoder
            As this process has it.
        config, trained
            What the workers load it from, see `recreate`.

        Raises
        ------
        RequestError
            See `connect`.
        EncoderError
            If a worker has another encoder.
        """
        from recommender.batch.on_ray import connect

        connect(self.address)
        said = config.model_dump(mode="json")
        work = Encoding(said, encoder.name, encoder.fingerprint, trained, catalog.images)
        return self._photos(catalog, encoder, work, cache_dir) + self._texts(catalog, encoder, work, cache_dir)

    def _photos(self, catalog: "Catalog", both: Encoder, work: Encoding, cache_dir: Path | None) -> int:
        encoder = _mappable(both, "image")
        if encoder is None:
            return 0
        cache = cache_of(encoder, "image", cache_dir)
        _, todo = uncached_images(catalog, encoder, cache)
        known = frozenset(cache.contents().tolist())
        return cache.fill(self._spread("photos", [*todo.items()], lambda: partial(work.photos, known=known)))

    def _texts(self, catalog: "Catalog", both: Encoder, work: Encoding, cache_dir: Path | None) -> int:
        encoder = _mappable(both, "text")
        if encoder is None:
            return 0
        cache = cache_of(encoder, "text", cache_dir)
        _, todo = uncached_texts(catalog.texts(), encoder, cache)
        return cache.fill(self._spread("texts", todo, lambda: work.texts))

    def _spread(
        self, what: str, todo: Sequence[Any], make: Callable[[], Callable[[Any], list[Record]]]
    ) -> Iterable[list[Record]]:
        from recommender.batch.on_ray import spread

        parts = [*chunks(todo, self.size)]
        return progress(spread(parts, make, self.gpus), what, len(parts), "part")


def _mappable(both: Encoder, modality: str) -> Encoder | None:
    """Return the encoder of a modality if it computes; a provider is asked from here, at the pace it allows."""
    encoder = encoder_of(both, modality)
    return None if isinstance(encoder, Precomputed | Metered) else encoder
