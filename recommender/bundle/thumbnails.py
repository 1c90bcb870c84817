"""Thumbnails of the products in one file, by row."""

import mmap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recommender.core.blocks import Rows


def write_thumbnails(folder: Path, images: Iterable[bytes | None]) -> None:
    """Write one encoded image per row, in order of rows; None or empty where a product has no photo.

    Writes ``thumbnails.bin``, the images end to end, and ``offsets.npy``, int64 (n + 1,).
    """
    offsets = [0]
    with (folder / "thumbnails.bin").open("wb") as file:
        for image in images:
            offsets.append(offsets[-1] + file.write(image or b""))
    np.save(folder / "offsets.npy", np.array(offsets, np.int64))


class Thumbnails:
    """Thumbnails by row, mapped from the folder that `write_thumbnails` filled."""

    def __init__(self, folder: Path) -> None:
        self._offsets = np.asarray(np.load(folder / "offsets.npy", mmap_mode="r", allow_pickle=False))
        with (folder / "thumbnails.bin").open("rb") as file:
            # An empty file cannot be mapped: a shop without photos.
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self._offsets[-1] else b""

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def get(self, row: int) -> bytes | None:
        """Return the encoded image of a row, or None if it has none."""
        start, end = self._offsets[row : row + 2].tolist()
        return self._bytes[start:end] or None


class DeltaThumbnails:
    """Thumbnails of a base with a delta applied.

    Parameters
    ----------
    base, delta
        Those of the base, and those of the c products changed or added.
    rows
        Of the delta's products, shape (c,).
    """

    def __init__(self, base: Thumbnails, delta: Thumbnails, rows: Rows) -> None:
        self._base, self._delta = base, delta
        self._position = {row: position for position, row in enumerate(rows.tolist())}

    def get(self, row: int) -> bytes | None:
        """See `Thumbnails.get`."""
        position = self._position.get(int(row))
        return self._base.get(row) if position is None else self._delta.get(position)
