"""Open a generation: check that it is complete, and lock it against pruning."""

import os
import weakref
from pathlib import Path

import numpy as np

from recommender.bundle.disk import lock_shared, sha256
from recommender.bundle.generations import current, manifest_path, unknown_generation
from recommender.bundle.manifest import REMEDY, Manifest, read_manifest
from recommender.bundle.parts import part_folder
from recommender.bundle.replica import fetch
from recommender.bundle.shapes import check_shapes, map_array
from recommender.errors import BundleError


class Bundle:
    """An opened generation; its files are immutable and memory-mapped, so that processes share one copy.

    Parameters
    ----------
    root
        The bundle's folder.
    manifest
        Of the generation.
    lock
        File descriptor of the lock against pruning.
    """

    def __init__(self, root: Path, manifest: Manifest, lock: int) -> None:
        self.root = root
        self.manifest = manifest
        self.generation = manifest.generation
        self._release = weakref.finalize(self, os.close, lock)

    def __repr__(self) -> str:
        return f"<Bundle {self.generation} in {self.root}>"

    def close(self) -> None:
        """Release the lock against pruning; mapped arrays stay readable."""
        self._release()

    def folder(self, part: str) -> Path:
        """Return the folder of a part; raises `BundleError` if the generation has no such part."""
        if part not in self.manifest.parts:
            names = ", ".join(self.manifest.parts)
            raise BundleError(f"generation {self.generation} has no part {part!r}; it has {names}; {REMEDY}")
        return part_folder(self.root, self.manifest, part)

    def has(self, part: str, file: str) -> bool:
        """Return whether a part has a file."""
        return file in self.manifest.parts.get(part, {}).get("files", {})

    def path(self, part: str, file: str) -> Path:
        """Return the path of a file; raises `BundleError` if the part has no such file."""
        folder = self.folder(part)
        if not self.has(part, file):
            raise BundleError(f"part {part!r} of generation {self.generation} has no {file!r}; {REMEDY}")
        return folder / file

    def array(self, part: str, file: str) -> np.ndarray:
        """Map an array read-only; raises `BundleError` if the file is not an array."""
        return map_array(self.path(part, file))


def open_bundle(root: Path | str, generation: str | None = None, verify: bool = False) -> Bundle:
    """Open a generation, by default the current one.

    Parameters
    ----------
    root
        The bundle's folder; a local copy of one at a URL downloads what it lacks.
    generation
        Its name, see `generations`.
    verify
        Check the hash of every file, which reads them all; sizes and shapes are always checked.

    Raises
    ------
    BundleError
        Nothing is published there; a file is missing, truncated or differs from the manifest; the format is
        not supported.
    """
    root = Path(root)
    name, lock = _locked(root, generation)
    try:
        manifest = read_manifest(manifest_path(root, name))
        fetch(root, manifest)
        for part in manifest.parts:
            _check_files(part_folder(root, manifest, part), manifest.parts[part]["files"], verify)
        check_shapes(manifest, lambda part: part_folder(root, manifest, part))
    except BaseException:
        os.close(lock)
        raise
    return Bundle(root, manifest, lock)


def _locked(root: Path, generation: str | None) -> tuple[str, int]:
    """Return the name of the generation to open and a lock on it."""
    while True:
        name = generation or current(root)
        path = manifest_path(root, name)
        try:
            lock = lock_shared(path)
        except FileNotFoundError:
            # Pruned since CURRENT was read? Then CURRENT has changed.
            if generation or name == current(root):
                raise unknown_generation(root, name) from None
            continue
        except OSError as error:
            raise BundleError(f"cannot open {path}: {error.strerror}") from error
        if os.fstat(lock).st_nlink:
            return name, lock
        os.close(lock)  # removed before it was locked


def _check_files(folder: Path, files: dict[str, dict[str, int | str]], verify: bool) -> None:
    for file, entry in files.items():
        path = folder / file
        if not path.is_file():
            raise BundleError(f"{path} is missing; {REMEDY}")
        if (size := path.stat().st_size) != entry["bytes"]:
            raise BundleError(f"{path} has {size} bytes; the manifest says {entry['bytes']}; {REMEDY}")
        if verify and sha256(path) != entry["sha256"]:
            raise BundleError(f"{path} is damaged: its SHA-256 is not the manifest's; {REMEDY}")
