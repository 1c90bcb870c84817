"""Thumbnails in few larger pictures: a page of fifty thousand photos stays small, and decodes what it shows."""

from collections.abc import Callable, Sequence
from io import BytesIO

from PIL import Image

from recommender.progress import progress

SIDE = 16  # tiles in a row and in a column of a sheet
# Pixels of a tile's side and WebP quality by how many products a page has: some 60 MB hold 50,000.
_FINE, _COARSE, _MANY = (96, 70), (96, 50), 10_000
_PAPER = (255, 255, 255)


def tile_size(n: int) -> tuple[int, int]:
    """Return the side of a tile in pixels, and the quality, for a page of n products."""
    return _FINE if n <= _MANY else _COARSE


def sheets(item_ids: Sequence[str], thumbnail: Callable[[str], bytes | None]) -> list[bytes]:
    """Return WebP pictures of ``SIDE ** 2`` tiles each, filled line by line in the order of the ids.

    Parameters
    ----------
    item_ids
        Neighbours in the sequence share a sheet.
    thumbnail
        The encoded picture of a product, None without one: its tile stays blank.
    """
    size, quality = tile_size(len(item_ids))
    starts = range(0, len(item_ids), SIDE**2)
    return [
        _sheet([thumbnail(item_id) for item_id in item_ids[start : start + SIDE**2]], size, quality)
        for start in progress(starts, "thumbnails", len(starts), "sheet")
    ]


def _sheet(pictures: Sequence[bytes | None], size: int, quality: int) -> bytes:
    sheet = Image.new("RGB", (SIDE * size, -(-len(pictures) // SIDE) * size), _PAPER)
    for place, picture in enumerate(pictures):
        if picture:
            with Image.open(BytesIO(picture)) as opened:
                opened.draft("RGB", (size, size))
                tile = opened.convert("RGB")
                tile.thumbnail((size, size))
            left, top = place % SIDE * size, place // SIDE * size
            sheet.paste(tile, (left + (size - tile.width) // 2, top + (size - tile.height) // 2))
    out = BytesIO()
    sheet.save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()
