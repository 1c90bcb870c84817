"""Publish a generation atomically: stage its parts, fsync, rename, then replace CURRENT."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recommender.bundle.disk import exclusive_lock, fsync, sha256, try_lock, write_atomically
from recommender.bundle.generations import current, manifest_path, names
from recommender.bundle.lineage import LINEAGE, Lineage, lineage_of
from recommender.bundle.manifest import FORMAT, Manifest
from recommender.bundle.open import Bundle, part_folder
from recommender.bundle.prune import sweep
from recommender.bundle.shapes import check_shapes
from recommender.errors import BundleError
from recommender.version import __version__

_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# `ndarray.tofile`, Annoy and safetensors drop the errno and keep its message.
_FULL_MESSAGE = re.compile("|".join([r"\d+ requested and \d+ written", *map(os.strerror, _FULL)]))


class Staging:
    """A staging folder for a generation's parts, which `publish` makes current in one step.

    Without `publish`, by an error or by ``kill -9``, the bundle is unchanged; the next staging removes leftovers.

    >>> with Staging("bundles") as staging:                                   # doctest: +SKIP
    ...     np.save(staging.part("base") / "vectors.npy", vectors)
    ...     staging.publish({"n": 800, "blocks": {"image": 256}})
    '20261123T101500Z-3f9ac2d1'

    Parameters
    ----------
    root
        The bundle's folder, created if missing.

    Raises
    ------
    BundleError
        The folder cannot be written, or the disk is full.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def __enter__(self) -> Self:
        try:
            for name in ("parts", "generations", ".staging"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            with exclusive_lock(self.root):
                sweep(self.root)
                self._folder = Path(tempfile.mkdtemp(dir=self.root / ".staging"))
                self._lock = try_lock(self._folder / ".lock")
        except OSError as error:
            raise BundleError(f"cannot publish in {self.root}: {error.strerror} ({error.filename})") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with exclusive_lock(self.root):  # a sweep must not see half a folder
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        if getattr(error, "errno", None) in _FULL or _FULL_MESSAGE.search(str(error)):
            raise BundleError(
                f"no room to publish in {self.root}: {error}; free some space and fit again. "
                "What was published before is unchanged"
            ) from error

    def part(self, name: str) -> Path:
        """Return the folder of a part, to be filled before `publish`."""
        path = self._folder / name
        path.mkdir(exist_ok=True)
        return path

    def publish(
        self,
        manifest_fields: Mapping[str, Any],
        parent: Bundle | None = None,
        reuse: Collection[str] = (),
        *,
        compaction: bool = False,
        overlay_revision: int = 0,
    ) -> str:
        """Publish the staged parts as the current generation.

        Parameters
        ----------
        manifest_fields
            `n` and other fields of `Manifest`; other names become `extra`.
        parent
            An opened generation that must still be the current one.
        reuse
            Parts of `parent` that the new generation shares, where it has them.
        compaction
            Whether it has the products of `parent` unchanged, so that a rollback takes back both.
        overlay_revision
            See `Lineage`; with a `parent` at least that of the generation before.

        Returns
        -------
        str
            The new generation's name.

        Raises
        ------
        BundleError
            The arrays differ from `n` or the blocks' dims, or another generation has become current since `parent`
            was opened; nothing was published.
        """
        folders = {path.name: path for path in sorted(self._folder.iterdir()) if path.is_dir()}
        parts = {name: _described(folder) for name, folder in folders.items()}
        shared = {} if parent is None else {n: p for n, p in parent.manifest.parts.items() if n in reuse}
        fixed = {"format": FORMAT, "package_version": __version__, "parts": shared | parts}
        draft = Manifest.from_dict({**manifest_fields, **fixed})
        check_shapes(draft, lambda name: folders[name] if name in folders else part_folder(self.root, draft, name))
        with exclusive_lock(self.root):
            if parent is not None and current(self.root) != parent.generation:
                raise BundleError(f"{current(self.root)} was published meanwhile; open it and publish again")
            lineage = self._lineage(parent, compaction, overlay_revision)
            draft = draft.with_fields(extra={**draft.extra, LINEAGE: asdict(lineage)})
            for name, folder in folders.items():
                self._move(folder, parts[name])
            fsync(self.root / "parts")
            manifest = _named(self.root, draft)
            write_atomically(manifest_path(self.root, manifest.generation), manifest.to_json())
            write_atomically(self.root / "CURRENT", f"{manifest.generation}\n".encode())
        return manifest.generation

    def _lineage(self, parent: Bundle | None, compaction: bool, overlay_revision: int) -> Lineage:
        if not (self.root / "CURRENT").exists():
            return Lineage(overlay_revision=overlay_revision)
        name = current(self.root)
        before = lineage_of(self.root, name)
        if compaction:
            return replace(before, compacted=name)
        if parent is None:  # a fit, which has what its catalogue has
            return Lineage(name, overlay_revision=overlay_revision)
        return Lineage(name, overlay_revision=max(before.overlay_revision, overlay_revision))

    def _move(self, folder: Path, part: Mapping[str, Any]) -> None:
        """Move a part to the folder of its hash, unless it exists; a damaged one is replaced."""
        target = self.root / "parts" / part["path"]
        if target.exists():
            if all(_intact(target / file, entry) for file, entry in part["files"].items()):
                return
            target.rename(self._folder / f".damaged-{folder.name}")
        folder.rename(target)


def _intact(path: Path, entry: Mapping[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == entry["bytes"] and sha256(path) == entry["sha256"]


def _described(folder: Path) -> dict[str, Any]:
    """Fsync a part, and return its manifest entry; a part's hash is that of its files' names and hashes."""
    inside = sorted(folder.rglob("*"))
    for path in [*inside, folder]:
        fsync(path)
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in inside
        if path.is_file()
    }
    listing = "".join(f"{entry['sha256']}  {file}\n" for file, entry in files.items())
    return {"path": hashlib.sha256(listing.encode()).hexdigest()[:32], "files": files}


def _named(root: Path, draft: Manifest) -> Manifest:
    """Date and name a manifest; names sort in the order of publishing, even if the clock is set back."""
    moment = now = datetime.now(UTC)
    if known := names(root):
        newest = datetime.strptime(known[-1].partition("-")[0], _TIMESTAMP).replace(tzinfo=UTC)
        moment = max(now, newest + timedelta(seconds=1))
    dated = draft.with_fields(created_at=now.isoformat(timespec="seconds"))
    return dated.with_fields(generation=f"{moment.strftime(_TIMESTAMP)}-{dated.digest()[:8]}")
