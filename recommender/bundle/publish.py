"""Publishing: staged, synced, renamed into place, and only then pointed at."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recommender import __version__
from recommender.bundle.disk import digest, exclusive, replace, seize, sync
from recommender.bundle.generations import current, manifest_path, names, sweep
from recommender.bundle.manifest import FORMAT, Manifest
from recommender.bundle.open import Bundle, part_folder
from recommender.bundle.shapes import check_shapes
from recommender.errors import BundleError

_STAMP = "%Y%m%dT%H%M%SZ"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# `ndarray.tofile`, Annoy and safetensors lose the error's number and keep its words.
_FULL_WORDS = re.compile("|".join([r"\d+ requested and \d+ written", *map(os.strerror, _FULL)]))


class Staging:
    """A folder to write a generation's parts into, and the one step that makes them current.

    Leaving the block without `publish`, by an error or by ``kill -9``, leaves the bundle as it was; the next
    staging sweeps up what a dead one left.

    >>> with Staging("bundles") as staging:                                   # doctest: +SKIP
    ...     np.save(staging.part("base") / "vectors.npy", vectors)
    ...     staging.publish({"n": 800, "blocks": {"image": 256}})
    '20261123T101500Z-3f9ac2d1'

    Parameters
    ----------
    root
        The bundle's folder, made if need be.

    Raises
    ------
    BundleError
        The folder cannot be written, or the disk fills up inside the block.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def __enter__(self) -> Self:
        try:
            for name in ("parts", "generations", ".staging"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            with exclusive(self.root):
                sweep(self.root)
                self._folder = Path(tempfile.mkdtemp(dir=self.root / ".staging"))
                self._lock = seize(self._folder / ".lock")
        except OSError as error:
            raise BundleError(f"cannot publish in {self.root}: {error.strerror} ({error.filename})") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with exclusive(self.root):  # a sweep must not meet half a folder
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        if getattr(error, "errno", None) in _FULL or _FULL_WORDS.search(str(error)):
            raise BundleError(
                f"no room to publish in {self.root}: {error}; free some space and fit again. "
                "What was published before is unchanged"
            ) from error

    def part(self, name: str) -> Path:
        """Return the folder of a part: whatever files it holds at `publish` are its content."""
        path = self._folder / name
        path.mkdir(exist_ok=True)
        return path

    def publish(
        self, manifest_fields: Mapping[str, Any], over: Bundle | None = None, keeping: Collection[str] = ()
    ) -> str:
        """Make what was staged the current generation.

        Parameters
        ----------
        manifest_fields
            `n`, and what else of `Manifest` the publisher knows; other names are kept as extra.
        over
            An opened generation that must still be the current one.
        keeping
            Parts of `over` that the new generation has too, as far as there are such.

        Returns
        -------
        str
            The new generation's name.

        Raises
        ------
        BundleError
            The arrays disagree with `n` or the blocks' dims, or another generation has become current since
            `over` was opened; nothing was published.
        """
        folders = {path.name: path for path in sorted(self._folder.iterdir()) if path.is_dir()}
        parts = {name: _described(folder) for name, folder in folders.items()}
        old = {} if over is None else {name: part for name, part in over.manifest.parts.items() if name in keeping}
        stated = {"format": FORMAT, "package_version": __version__, "parts": old | parts}
        draft = Manifest.from_dict({**manifest_fields, **stated})
        check_shapes(draft, lambda name: folders[name] if name in folders else part_folder(self.root, draft, name))
        with exclusive(self.root):
            if over is not None and current(self.root) != over.generation:
                raise BundleError(f"{current(self.root)} was published meanwhile; publish again, over that one")
            for name, folder in folders.items():
                self._place(folder, parts[name])
            sync(self.root / "parts")
            manifest = _named(self.root, draft)
            replace(manifest_path(self.root, manifest.generation), manifest.to_json())
            replace(self.root / "CURRENT", f"{manifest.generation}\n".encode())
        return manifest.generation

    def _place(self, folder: Path, part: Mapping[str, Any]) -> None:
        """Move a part to where its hash says, unless it is there already; a damaged one makes way."""
        target = self.root / "parts" / part["path"]
        if target.exists():
            if all(_intact(target / file, entry) for file, entry in part["files"].items()):
                return
            target.rename(self._folder / f".damaged-{folder.name}")
        folder.rename(target)


def _intact(path: Path, entry: Mapping[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == entry["bytes"] and digest(path) == entry["sha256"]


def _described(folder: Path) -> dict[str, Any]:
    """Sync a part, and return its manifest entry; a part's hash is that of its files' names and hashes."""
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


def _named(root: Path, draft: Manifest) -> Manifest:
    """Date and name a manifest; names sort in the order of publishing, whatever the clock does."""
    moment = now = datetime.now(UTC)
    if known := names(root):
        newest = datetime.strptime(known[-1].partition("-")[0], _STAMP).replace(tzinfo=UTC)
        moment = max(now, newest + timedelta(seconds=1))
    dated = draft.with_fields(created_at=now.isoformat(timespec="seconds"))
    return dated.with_fields(generation=f"{moment.strftime(_STAMP)}-{dated.seal()[:8]}")
