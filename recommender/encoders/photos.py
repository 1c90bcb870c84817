"""Encode the images of a catalogue: read and decoded in threads, cached, placeholders left out."""

import os
from collections import Counter, deque
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
from recommender.encoders.images import decode, quiet, why_undecodable
from recommender.encoders.support.billing import billing
from recommender.errors import RecommenderError, reason_of
from recommender.progress import notice, progress

if TYPE_CHECKING:
    from recommender.catalog import Catalog, ImageSource

_BATCH = 64
_PLACEHOLDER_PRODUCTS = 10
_PLACEHOLDER_SHARE = 0.005

S = TypeVar("S")
T = TypeVar("T")


def encode_product_images(
    catalog: "Catalog", encoder: Encoder, cache: VectorCache
) -> tuple[Vectors, NDArray[np.bool_], dict[str, float]]:
    """Return the vectors of a catalogue's images; those that are not cached are encoded.

    Returns
    -------
    vectors
        (n, image_dim), zeros where there is no usable image.
    usable
        The mask (n,) of products whose image is neither missing, broken nor a placeholder.
    counts
        Distinct images ``encoded`` now and ``cached`` before; products with a ``broken`` or a ``placeholder``
        image.

    Notes
    -----
    An image of products of at least 10 item groups, and of at least 0.5 % of the catalogue, is a placeholder
    such as "photo follows".
    """
    keys, uncached = uncached_images(catalog, encoder, cache)
    unreadable: dict[bytes, str] = {}
    with billing(encoder, images=len(uncached)) as usage:
        known = set(cache.contents().tolist())
        encoded = cache.fill(image_records(uncached, catalog.images, encoder, known, unreadable))
    has_key = keys != digest("")
    records = np.where(has_key, cache.find(keys), -1)
    broken, placeholder = has_key & (records < 0), _placeholders(cache, records, _groups(catalog))
    _report_missing(catalog, keys, encoder)
    _report_unreadable(catalog, keys, np.flatnonzero(broken), unreadable)
    _report(catalog, placeholder, "are one placeholder")
    usable = (records >= 0) & ~placeholder
    counts = {"encoded": encoded, "cached": len(np.unique(keys[records >= 0])) - encoded, **usage}
    counts |= {"broken": int(broken.sum()), "placeholder": int(placeholder.sum())}
    return cache.vectors(np.where(usable, records, -1)), usable, counts


def encode_colors(catalog: "Catalog", usable: NDArray[np.bool_], encoder: Encoder, cache: VectorCache) -> Vectors:
    """Return the colours (n, image_dim) of the images that are usable, zeros for others; see `ColorHistograms`."""
    keys, uncached = uncached_images(catalog, encoder, cache)
    cache.fill(image_records(uncached, catalog.images, encoder, set(cache.contents().tolist())))
    return cache.vectors(np.where(usable, cache.find(keys), -1))


@dataclass(frozen=True)
class _LoadedImage:
    key: bytes
    content: bytes
    image: Image.Image | None  # None: its content is cached, or it is broken


def uncached_images(catalog: "Catalog", encoder: Encoder, cache: VectorCache) -> tuple[Digests, dict[bytes, str]]:
    """Return the key of each product's image (n,), and the uncached keys with their references."""
    refs = catalog.image_refs() if encoder.image_dim else [""] * len(catalog)
    keys = digests([catalog.images.key(ref) if ref else "" for ref in refs])
    uncached = (keys != digest("")) & (cache.find(keys) < 0)
    return keys, {bytes(keys[row]): refs[row] for row in np.flatnonzero(uncached)}


def load_image(images: "ImageSource", ref: str) -> Image.Image | None:
    """Return the decoded image of a reference, None if it cannot be read."""
    try:
        return decode(images.read(ref))
    except (OSError, RecommenderError):
        return None


def image_records(
    refs: Mapping[bytes, str],
    images: "ImageSource",
    encoder: Encoder,
    known: Collection[bytes],
    unreadable: dict[bytes, str] | None = None,
) -> Iterator[list[Record]]:
    """Yield the records of images, in batches; those that cannot be read are left out.

    Parameters
    ----------
    refs
        The reference of each key.
    known
        Cached contents, which are not encoded again.
    unreadable
        Is filled with the reason for each key that is left out.
    """
    unreadable = {} if unreadable is None else unreadable

    def load(item: tuple[bytes, str]) -> _LoadedImage | None:
        key, ref = item
        try:
            data = images.read(ref)
        except (OSError, RecommenderError) as error:
            unreadable[key] = reason_of(error)
            return None
        content = digest(data)
        image = None if content in known else decode(data)
        if image is None and content not in known:
            unreadable[key] = why_undecodable(data)
        if image and isinstance(encoder, Preprocesses):
            image = encoder.preprocess(image)
        return _LoadedImage(key, content, image)

    with quiet(), ThreadPoolExecutor(2 + len(os.sched_getaffinity(0))) as pool:
        loaded = progress(ahead(pool, load, refs.items(), 2 * _BATCH), "images", len(refs), "image")
        for batch in batched(loaded, encoder.images_per_request if isinstance(encoder, Metered) else _BATCH):
            usable = [image for image in batch if image and (image.image or image.content in known)]
            yield _records(usable, encoder)


def _records(loaded: Sequence[_LoadedImage], encoder: Encoder) -> list[Record]:
    images = [each.image for each in loaded if each.image]
    vectors: Iterator[Vectors] = iter(())
    if images:
        vectors = iter(check_vectors(encoder.encode_images(images), (len(images), encoder.image_dim), encoder))
    return [Record(each.key, each.content, next(vectors) if each.image else None) for each in loaded]


def _placeholders(
    cache: VectorCache, records: NDArray[np.int64], groups: NDArray[np.object_]
) -> NDArray[np.bool_]:
    """Return the mask (n,) of products whose image is a placeholder; see `encode_product_images`."""
    rows = np.flatnonzero(records >= 0)
    image = np.unique(cache.contents(records[rows]), return_inverse=True)[1]
    group = np.unique(groups[rows], return_inverse=True)[1]
    pairs = np.unique(np.stack([image, group], axis=1), axis=0)
    limit = max(_PLACEHOLDER_PRODUCTS, _PLACEHOLDER_SHARE * len(records))
    mask = np.zeros(len(records), dtype=bool)
    mask[rows] = np.bincount(pairs[:, 0])[image] >= limit
    return mask


def _groups(catalog: "Catalog") -> NDArray[np.object_]:
    """Return each product's item group (n,), its id where it has none."""
    ids = catalog.frame["id"]
    if "item_group_id" not in catalog.frame:
        return ids.to_numpy(object)
    group = catalog.frame["item_group_id"]
    return group.where(group != "", ids).to_numpy(object)


def _report_missing(catalog: "Catalog", keys: Digests, encoder: Encoder) -> None:
    """Report references of no file, and files that were taken for references that are spelled otherwise."""
    from recommender.catalog.images.sources import CatalogImages

    if not encoder.image_dim:
        return
    named = np.array([bool(ref) for ref in catalog.image_refs()], dtype=bool)
    _report(catalog, named & (keys == digest("")), "are not there")
    if isinstance(catalog.images, CatalogImages) and (matched := catalog.images.matched):
        ref, name = next(iter(matched.items()))
        notice(f"{len(matched):,} photos have another spelling than their links, such as {name!r} for {ref!r}")


def _report_unreadable(
    catalog: "Catalog", keys: Digests, rows: NDArray[np.int64], reasons: Mapping[bytes, str]
) -> None:
    """Report images that cannot be read, those of one reason in one line."""
    found = np.array([reasons.get(key, "cannot be read") for key in keys[rows].tolist()], dtype=object)
    for reason in Counter(found):
        mask = np.zeros(len(keys), dtype=bool)
        mask[rows[found == reason]] = True
        _report(catalog, mask, f"cannot be read ({reason})")


def _report(catalog: "Catalog", mask: NDArray[np.bool_], what: str) -> None:
    if mask.any():
        first = catalog.frame["id"].iloc[int(mask.argmax())]
        notice(f"the images of {mask.sum()} products {what} and count as missing, such as that of {first!r}")


def ahead(pool: ThreadPoolExecutor, function: Callable[[S], T], items: Iterable[S], window: int) -> Iterator[T]:
    """Yield ``function(item)`` in order, computed by threads at most `window` items ahead."""
    waiting: deque[Future[T]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, the last one shorter (as `itertools.batched` of Python 3.12)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
