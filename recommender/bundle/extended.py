"""Memory-map an array with some rows replaced and others appended, without writing to its file."""

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


def extended_array(path: Path, rows: Rows, values: np.ndarray) -> np.ndarray:
    """Map an array with `values` at `rows`; rows beyond its end extend it.

    Copy-on-write: processes share the pages of the file except those with a replaced row.

    Parameters
    ----------
    path
        Of the array.
    rows
        Shape (c,); every row beyond the end of the array is among them.
    values
        Shape (c, ...).
    """
    base = np.load(path, mmap_mode="c", allow_pickle=False)
    length = max(len(base), int(rows.max(initial=-1)) + 1)
    array = base if length == len(base) else _extended(path, base, length)
    array[rows] = values
    array.setflags(write=False)
    return np.asarray(array)


def _extended(path: Path, base: np.memmap, length: int) -> np.ndarray:
    """Map the file over the beginning of a larger anonymous mapping, so that one array spans both."""
    size = base.offset + length * (base.nbytes // max(len(base), 1))
    region = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = ctypes.addressof(ctypes.c_char.from_buffer(region))
    with path.open("rb") as file:
        covered = os.fstat(file.fileno()).st_size
        access, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _FIXED
        if _libc.mmap(start, covered, access, flags, file.fileno(), 0) == _FAILED:
            raise OSError(ctypes.get_errno(), f"cannot map {path}")
    return np.ndarray((length, *base.shape[1:]), base.dtype, region, base.offset)
