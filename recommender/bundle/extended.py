"""A mapped array of which some rows are replaced and others added."""

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np

from recommender.core.blocks import Rows

_FIXED = 0x10  # MAP_FIXED, which Python's mmap does not name
_FAILED = ctypes.c_void_p(-1).value
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


def grown(path: Path, rows: Rows, values: np.ndarray) -> np.ndarray:
    """Map an array and put `values` at `rows`; rows beyond its end make it longer.

    Nothing is written: workers go on sharing the file's pages, but for those that hold a replaced row.

    Parameters
    ----------
    rows
        Shape (c,); every row beyond the end of the array is among them.
    values
        Shape (c, ...).
    """
    base = np.load(path, mmap_mode="c", allow_pickle=False)
    length = max(len(base), int(rows.max(initial=-1)) + 1)
    array = base if length == len(base) else _longer(path, base, length)
    array[rows] = values
    array.setflags(write=False)
    return np.asarray(array)


def _longer(path: Path, base: np.memmap, length: int) -> np.ndarray:
    """Map the file over the beginning of a longer range of memory, so that one plain array spans both."""
    size = base.offset + length * (base.nbytes // max(len(base), 1))
    region = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = ctypes.addressof(ctypes.c_char.from_buffer(region))
    with path.open("rb") as file:
        covered = os.fstat(file.fileno()).st_size
        access, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _FIXED
        if _libc.mmap(start, covered, access, flags, file.fileno(), 0) == _FAILED:
            raise OSError(ctypes.get_errno(), f"cannot map {path}")
    return np.ndarray((length, *base.shape[1:]), base.dtype, region, base.offset)
