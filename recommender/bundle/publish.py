"""Publishing: staged, synced, renamed, and only then pointed at."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recommender import __version__
from recommender.bundle.disk import digest, exclusive, lock, replace, sync
from recommender.bundle.generations import manifest_path, names, sweep
from recommender.bundle.manifest import FORMAT, Manifest
from recommender.errors import BundleError

_STAMP = "%Y%m%dT%H%M%SZ"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Staging:
    """A folder to write a generation's parts into, and the one step that makes them current.

    Leaving the ``with`` block without `publish`, by an error or by ``kill -9``, leaves the bundle as it was;
    the next staging removes what a dead one left.

    >>> with Staging("bundles") as staging:                                   # doctest: +SKIP
    ...     np.save(staging.part("blocks") / "image.npy", image)
    ...     staging.publish({"n": 800, "blocks": {"image": 256}})
    '20261123T101500Z-3f9ac2d1'

    Raises
    ------
    BundleError
        When the disk fills up, inside the block or in `publish`.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def __enter__(self) -> Self:
        for name in ("parts", "generations", ".staging"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        with exclusive(self.root):
            sweep(self.root)
            self.folder = Path(tempfile.mkdtemp(dir=self.root / ".staging"))
            self._lock = lock(self.folder / ".lock")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        if isinstance(error, OSError) and _disk_is_full(error):
            raise BundleError(
                f"no room to publish in {self.root} ({error}); free some space and fit again: "
                "what was published before is unchanged"
            ) from error

    def part(self, name: str) -> Path:
        """Return the folder of part `name`; whatever files it holds at `publish` are its content."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def publish(self, manifest_fields: Mapping[str, Any]) -> str:
        """Make what was staged the current generation.

        Parameters
        ----------
        manifest_fields
            Fields of `Manifest` but for the name, format, version, date and parts; others are kept as extra.

        Returns
        -------
        str
            The new generation's name.
        """
        folders = sorted(path for path in self.folder.iterdir() if path.is_dir())
        parts = {folder.name: _describe(folder) for folder in folders}
        stated = {"format": FORMAT, "package_version": __version__, "parts": parts}
        with exclusive(self.root):
            for folder in folders:
                self._place(folder, parts[folder.name])
            sync(self.root / "parts")
            manifest = _named(self.root, Manifest.from_dict({**manifest_fields, **stated}))
            replace(manifest_path(self.root, manifest.generation), manifest.to_json())
            replace(self.root / "CURRENT", f"{manifest.generation}\n".encode())
        return manifest.generation

    def _place(self, folder: Path, part: Mapping[str, Any]) -> None:
        """Move a part to where its hash says, unless it is there already; a damaged one is replaced."""
        target = self.root / "parts" / part["path"]
        if target.exists():
            if all(_intact(target / file, entry) for file, entry in part["files"].items()):
                return
            target.rename(self.folder / f".damaged-{folder.name}")
        folder.rename(target)


def _intact(path: Path, entry: Mapping[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == entry["bytes"] and digest(path) == entry["sha256"]


def _describe(folder: Path) -> dict[str, Any]:
    """Sync a part's files and folders and return its entry; its hash is that of its files' hashes."""
    inside = sorted(folder.rglob("*"))
    for path in [*inside, folder]:
        sync(path)
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in inside
        if path.is_file()
    }
    listing = "".join(f"{entry['sha256']}  {file}\n" for file, entry in files.items())
    return {"path": hashlib.sha256(listing.encode()).hexdigest()[:32], "files": files}


def _named(root: Path, manifest: Manifest) -> Manifest:
    """Date and name a manifest; names sort in the order of publishing, whatever the clock does."""
    now = datetime.now(UTC)
    moment, last = now, names(root)[-1:]
    if last:
        after = datetime.strptime(last[0].partition("-")[0], _STAMP).replace(tzinfo=UTC) + timedelta(
            seconds=1
        )
        moment = max(now, after)
    dated = Manifest.from_dict({**manifest.to_dict(), "created_at": now.isoformat(timespec="seconds")})
    name = f"{moment.strftime(_STAMP)}-{dated.seal()[:8]}"
    return Manifest.from_dict({**dated.to_dict(), "generation": name})


def _disk_is_full(error: OSError) -> bool:
    """Tell a full disk from other errors; `ndarray.tofile` and Annoy leave errno empty when they fall short."""
    return error.errno in _FULL or error.errno is None
