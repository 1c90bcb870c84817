"""Which generations there are, which one is current, and how to go back or clean up."""

import os
import shutil
from pathlib import Path

from recommender.bundle.disk import exclusive, lock, replace
from recommender.bundle.manifest import Manifest, read_manifest
from recommender.errors import BundleError, nearest


def current(root: Path | str) -> str:
    """Return the name of the current generation; raises `BundleError` where nothing was published."""
    try:
        return (Path(root) / "CURRENT").read_text("utf-8").strip()
    except OSError as error:
        raise BundleError(
            f"no bundle in {root}: no CURRENT ({error.strerror}); publish one with "
            f"`recommender fit --out {root}`"
        ) from None


def names(root: Path | str) -> list[str]:
    """Return the names of all generations, oldest first; names sort in the order of publishing."""
    return sorted(path.stem for path in (Path(root) / "generations").glob("[!.]*.json"))


def manifest_path(root: Path | str, generation: str) -> Path:
    """Return where the manifest of `generation` lies."""
    return Path(root) / "generations" / f"{generation}.json"


def generations(root: Path | str) -> list[Manifest]:
    """Return the manifests of all generations, oldest first."""
    return [read_manifest(manifest_path(root, name)) for name in names(root)]


def rollback(root: Path | str, generation: str | None = None) -> str:
    """Make an older generation current: the one named, or the one before the current one.

    Returns
    -------
    str
        The generation that is current now.

    Raises
    ------
    BundleError
        There is no such generation, or it cannot be opened: then nothing changes.
    """
    from recommender.bundle.open import open_bundle

    root = Path(root)
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


def unknown_generation(root: Path, generation: str) -> BundleError:
    """Return the error for a name that no generation has."""
    known = names(root)
    hint = nearest(generation, known)
    return BundleError(
        f"no generation {generation!r} in {root}"
        + (f"; did you mean {hint!r}?" if hint else f"; there are: {', '.join(known) or 'none'}")
    )


def prune(root: Path | str, keep: int = 2) -> list[str]:
    """Remove all but the newest `keep` generations, and every part that none of those left names.

    Never removes the current generation, nor one that a process has open (each holds a shared lock on its
    manifest, which the kernel releases when the process dies).

    Returns
    -------
    list of str
        The generations removed, oldest first.
    """
    root = Path(root)
    if keep < 1:
        raise BundleError(f"cannot prune to {keep} generations; keep at least 1")
    with exclusive(root):
        spared = {current(root), *names(root)[-keep:]}
        removed = [name for name in names(root) if name not in spared and _remove(root, name)]
        sweep(root)
    return removed


def _remove(root: Path, name: str) -> bool:
    path = manifest_path(root, name)
    held = lock(path, wait=False)
    if held is None:
        return False
    path.unlink()
    os.close(held)
    return True


def sweep(root: Path) -> None:
    """Remove what dead publishers left: staging folders that nobody locks, and parts that nobody names.

    The caller holds `exclusive`, under which staging folders are made and parts are placed. A manifest that
    cannot be read stops the sweep of parts, since what it names is unknown.
    """
    for folder in (root / ".staging").iterdir():
        held = lock(folder / ".lock", wait=False)
        if held is not None:
            shutil.rmtree(folder)
            os.close(held)
    try:
        named = {part["path"] for manifest in generations(root) for part in manifest.parts.values()}
    except BundleError:
        return
    for folder in (root / "parts").iterdir():
        if folder.name not in named:
            shutil.rmtree(folder)
