"""A catalogue's photos to vectors: read and decoded ahead of the encoder, cached, placeholders left out."""

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recommender.encoders.base import Encoder, Metered, Preprocesses, Vectors, check_vectors
from recommender.encoders.cache import Digests, Record, VectorCache, digest, digests
from recommender.encoders.images import decode, quiet
from recommender.encoders.support.billing import billing
from recommender.errors import RecommenderError
from recommender.progress import notice, progress

if TYPE_CHECKING:
    from recommender.catalog import Catalog, ImageSource

_AT_ONCE = 64
_PLACEHOLDER_PRODUCTS = 10
_PLACEHOLDER_SHARE = 0.005

S = TypeVar("S")
T = TypeVar("T")


def encode_photos(
    catalog: "Catalog", encoder: Encoder, cache: VectorCache
) -> tuple[Vectors, NDArray[np.bool_], dict[str, float]]:
    """Encode the photos that are not in the cache yet.

    Returns
    -------
    vectors
        (n, image_dim), zeros where there is no usable photo.
    usable
        The mask (n,) of the products whose photo is neither missing nor broken nor a placeholder.
    counts
        Distinct photos ``encoded`` now and ``cached`` before; products with a ``broken`` and a
        ``placeholder`` photo.

    Notes
    -----
    One picture ("photo follows") on products of at least 10 item groups, and as many as 0.5 % of the
    catalogue, shows none of them: it is a placeholder.
    """
    keys, todo = missing_photos(catalog, encoder, cache)
    with billing(encoder, images=len(todo)) as bill:
        encoded = cache.fill(read_photos(todo, catalog.images, encoder, set(cache.contents().tolist())))
    given = keys != digest("")
    records = np.where(given, cache.find(keys), -1)
    broken, placeholder = given & (records < 0), _placeholders(cache, records, _groups(catalog))
    _report(catalog, broken, "cannot be read")
    _report(catalog, placeholder, "are one picture on many products")
    usable = (records >= 0) & ~placeholder
    counts = {"encoded": encoded, "cached": len(np.unique(keys[records >= 0])) - encoded, **bill}
    counts |= {"broken": int(broken.sum()), "placeholder": int(placeholder.sum())}
    return cache.vectors(np.where(usable, records, -1)), usable, counts


@dataclass(frozen=True)
class _Photo:
    key: bytes
    content: bytes
    image: Image.Image | None  # None: its content is known, or it is broken


def missing_photos(catalog: "Catalog", encoder: Encoder, cache: VectorCache) -> tuple[Digests, dict[bytes, str]]:
    """Return the key of each product's photo (n,), and those that are not in the cache with their references."""
    refs = catalog.image_refs() if encoder.image_dim else [""] * len(catalog)
    keys = digests([catalog.images.key(ref) if ref else "" for ref in refs])
    lacking = (keys != digest("")) & (cache.find(keys) < 0)
    return keys, {bytes(keys[row]): refs[row] for row in np.flatnonzero(lacking)}


def read_photos(
    todo: Mapping[bytes, str], images: "ImageSource", encoder: Encoder, known: Collection[bytes]
) -> Iterator[list[Record]]:
    """Yield what an encoder makes of photos, in batches; those that cannot be read are left out.

    Parameters
    ----------
    todo
        Keys and references.
    known
        Contents that the cache has: they are not encoded again.
    """

    def load(item: tuple[bytes, str]) -> _Photo | None:
        key, ref = item
        try:
            data = images.read(ref)
        except (OSError, RecommenderError):
            return None
        content = digest(data)
        image = None if content in known else decode(data)
        if image and isinstance(encoder, Preprocesses):
            image = encoder.preprocess(image)
        return _Photo(key, content, image)

    with quiet(), ThreadPoolExecutor(2 + len(os.sched_getaffinity(0))) as pool:
        loaded = progress(ahead(pool, load, todo.items(), 2 * _AT_ONCE), "photos", len(todo), "photo")
        for batch in batched(loaded, encoder.images_per_request if isinstance(encoder, Metered) else _AT_ONCE):
            found = [photo for photo in batch if photo and (photo.image or photo.content in known)]
            yield _records(found, encoder)


def _records(photos: Sequence[_Photo], encoder: Encoder) -> list[Record]:
    images = [photo.image for photo in photos if photo.image]
    vectors: Iterator[Vectors] = iter(())
    if images:
        vectors = iter(check_vectors(encoder.encode_images(images), (len(images), encoder.image_dim), encoder))
    return [Record(photo.key, photo.content, next(vectors) if photo.image else None) for photo in photos]


def _placeholders(
    cache: VectorCache, records: NDArray[np.int64], groups: NDArray[np.object_]
) -> NDArray[np.bool_]:
    """Return the mask (n,) of the products whose picture shows no product; see `encode_photos`."""
    seen = np.flatnonzero(records >= 0)
    picture = np.unique(cache.contents(records[seen]), return_inverse=True)[1]
    group = np.unique(groups[seen], return_inverse=True)[1]
    pairs = np.unique(np.stack([picture, group], axis=1), axis=0)
    limit = max(_PLACEHOLDER_PRODUCTS, _PLACEHOLDER_SHARE * len(records))
    mask = np.zeros(len(records), dtype=bool)
    mask[seen] = np.bincount(pairs[:, 0])[picture] >= limit
    return mask


def _groups(catalog: "Catalog") -> NDArray[np.object_]:
    """Return each product's item group (n,), its own id where it has none."""
    ids = catalog.frame["id"]
    if "item_group_id" not in catalog.frame:
        return ids.to_numpy(object)
    group = catalog.frame["item_group_id"]
    return group.where(group != "", ids).to_numpy(object)


def _report(catalog: "Catalog", mask: NDArray[np.bool_], what: str) -> None:
    if mask.any():
        first = catalog.frame["id"].iloc[int(mask.argmax())]
        notice(f"the photos of {mask.sum()} products {what} and count as missing, such as that of {first!r}")


def ahead(pool: ThreadPoolExecutor, function: Callable[[S], T], items: Iterable[S], window: int) -> Iterator[T]:
    """Yield ``function(item)`` in order, computed at most `window` items ahead, so that memory is bounded."""
    waiting: deque[Future[T]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, the last one shorter (Python 3.12 has it in `itertools`)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
