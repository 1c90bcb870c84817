"""The parts of generations: folders that are named by the hash of their content."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recommender.bundle.disk import fsync, sha256
from recommender.bundle.manifest import Manifest


def part_folder(root: Path, manifest: Manifest, part: str) -> Path:
    """Return the folder of a part of a generation."""
    return root / "parts" / str(manifest.parts[part]["path"])


def fsync_all(folder: Path) -> list[Path]:
    """Flush a folder and everything in it to the disk; returns what is in it, sorted."""
    inside = sorted(folder.rglob("*"))
    for path in [*inside, folder]:
        fsync(path)
    return inside


def described(folder: Path) -> dict[str, Any]:
    """Fsync a part, and return its manifest entry; a part's hash is that of its files' names and hashes."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in fsync_all(folder)
        if path.is_file()
    }
    listing = "".join(f"{entry['sha256']}  {file}\n" for file, entry in files.items())
    return {"path": hashlib.sha256(listing.encode()).hexdigest()[:32], "files": files}


def is_intact(folder: Path, part: Mapping[str, Any], *, by_hash: bool = True) -> bool:
    """Return whether a folder has all files of a part, of the right size and, if asked, SHA-256."""
    return all(
        (path := folder / file).is_file()
        and path.stat().st_size == entry["bytes"]
        and (not by_hash or sha256(path) == entry["sha256"])
        for file, entry in part["files"].items()
    )


def move_part(root: Path, folder: Path, part: Mapping[str, Any]) -> None:
    """Move a staged part to the folder of its hash, unless it exists; a damaged one is replaced.

    The caller holds `exclusive_lock`, and fsyncs the folder of the parts when it has moved all.
    """
    target = root / "parts" / part["path"]
    if target.exists():
        if is_intact(target, part):
            return
        target.rename(folder.with_name(f".damaged-{folder.name}"))
    folder.rename(target)
