"""Opening a generation: only when it is whole, and held so that pruning leaves it alone."""

import os
import weakref
from pathlib import Path

import numpy as np

from recommender.bundle.disk import digest, hold
from recommender.bundle.generations import current, manifest_path, unknown_generation
from recommender.bundle.manifest import REMEDY, Manifest, read_manifest
from recommender.bundle.shapes import check_shapes, map_array
from recommender.errors import BundleError


class Bundle:
    """One opened generation; its files never change, and are mapped, so that all workers share one copy.

    Parameters
    ----------
    root
        The bundle's folder.
    manifest
        Of the generation.
    held
        The descriptor that keeps the generation from being pruned.
    """

    def __init__(self, root: Path, manifest: Manifest, held: int) -> None:
        self.root = root
        self.manifest = manifest
        self.generation = manifest.generation
        self._release = weakref.finalize(self, os.close, held)

    def close(self) -> None:
        """Let the generation be pruned; what is mapped stays readable."""
        self._release()

    def folder(self, part: str) -> Path:
        """Return the folder of a part; raises `BundleError` if the generation has no such part."""
        if part not in self.manifest.parts:
            known = ", ".join(self.manifest.parts)
            raise BundleError(f"generation {self.generation} has no part {part!r}; it has {known}; {REMEDY}")
        return part_folder(self.root, self.manifest, part)

    def has(self, part: str, file: str) -> bool:
        """Tell whether the generation has that file in that part."""
        return file in self.manifest.parts.get(part, {}).get("files", {})

    def path(self, part: str, file: str) -> Path:
        """Return the path of a file; raises `BundleError` if the manifest names no such file."""
        folder = self.folder(part)
        if not self.has(part, file):
            raise BundleError(f"part {part!r} of generation {self.generation} has no {file!r}; {REMEDY}")
        return folder / file

    def array(self, part: str, file: str) -> np.ndarray:
        """Map an array read-only; raises `BundleError` if the file is none."""
        return map_array(self.path(part, file))


def open_bundle(root: Path | str, generation: str | None = None, verify: bool = False) -> Bundle:
    """Open a generation, the current one if none is named.

    Parameters
    ----------
    root
        The bundle's folder.
    generation
        A name, such as `generations` gives.
    verify
        Compare every file's hash too, which reads them all; sizes and shapes always are.

    Raises
    ------
    BundleError
        Nothing is published there; a file is missing, truncated or not what the manifest says; the format is
        another.
    """
    root = Path(root)
    name, held = _held(root, generation)
    try:
        manifest = read_manifest(manifest_path(root, name))
        for part in manifest.parts:
            _check_files(part_folder(root, manifest, part), manifest.parts[part]["files"], verify)
        check_shapes(manifest, lambda part: part_folder(root, manifest, part))
    except BaseException:
        os.close(held)
        raise
    return Bundle(root, manifest, held)


def part_folder(root: Path, manifest: Manifest, part: str) -> Path:
    """Return where a part of a generation lies."""
    return root / "parts" / str(manifest.parts[part]["path"])


def _held(root: Path, generation: str | None) -> tuple[str, int]:
    """Return the generation to open and a lock on it."""
    while True:
        name = generation or current(root)
        path = manifest_path(root, name)
        try:
            held = hold(path)
        except FileNotFoundError:
            # Pruned since CURRENT was read? Then CURRENT names another by now.
            if generation or name == current(root):
                raise unknown_generation(root, name) from None
            continue
        except OSError as error:
            raise BundleError(f"cannot open {path}: {error.strerror}") from error
        if os.fstat(held).st_nlink:
            return name, held
        os.close(held)  # removed before the lock was ours


def _check_files(folder: Path, files: dict[str, dict[str, int | str]], verify: bool) -> None:
    for file, entry in files.items():
        path = folder / file
        if not path.is_file():
            raise BundleError(f"{path} is missing; {REMEDY}")
        if (found := path.stat().st_size) != entry["bytes"]:
            raise BundleError(f"{path} has {found} bytes; the manifest says {entry['bytes']}; {REMEDY}")
        if verify and digest(path) != entry["sha256"]:
            raise BundleError(f"{path} is damaged: its SHA-256 is not the manifest's; {REMEDY}")
