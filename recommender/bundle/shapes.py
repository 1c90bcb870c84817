"""The arrays of a base segment have the lengths that the manifest states."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from recommender.bundle.manifest import REMEDY, Manifest
from recommender.errors import BundleError


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
    n, d = manifest.n, sum(manifest.blocks.values())
    expected: dict[str, tuple[int | None, ...]] = {
        "attributes/ids.npy": (n,),
        "vectors.npy": (n, d),
        "present.npy": (n, len(manifest.blocks)),
        "prior.npy": (n,),
        "groups.npy": (n,),
        "neighbours.npy": (n, None),
        "neighbour_scores.npy": (n, None),
        "codes.npy": (n, None),
        "graph.npy": (n, None),
    }
    for file in expected.keys() & manifest.parts.get("base", {"files": {}})["files"].keys():
        path = folder_of("base") / file
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
