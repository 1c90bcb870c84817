"""The products' pictures, small, in one file: every page and notebook shows them."""

import mmap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recommender.core.blocks import Rows


def write_thumbnails(folder: Path, images: Iterable[bytes | None]) -> None:
    """Write one encoded picture per row, in order of rows; None or empty where a product has no photo.

    Writes ``thumbnails.bin``, the pictures end to end, and ``offsets.npy``, int64 (n + 1,).
    """
    offsets = [0]
    with (folder / "thumbnails.bin").open("wb") as file:
        for image in images:
            offsets.append(offsets[-1] + file.write(image or b""))
    np.save(folder / "offsets.npy", np.array(offsets, np.int64))


class Thumbnails:
    """Pictures by row, mapped from the folder that `write_thumbnails` filled."""

    def __init__(self, folder: Path) -> None:
        self._offsets = np.asarray(np.load(folder / "offsets.npy", mmap_mode="r", allow_pickle=False))
        with (folder / "thumbnails.bin").open("rb") as file:
            # An empty file cannot be mapped: a shop without photos.
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self._offsets[-1] else b""

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def get(self, row: int) -> bytes | None:
        """Return the encoded picture of a row, or None if it has none."""
        start, end = self._offsets[row : row + 2].tolist()
        return self._bytes[start:end] or None


class PatchedThumbnails:
    """Pictures of which some rows have others.

    Parameters
    ----------
    base, changed
        The base's, and those of the c products changed or added.
    rows
        Their rows, shape (c,).
    """

    def __init__(self, base: Thumbnails, changed: Thumbnails, rows: Rows) -> None:
        self._base, self._changed = base, changed
        self._place = {row: place for place, row in enumerate(rows.tolist())}

    def get(self, row: int) -> bytes | None:
        """See `Thumbnails.get`."""
        place = self._place.get(int(row))
        return self._base.get(row) if place is None else self._changed.get(place)
