"""Prune the generations of a bundle, and sweep up what crashes left."""

import os
import shutil
from pathlib import Path

from recommender.bundle.disk import exclusive_lock, fsync, try_lock
from recommender.bundle.generations import current, generations, manifest_path, names
from recommender.bundle.lineage import ancestors, lineage_of
from recommender.errors import BundleError


def prune(root: Path | str, keep: int = 2) -> list[str]:
    """Remove all but the newest `keep` generations, and the parts that no generation references.

    An update that was compacted counts as one. The current generation is retained, and so are those that
    ``keep - 1`` rollbacks from it reach, and those that a process has open: it holds a lock on the manifest,
    which the kernel releases when the process ends.

    Parameters
    ----------
    root
        The bundle's folder.
    keep
        Generations to retain, at least 1; with 1, none is left to roll back to.

    Returns
    -------
    list of str
        The generations removed, oldest first.
    """
    if keep < 1:
        raise BundleError(f"cannot keep {keep} generations; expected at least 1")
    root = Path(root)
    current(root)  # raises where there is no bundle, before a lock file is created
    with exclusive_lock(root):
        retained = _retained(root, keep)
        removed = [name for name in names(root) if name not in retained and _remove(root, name)]
        # A manifest must not reappear after a power failure and reference parts that are removed.
        fsync(root / "generations")
        sweep(root)
    return removed


def _retained(root: Path, keep: int) -> set[str]:
    """Return the newest generations that were not compacted, the current one, and those it can go back to."""
    newest: list[str] = []
    compacted: set[str | None] = set()
    for name in reversed(names(root)):
        if len(newest) == keep:
            break
        if name not in compacted:
            newest.append(name)
        compacted.add(lineage_of(root, name).compacted)
    now = current(root)
    return {*newest, now, *ancestors(root, now, keep - 1)}


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
