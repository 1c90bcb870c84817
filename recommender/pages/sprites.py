"""Sprite sheets: thumbnails in few larger images, so that a page of 50,000 photos stays small and loads lazily."""

from collections.abc import Callable, Sequence
from io import BytesIO

from PIL import Image

from recommender.progress import progress

SIDE = 16  # tiles per row and per column of a sheet
# Pixels of a tile's side and WebP quality by how many products a page has: some 60 MB hold 50,000.
_FINE, _COARSE, _MAX_FINE = (96, 70), (96, 50), 10_000
_BACKGROUND = (255, 255, 255)


def tile_size(n: int) -> tuple[int, int]:
    """Return the side of a tile in pixels, and the quality, for a page of n products."""
    return _FINE if n <= _MAX_FINE else _COARSE


def sheets(item_ids: Sequence[str], thumbnail: Callable[[str], bytes | None]) -> list[bytes]:
    """Return WebP images of ``SIDE ** 2`` tiles each, filled row by row in the order of the ids.

    Parameters
    ----------
    item_ids
        Neighbours in the sequence share a sheet.
    thumbnail
        Returns the encoded image of a product, or None: its tile stays blank.
    """
    size, quality = tile_size(len(item_ids))
    starts = range(0, len(item_ids), SIDE**2)
    return [
        _sheet([thumbnail(item_id) for item_id in item_ids[start : start + SIDE**2]], size, quality)
        for start in progress(starts, "thumbnails", len(starts), "sheet")
    ]


def _sheet(images: Sequence[bytes | None], size: int, quality: int) -> bytes:
    sheet = Image.new("RGB", (SIDE * size, -(-len(images) // SIDE) * size), _BACKGROUND)
    for position, image in enumerate(images):
        if image:
            with Image.open(BytesIO(image)) as opened:
                opened.draft("RGB", (size, size))
                tile = opened.convert("RGB")
                tile.thumbnail((size, size))
            left, top = position % SIDE * size, position // SIDE * size
            sheet.paste(tile, (left + (size - tile.width) // 2, top + (size - tile.height) // 2))
    out = BytesIO()
    sheet.save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()
