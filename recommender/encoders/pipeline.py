"""A catalogue's photos and texts to vectors; nothing is encoded twice."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recommender.encoders.base import Encoder, Metered, Vectors, check_vectors
from recommender.encoders.cache import Digests, Record, VectorCache, cache_location, digest, digests
from recommender.encoders.photos import batched, encode_photos
from recommender.encoders.support.billing import billing
from recommender.encoders.support.pair import encoder_of
from recommender.encoders.vectors import Precomputed
from recommender.progress import notice, progress

if TYPE_CHECKING:
    from recommender.catalog import Catalog

_TEXTS_AT_ONCE = 256

Encoded = tuple[Vectors, NDArray[np.bool_], dict[str, float]]


@dataclass(frozen=True)
class EncodedCatalog:
    """The encoder's vectors of a catalogue, row by row.

    Attributes
    ----------
    image, text
        Vectors (n, image_dim) and (n, text_dim), zeros where the product has none.
    has_image, has_text
        Masks (n,) of the products that have a usable photo, a text.
    encoder, fingerprint, aligned
        As the encoder says, see `recommender.encoders.base.Encoder`.
    counts
        Products with ``images`` and ``texts`` in use; distinct photos and texts ``encoded`` now and
        ``cached`` before; products whose photo is ``broken`` or a ``placeholder``, which counts as missing;
        what a provider has billed; ``seconds``.
    """

    image: Vectors
    has_image: NDArray[np.bool_]
    text: Vectors
    has_text: NDArray[np.bool_]
    encoder: str
    fingerprint: str
    aligned: bool
    counts: Mapping[str, float]


def encode_catalog(catalog: "Catalog", encoder: Encoder, cache_dir: str | Path | None = None) -> EncodedCatalog:
    """Encode every photo and text of a catalogue that is not in the cache yet.

    Parameters
    ----------
    catalog
        Whose ``image_refs()``, ``images`` and ``texts()`` are read.
    encoder
        A modality of which the dim is 0 is skipped.
    cache_dir
        See `recommender.encoders.cache.cache_location`.

    Raises
    ------
    EncoderError
        If the encoder returns a vector that is zero or not finite.
    """
    started = time.monotonic()
    _tell_what_is_not_read(catalog, encoder)
    image, has_image, counts = _encoded(catalog, encoder, "image", cache_dir)
    text, has_text, text_counts = _encoded(catalog, encoder, "text", cache_dir)
    counts |= {name: counts.get(name, 0) + count for name, count in text_counts.items()}
    counts |= {"images": int(has_image.sum()), "texts": int(has_text.sum())}
    return EncodedCatalog(
        image=image,
        has_image=has_image,
        text=text,
        has_text=has_text,
        encoder=encoder.name,
        fingerprint=encoder.fingerprint,
        aligned=encoder.aligned,
        counts={**counts, "seconds": round(time.monotonic() - started, 2)},
    )


def _encoded(catalog: "Catalog", both: Encoder, modality: str, cache_dir: str | Path | None) -> Encoded:
    encoder = encoder_of(both, modality)
    if isinstance(encoder, Precomputed):
        return *encoder.look_up(catalog.ids), {}
    cache = cache_of(encoder, modality, cache_dir)
    if modality == "image":
        return encode_photos(catalog, encoder, cache)
    return encode_texts(catalog.texts(), encoder, cache)


def cache_of(encoder: Encoder, modality: str, cache_dir: str | Path | None = None) -> VectorCache:
    """Return where an encoder's vectors of the modality 'image' or 'text' are kept."""
    folder = cache_location(cache_dir) / "vectors" / encoder.fingerprint / modality
    return VectorCache(folder, getattr(encoder, f"{modality}_dim"))


def _tell_what_is_not_read(catalog: "Catalog", encoder: Encoder) -> None:
    unread = {"image": catalog.image_refs(), "text": catalog.texts()}
    for modality, inputs in unread.items():
        count = sum(map(bool, inputs))
        if count and not getattr(encoder, f"{modality}_dim"):
            notice(
                f"{encoder.name} reads no {modality}s: those of {count} products count as missing; "
                f"name an encoder for them under [encoder.{modality}]"
            )


def encode_texts(texts: Sequence[str], encoder: Encoder, cache: VectorCache) -> Encoded:
    """Encode the texts that are not in the cache yet; returns as `encode_photos` does."""
    keys, todo = missing_texts(texts, encoder, cache)
    with billing(encoder, texts=todo) as bill:
        cache.fill(read_texts(todo, encoder))
    given = keys != digest("")
    counts = {"encoded": len(todo), "cached": len(np.unique(keys[given])) - len(todo), **bill}
    return cache.vectors(np.where(given, cache.find(keys), -1)), given, counts


def missing_texts(texts: Sequence[str], encoder: Encoder, cache: VectorCache) -> tuple[Digests, list[str]]:
    """Return the key of each product's text (n,), and the texts that are not in the cache, the shortest first."""
    keys = digests(texts if encoder.text_dim else [""] * len(texts))
    lacking = (keys != digest("")) & (cache.find(keys) < 0)
    return keys, sorted({texts[row]: None for row in np.flatnonzero(lacking).tolist()}, key=len)


def read_texts(todo: Sequence[str], encoder: Encoder) -> Iterator[list[Record]]:
    """Yield what an encoder makes of texts, in batches."""
    told = progress(todo, "texts", len(todo), "text")
    batches = encoder.batches(told) if isinstance(encoder, Metered) else batched(told, _TEXTS_AT_ONCE)
    for batch in batches:
        vectors = check_vectors(encoder.encode_texts(batch), (len(batch), encoder.text_dim), encoder)
        keys = map(digest, batch)
        yield [Record(key, key, vector) for key, vector in zip(keys, vectors, strict=True)]
