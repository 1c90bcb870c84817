"""A catalogue's photos and texts to vectors; nothing is encoded twice."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recommender.encoders.base import Encoder, Vectors, checked
from recommender.encoders.cache import VectorCache, cache_location, digest, digests
from recommender.encoders.photos import batched, encode_photos
from recommender.progress import progress

if TYPE_CHECKING:
    from recommender.catalog import Catalog

_TEXTS_AT_ONCE = 256


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
        ``seconds``.
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
    folder = cache_location(cache_dir) / "vectors" / encoder.fingerprint
    photos = VectorCache(folder / "image", encoder.image_dim)
    texts = VectorCache(folder / "text", encoder.text_dim)
    image, has_image, counts = encode_photos(catalog, encoder, photos)
    text, has_text, text_counts = encode_texts(catalog.texts(), encoder, texts)
    counts |= {name: counts[name] + count for name, count in text_counts.items()}
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


def encode_texts(
    texts: Sequence[str], encoder: Encoder, cache: VectorCache
) -> tuple[Vectors, NDArray[np.bool_], dict[str, int]]:
    """Encode the texts that are not in the cache yet; returns as `encode_photos` does."""
    keys = digests(texts if encoder.text_dim else [""] * len(texts))
    given = keys != digest("")
    todo = {texts[row]: bytes(keys[row]) for row in np.flatnonzero(given & (cache.find(keys) < 0)).tolist()}
    by_length = progress(sorted(todo, key=len), "texts", len(todo), "text")
    try:
        for batch in batched(by_length, _TEXTS_AT_ONCE):
            vectors = checked(encoder.encode_texts(batch), (len(batch), encoder.text_dim), encoder)
            for text, vector in zip(batch, vectors, strict=True):
                cache.put(todo[text], todo[text], vector)
    finally:
        cache.flush()
    counts = {"encoded": len(todo), "cached": len(np.unique(keys[given])) - len(todo)}
    return cache.vectors(np.where(given, cache.find(keys), -1)), given, counts
