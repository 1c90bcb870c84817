"""Which generations there are, which one is current, and how to go back or clean up."""

import os
import shutil
from pathlib import Path

from recommender.bundle.disk import exclusive, replace, seize, sync
from recommender.bundle.manifest import Manifest, read_manifest
from recommender.errors import BundleError, nearest


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
    """Return where the manifest of a generation lies."""
    return Path(root) / "generations" / f"{generation}.json"


def generations(root: Path | str) -> list[Manifest]:
    """Return the manifests of all generations, oldest first."""
    return [read_manifest(manifest_path(root, name)) for name in names(root)]


def unknown_generation(root: Path, generation: str) -> BundleError:
    """Return the error for a name that no generation has."""
    known = names(root)
    likely = nearest(generation, known)
    hint = f"did you mean {likely!r}?" if likely else f"there are: {', '.join(known) or 'none'}"
    return BundleError(f"no generation {generation!r} in {root}; {hint}")


def rollback(root: Path | str, generation: str | None = None) -> str:
    """Make a generation current: the one named, or the one published before the current one.

    Returns
    -------
    str
        The generation that is current now.

    Raises
    ------
    BundleError
        There is no such generation or it cannot be opened; then nothing has changed.
    """
    from recommender.bundle.open import open_bundle

    root = Path(root)
    if generation is None:
        current(root)  # raises where there is no bundle, before a lock file is made
    elif generation not in names(root):
        raise unknown_generation(root, generation)
    with exclusive(root):
        target = generation or _before(root, current(root))
        open_bundle(root, target).close()
        replace(root / "CURRENT", f"{target}\n".encode())
    return target


def _before(root: Path, name: str) -> str:
    older = [known for known in names(root) if known < name]
    if not older:
        raise BundleError(f"cannot roll back: {name} is the oldest generation in {root}")
    return older[-1]


def prune(root: Path | str, keep: int = 2) -> list[str]:
    """Remove all but the newest `keep` generations, and the parts that no generation names any more.

    The current generation stays, and so does one that a process has open: each holds a lock on its manifest,
    which the kernel releases when the process dies.

    Returns
    -------
    list of str
        The generations removed, oldest first.
    """
    if keep < 1:
        raise BundleError(f"cannot keep {keep} generations; expected at least 1")
    root = Path(root)
    current(root)  # as above
    with exclusive(root):
        stay = {current(root), *names(root)[-keep:]}
        removed = [name for name in names(root) if name not in stay and _remove(root, name)]
        # A manifest must not come back after a power cut to name parts that are gone.
        sync(root / "generations")
        sweep(root)
    return removed


def _remove(root: Path, name: str) -> bool:
    path = manifest_path(root, name)
    held = seize(path)
    if held is None:
        return False
    path.unlink()
    os.close(held)
    return True


def sweep(root: Path) -> None:
    """Remove what the dead left: staging folders that nobody locks, and parts that no generation names.

    The caller holds `exclusive`, under which staging folders are made and parts placed. While some manifest
    cannot be read, no part is removed, since it may be one of that generation's.
    """
    for folder in (root / ".staging").glob("*"):
        held = seize(folder / ".lock")
        if held is not None:
            shutil.rmtree(folder)
            os.close(held)
    for leftover in (root / "generations").glob(".*.new"):
        leftover.unlink()
    try:
        named = {part["path"] for manifest in generations(root) for part in manifest.parts.values()}
    except BundleError:
        return
    for folder in (root / "parts").glob("*"):
        if folder.name not in named:
            shutil.rmtree(folder)
