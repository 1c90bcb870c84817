"""List, roll back and prune the generations of a bundle."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from recommender.bundle.disk import exclusive_lock, fsync, try_lock
from recommender.bundle.manifest import Manifest, read_manifest
from recommender.errors import BundleError, nearest

if TYPE_CHECKING:
    import pandas as pd


class GenerationList(list[Manifest]):
    """The manifests of a bundle's generations, oldest first."""

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per generation: created_at, products, encoder, index recall and package_version."""
        import pandas as pd

        rows = {
            manifest.generation: {
                "created_at": manifest.created_at,
                "products": manifest.n,
                "encoder": manifest.encoders.get("name"),
                "recall": manifest.metrics.get("recall", {}).get("recall"),
                "package_version": manifest.package_version,
            }
            for manifest in self
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("generation")

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html())


def current(root: Path | str) -> str:
    """Return the name of the current generation; raises `BundleError` where nothing was published."""
    try:
        return (Path(root) / "CURRENT").read_text("utf-8", "replace").strip()
    except OSError as error:
        raise BundleError(
            f"no bundle in {root} (CURRENT: {error.strerror}); publish one: recommender fit --out {root}"
        ) from None


def names(root: Path | str) -> list[str]:
    """Return the names of all generations, oldest first: names sort in the order of publishing."""
    return sorted(path.stem for path in (Path(root) / "generations").glob("*.json"))


def manifest_path(root: Path | str, generation: str) -> Path:
    """Return the path of a generation's manifest."""
    return Path(root) / "generations" / f"{generation}.json"


def generations(root: Path | str) -> GenerationList:
    """Return the manifests of all generations, oldest first.

    Parameters
    ----------
    root
        The bundle's folder.

    Raises
    ------
    BundleError
        One of them cannot be read.
    """
    return GenerationList(read_manifest(manifest_path(root, name)) for name in names(root))


def unknown_generation(root: Path, generation: str) -> BundleError:
    """Return the error for an unknown generation."""
    known = names(root)
    suggestion = nearest(generation, known)
    hint = f"did you mean {suggestion!r}?" if suggestion else f"there are: {', '.join(known) or 'none'}"
    return BundleError(f"no generation {generation!r} in {root}; {hint}")


def prune(root: Path | str, keep: int = 2) -> list[str]:
    """Remove all but the newest `keep` generations, and the parts that no generation references.

    The current generation is retained, and so is one that a process has open: it holds a lock on the manifest,
    which the kernel releases when the process ends.

    Parameters
    ----------
    root
        The bundle's folder.
    keep
        GenerationList to retain, at least 1.

    Returns
    -------
    list of str
        The generations removed, oldest first.
    """
    if keep < 1:
        raise BundleError(f"cannot keep {keep} generations; expected at least 1")
    root = Path(root)
    current(root)  # as above
    with exclusive_lock(root):
        retained = {current(root), *names(root)[-keep:]}
        removed = [name for name in names(root) if name not in retained and _remove(root, name)]
        # A manifest must not reappear after a power failure and reference parts that are removed.
        fsync(root / "generations")
        sweep(root)
    return removed


def _remove(root: Path, name: str) -> bool:
    path = manifest_path(root, name)
    lock = try_lock(path)
    if lock is None:
        return False
    path.unlink()
    os.close(lock)
    return True


def sweep(root: Path) -> None:
    """Remove leftovers of crashes: staging folders without a lock, and parts that no generation references.

    The caller holds `exclusive_lock`, under which staging folders are created and parts are moved. While a
    manifest cannot be read, no part is removed, since that generation may reference it.
    """
    for folder in (root / ".staging").glob("*"):
        lock = try_lock(folder / ".lock")
        if lock is not None:
            shutil.rmtree(folder)
            os.close(lock)
    for leftover in (root / "generations").glob(".*.new"):
        leftover.unlink()
    try:
        referenced = {part["path"] for manifest in generations(root) for part in manifest.parts.values()}
    except BundleError:
        return
    for folder in (root / "parts").glob("*"):
        if folder.name not in referenced:
            shutil.rmtree(folder)
