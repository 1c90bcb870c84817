"""Check that the shapes and types of a segment's arrays agree with the manifest."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from recommender.bundle.manifest import REMEDY, Manifest
from recommender.errors import BundleError

Array: TypeAlias = tuple[str, tuple[int | None, ...]]


def check_shapes(manifest: Manifest, folder_of: Callable[[str], Path]) -> None:
    """Check the arrays with a row per item against n, and the fused vectors against the blocks' dims.

    Parameters
    ----------
    manifest
        Has n and the blocks.
    folder_of
        Returns the folder of a part.

    Raises
    ------
    BundleError
        An array differs from the manifest.
    """
    n, d, blocks = manifest.base_n, sum(manifest.blocks.values()), len(manifest.blocks)
    base = _by_row(n, d, blocks) | _by_neighbour_row(n) | {"index_axes.npy": ("float32", (d, None))}
    base |= _table("cooccurrence", n) | _table("complements", n)
    _check(manifest, "base", base, folder_of)
    _check(manifest, "statistics", _table("similarity", n) | _table("autoencoder", n), folder_of)
    if "refresh" in manifest.parts:
        rows = manifest.extra["refresh"]["rows"]
        tables = _table("cooccurrence", rows) | _table("complements", rows) | {"counted.npy": ("bool", (rows,))}
        _check(manifest, "refresh", base | tables, folder_of)
    if "delta" in manifest.parts:
        c, p = (manifest.extra["delta"][name] for name in ("rows", "neighbour_rows"))
        delta = _by_row(c, d, blocks) | _by_neighbour_row(p)
        delta |= {
            "groups.npy": ("int32", (None,)),
            "row_times.npy": ("float64", (None,)),
            "rows.npy": ("int32", (c,)),
            "neighbour_rows.npy": ("int32", (p,)),
        }
        _check(manifest, "delta", delta, folder_of)


def _by_row(n: int, d: int, blocks: int) -> dict[str, Array]:
    return {
        "vectors.npy": ("float32", (n, d)),
        "present.npy": ("bool", (n, blocks)),
        "prior.npy": ("float32", (n,)),
        "groups.npy": ("int32", (n,)),
        "row_times.npy": ("float64", (n,)),
        "codes.npy": ("int8", (n, None)),
        "graph.npy": ("int32", (n, None)),
        "neighbour_codes.npy": ("uint8", (n, None, None, None)),
        "neighbour_factors.npy": ("float32", (n, None)),
        "attributes/ids.npy": ("bytes", (n,)),
        "repeat_products.npy": ("float32", (2, n)),
    }


def _by_neighbour_row(n: int) -> dict[str, Array]:
    return {"neighbours.npy": ("int32", (n, None)), "neighbour_scores.npy": ("float64", (n, None))}


def _table(name: str, n: int) -> dict[str, Array]:
    arrays = {"indptr": ("int64", (n + 1,)), "indices": ("int32", (None,)), "values": ("float32", (None,))}
    return {f"{name}_{array}.npy": expected for array, expected in arrays.items()}


def _check(manifest: Manifest, part: str, expected: Mapping[str, Array], folder_of: Callable[[str], Path]) -> None:
    for file in expected.keys() & manifest.parts.get(part, {"files": {}})["files"].keys():
        path, (kind, shape) = folder_of(part) / file, expected[file]
        array = map_array(path)
        agree = [wanted in (size, None) for size, wanted in zip(array.shape, shape, strict=False)]
        if array.ndim != len(shape) or not all(agree):
            raise BundleError(f"{path} has shape {array.shape}; the manifest's n and blocks say {shape}; {REMEDY}")
        if not array.dtype.name.startswith(kind):
            raise BundleError(f"{path} holds {array.dtype.name}; expected {kind}; {REMEDY}")


def map_array(path: Path) -> np.ndarray:
    """Map an array read-only; raises `BundleError` if the file is not an array."""
    try:
        # As a plain array: access to one element of a memmap is ten times slower.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise BundleError(f"{path} is not an array: {error}; {REMEDY}") from None
