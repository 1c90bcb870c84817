"""The arrays of a segment have the lengths that the manifest states."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from recommender.bundle.manifest import REMEDY, Manifest
from recommender.errors import BundleError

Shapes: TypeAlias = dict[str, tuple[int | None, ...]]


def check_shapes(manifest: Manifest, folder_of: Callable[[str], Path]) -> None:
    """Compare the arrays that have a row per item with n, and the fused vectors with the blocks' dims.

    Parameters
    ----------
    manifest
        Says n and the blocks.
    folder_of
        From a part's name to its folder.

    Raises
    ------
    BundleError
        An array and the manifest disagree.
    """
    n, d, blocks = manifest.base_n, sum(manifest.blocks.values()), len(manifest.blocks)
    base: Shapes = {"vectors.npy": (n, d), "present.npy": (n, blocks), "prior.npy": (n,), "groups.npy": (n,)}
    base |= dict.fromkeys(("neighbours.npy", "neighbour_scores.npy", "codes.npy", "graph.npy"), (n, None))
    _check(manifest, "base", base | {"attributes/ids.npy": (n,)}, folder_of)
    if "delta" in manifest.parts:
        c, p = (manifest.extra["delta"][name] for name in ("rows", "neighbour_rows"))
        delta: Shapes = {"vectors.npy": (c, d), "present.npy": (c, blocks), "prior.npy": (c,), "rows.npy": (c,)}
        delta |= {"codes.npy": (c, None), "graph.npy": (c, None), "attributes/ids.npy": (c,)}
        delta |= {"neighbour_rows.npy": (p,), "neighbours.npy": (p, None), "neighbour_scores.npy": (p, None)}
        _check(manifest, "delta", delta, folder_of)


def _check(manifest: Manifest, part: str, expected: Shapes, folder_of: Callable[[str], Path]) -> None:
    for file in expected.keys() & manifest.parts.get(part, {"files": {}})["files"].keys():
        path = folder_of(part) / file
        found = map_array(path).shape
        agree = [wanted in (size, None) for size, wanted in zip(found, expected[file], strict=False)]
        if len(found) != len(expected[file]) or not all(agree):
            raise BundleError(
                f"{path} has shape {found}; the manifest's n and blocks say {expected[file]}; {REMEDY}"
            )


def map_array(path: Path) -> np.ndarray:
    """Map an array read-only; raises `BundleError` if the file is none."""
    try:
        # As a plain array: one element of a memmap takes ten times as long.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise BundleError(f"{path} is not an array: {error}; {REMEDY}") from None
