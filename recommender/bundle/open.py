"""Opening a generation: only when it is whole, and held so that pruning leaves it alone."""

import os
import weakref
from pathlib import Path

import numpy as np

from recommender.bundle.disk import digest, lock
from recommender.bundle.generations import current, manifest_path, unknown_generation
from recommender.bundle.manifest import Manifest, read_manifest
from recommender.errors import BundleError

_REMEDY = "roll back to another generation (recommender bundles rollback) or fit again"


class Bundle:
    """One opened generation; its files are immutable, and arrays are mapped, so that workers share one copy.

    Parameters
    ----------
    root
        The bundle's folder.
    manifest
        Of the generation that is open.
    held
        Descriptor that locks the generation; closed by `close` or when the bundle is collected.
    """

    def __init__(self, root: Path, manifest: Manifest, held: int) -> None:
        self.root = root
        self.manifest = manifest
        self.generation = manifest.generation
        self.close = weakref.finalize(self, os.close, held)

    def folder(self, part: str) -> Path:
        """Return the folder of a part; raises `BundleError` if this generation has none of that name."""
        try:
            return self.root / "parts" / str(self.manifest.parts[part]["path"])
        except KeyError:
            has = ", ".join(self.manifest.parts)
            raise BundleError(f"generation {self.generation} has no part {part!r}; it has: {has}") from None

    def has(self, part: str, file: str) -> bool:
        """Tell whether this generation has that file in that part."""
        return file in self.manifest.parts.get(part, {}).get("files", {})

    def path(self, part: str, file: str) -> Path:
        """Return the path of a file that the manifest names."""
        if part in self.manifest.parts and not self.has(part, file):
            raise BundleError(f"part {part!r} of generation {self.generation} has no file {file!r}")
        return self.folder(part) / file

    def array(self, part: str, file: str, shape: tuple[int | None, ...] | None = None) -> np.ndarray:
        """Map an array read-only.

        Parameters
        ----------
        part, file
            Which array.
        shape
            What it must be; None stands for any length.

        Raises
        ------
        BundleError
            It is no plain array, or its shape is another: manifest and file disagree.
        """
        path = self.path(part, file)
        try:
            # As a plain array: an element of the memmap subclass takes ten times as long.
            array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (ValueError, OSError, EOFError) as error:
            raise BundleError(f"{path} ({part}/{file}) is not an array: {error}; {_REMEDY}") from None
        if shape is not None and not _fits(array.shape, shape):
            raise BundleError(f"{path} ({part}/{file}) has shape {array.shape}; expected {shape}; {_REMEDY}")
        return array


def _fits(found: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(found) == len(expected) and all(e in (None, f) for f, e in zip(found, expected, strict=True))


def open_bundle(root: Path | str, generation: str | None = None, verify: bool = False) -> Bundle:
    """Open a generation, the current one if none is named.

    Parameters
    ----------
    root
        The bundle's folder.
    generation
        A name from `generations`.
    verify
        Also compare the hash of every file (reads everything); sizes are always compared.

    Raises
    ------
    BundleError
        Nothing is published, or a file is missing, truncated or not the one that was published.
    """
    root = Path(root)
    while True:
        name = generation or current(root)
        held = _hold(manifest_path(root, name))
        if held is not None:
            break
        # Pruned between reading CURRENT and taking the lock? Then CURRENT names another one by now.
        if generation or name == current(root):
            raise unknown_generation(root, name)
    try:
        manifest = read_manifest(manifest_path(root, name))
        _check(root, manifest, verify)
    except BaseException:
        os.close(held)
        raise
    return Bundle(root, manifest, held)


def _hold(path: Path) -> int | None:
    """Lock a manifest shared; None if it is not there, or was removed before the lock was ours."""
    try:
        held = lock(path, shared=True)
    except FileNotFoundError:
        return None
    assert held is not None
    if os.fstat(held).st_nlink:
        return held
    os.close(held)
    return None


def _check(root: Path, manifest: Manifest, verify: bool) -> None:
    for name, part in manifest.parts.items():
        for file, entry in part["files"].items():
            path = root / "parts" / part["path"] / file
            _check_file(path, f"{name}/{file}", entry["bytes"], entry["sha256"] if verify else None)


def _check_file(path: Path, label: str, size: int, sha256: str | None) -> None:
    if not path.is_file():
        raise BundleError(f"{path} ({label}) is missing; {_REMEDY}")
    if (found := path.stat().st_size) != size:
        raise BundleError(f"{path} ({label}) has {found:,} bytes; the manifest says {size:,}; {_REMEDY}")
    if sha256 and digest(path) != sha256:
        raise BundleError(f"{path} ({label}) is damaged: its SHA-256 differs from the manifest; {_REMEDY}")
