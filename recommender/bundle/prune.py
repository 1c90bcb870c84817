"""Prune the generations of a bundle, and sweep up what crashes left."""

import os
import shutil
from pathlib import Path

from recommender.bundle.disk import exclusive_lock, fsync, remove_unless_open, try_lock
from recommender.bundle.generations import current, generations, manifest_path, names, published
from recommender.bundle.lineage import ancestors, lineage_of
from recommender.bundle.remote import Remote
from recommender.bundle.replica import mirror
from recommender.errors import BundleError


def prune(root: Path | str, keep: int = 2) -> list[str]:
    """Remove all but the newest `keep` generations, and the parts that no generation references.

    An update that was compacted counts as one. The current generation is retained, and so are those that
    ``keep - 1`` rollbacks from it reach, and those that a process has open: it holds a lock on the manifest,
    which the kernel releases when the process ends.

    Parameters
    ----------
    root
        The bundle's folder; of a local copy, the store is pruned. A store's parts go with the prune after.
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
    if published(root) is None:
        current(root)  # raises, before a lock file is created
    with exclusive_lock(root):
        mirror(root)
        retained = _retained(root, keep)
        unwanted = [name for name in names(root) if name not in retained]
        removed = [name for name in unwanted if remove_unless_open(manifest_path(root, name))]
        if (remote := Remote.of(root)) is not None:
            remote.remove(removed)
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
    now = published(root) or current(root)
    return {*newest, now, *ancestors(root, now, keep - 1)}


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
