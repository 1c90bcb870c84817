"""Encode the images and texts of a catalogue; what is cached is not encoded again."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recommender.encoders.base import Encoder, Metered, Vectors, check_vectors
from recommender.encoders.cache import Digests, Record, VectorCache, cache_location, digest, digests
from recommender.encoders.photos import batched, encode_colors, encode_product_images
from recommender.encoders.support.billing import billing
from recommender.encoders.support.colors import ColorHistograms
from recommender.encoders.support.pair import encoder_of
from recommender.encoders.vectors import Precomputed
from recommender.progress import notice, progress

if TYPE_CHECKING:
    from recommender.catalog import Catalog

_BATCH = 256

Encoded = tuple[Vectors, NDArray[np.bool_], dict[str, float]]


@dataclass(frozen=True)
class EncodedCatalog:
    """The vectors of a catalogue's images and texts.

    Attributes
    ----------
    image, text
        Vectors (n, image_dim) and (n, text_dim), by row of the catalogue; zeros where a product has none.
    has_image, has_text
        Masks (n,) of the products with a usable image, with a text.
    encoder, fingerprint, aligned
        Name, fingerprint and alignment of the encoder, see `recommender.encoders.base.Encoder`.
    counts
        Products with ``images`` and ``texts``; distinct images and texts ``encoded`` now and ``cached`` before;
        products whose image is ``broken`` or a ``placeholder``; units billed by a provider; ``seconds``.
    colors
        Colour histograms (n, d_c) of the images, see `ColorHistograms`; None where no photo was encoded.
    """

    image: Vectors
    has_image: NDArray[np.bool_]
    text: Vectors
    has_text: NDArray[np.bool_]
    encoder: str
    fingerprint: str
    aligned: bool
    counts: Mapping[str, float]
    colors: Vectors | None = None


def encode_catalog(catalog: "Catalog", encoder: Encoder, cache_dir: str | Path | None = None) -> EncodedCatalog:
    """Encode the images and texts of a catalogue that are not in the cache yet.

    Parameters
    ----------
    catalog
        Products with images and texts.
    encoder
        A modality of dimension 0 is skipped.
    cache_dir
        Folder of the cache, see `recommender.encoders.cache.cache_location`.

    Raises
    ------
    EncoderError
        If the encoder returns a vector that is zero or not finite.
    """
    started = time.monotonic()
    _report_unsupported(catalog, encoder)
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
        colors=_colors(catalog, encoder, has_image, cache_dir),
    )


def _colors(
    catalog: "Catalog", both: Encoder, has_image: NDArray[np.bool_], cache_dir: str | Path | None
) -> Vectors | None:
    if not has_image.any() or isinstance(encoder_of(both, "image"), Precomputed):
        return None
    encoder = ColorHistograms()
    return encode_colors(catalog, has_image, encoder, cache_of(encoder, "image", cache_dir))


def _encoded(catalog: "Catalog", both: Encoder, modality: str, cache_dir: str | Path | None) -> Encoded:
    encoder = encoder_of(both, modality)
    if isinstance(encoder, Precomputed):
        vectors, known = encoder.look_up(catalog.ids)
        if not known.all():
            first, missing = catalog.ids[int(known.argmin())], int((~known).sum())
            notice(f"{encoder.name}: {missing:,} of {len(known):,} products have no vector, such as {first!r}")
        return vectors, known, {}
    cache = cache_of(encoder, modality, cache_dir)
    if modality == "image":
        return encode_product_images(catalog, encoder, cache)
    return encode_texts(catalog.texts(), encoder, cache)


def cache_of(encoder: Encoder, modality: str, cache_dir: str | Path | None = None) -> VectorCache:
    """Return the cache of an encoder's vectors of the modality 'image' or 'text'."""
    folder = cache_location(cache_dir) / "vectors" / encoder.fingerprint / modality
    return VectorCache(folder, getattr(encoder, f"{modality}_dim"))


def _report_unsupported(catalog: "Catalog", encoder: Encoder) -> None:
    inputs = {"image": catalog.image_refs(), "text": catalog.texts()}
    for modality, values in inputs.items():
        count = sum(map(bool, values))
        if count and not getattr(encoder, f"{modality}_dim"):
            notice(
                f"{encoder.name} does not encode {modality}s: those of {count} products count as missing; "
                f"name an encoder for them under [encoder.{modality}]"
            )


def encode_texts(texts: Sequence[str], encoder: Encoder, cache: VectorCache) -> Encoded:
    """Return the vectors of texts, the mask of texts that are not empty, and counts; uncached ones are encoded."""
    keys, uncached = uncached_texts(texts, encoder, cache)
    with billing(encoder, texts=uncached) as usage:
        cache.fill(text_records(uncached, encoder))
    has_text = keys != digest("")
    counts = {"encoded": len(uncached), "cached": len(np.unique(keys[has_text])) - len(uncached), **usage}
    return cache.vectors(np.where(has_text, cache.find(keys), -1)), has_text, counts


def uncached_texts(texts: Sequence[str], encoder: Encoder, cache: VectorCache) -> tuple[Digests, list[str]]:
    """Return the key of each product's text (n,), and the uncached texts, the shortest first."""
    keys = digests(texts if encoder.text_dim else [""] * len(texts))
    uncached = (keys != digest("")) & (cache.find(keys) < 0)
    return keys, sorted({texts[row]: None for row in np.flatnonzero(uncached).tolist()}, key=len)


def text_records(texts: Sequence[str], encoder: Encoder) -> Iterator[list[Record]]:
    """Yield the records of texts, in batches."""
    shown = progress(texts, "texts", len(texts), "text")
    batches = encoder.batches(shown) if isinstance(encoder, Metered) else batched(shown, _BATCH)
    for batch in batches:
        vectors = check_vectors(encoder.encode_texts(batch), (len(batch), encoder.text_dim), encoder)
        keys = map(digest, batch)
        yield [Record(key, key, vector) for key, vector in zip(keys, vectors, strict=True)]
