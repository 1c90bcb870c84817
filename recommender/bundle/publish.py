"""Publish a generation atomically: stage its parts, fsync, rename, then replace CURRENT."""

import errno
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recommender.bundle.disk import exclusive_lock, fsync, staging_folder, write_atomically
from recommender.bundle.generations import manifest_path, names, published
from recommender.bundle.lineage import LINEAGE, Lineage, lineage_of
from recommender.bundle.manifest import FORMAT, Manifest
from recommender.bundle.open import Bundle
from recommender.bundle.parts import described, move_part, part_folder
from recommender.bundle.prune import sweep
from recommender.bundle.replica import make_current, mirror, upload
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
        The bundle's folder, created if missing; into a local copy of one at a URL, the store is published to.

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
            self._staging = staging_folder(self.root)
            self._folder = self._staging.__enter__()
        except OSError as error:
            raise BundleError(f"cannot publish in {self.root}: {error.strerror} ({error.filename})") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staging.__exit__(None, None, None)
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
        parts = {name: described(folder) for name, folder in folders.items()}
        shared = {} if parent is None else {n: p for n, p in parent.manifest.parts.items() if n in reuse}
        fixed = {"format": FORMAT, "package_version": __version__, "parts": shared | parts}
        draft = Manifest.from_dict({**manifest_fields, **fixed})
        check_shapes(draft, lambda name: folders[name] if name in folders else part_folder(self.root, draft, name))
        upload(self.root, folders, draft)
        with exclusive_lock(self.root):
            while True:
                number = mirror(self.root)
                if parent is not None and published(self.root) != parent.generation:
                    raise BundleError(f"{published(self.root)} was published meanwhile; open it and publish again")
                manifest = self._manifest(draft, parent, compaction, overlay_revision)
                for name, folder in folders.items():
                    if folder.exists():  # else moved already, when another was published first
                        move_part(self.root, folder, parts[name])
                fsync(self.root / "parts")
                path = manifest_path(self.root, manifest.generation)
                write_atomically(path, manifest.to_json())
                if make_current(self.root, manifest.generation, number):
                    return manifest.generation
                path.unlink()

    def _manifest(
        self, draft: Manifest, parent: Bundle | None, compaction: bool, overlay_revision: int
    ) -> Manifest:
        lineage = self._lineage(parent, compaction, overlay_revision)
        return _named(self.root, draft.with_fields(extra={**draft.extra, LINEAGE: asdict(lineage)}))

    def _lineage(self, parent: Bundle | None, compaction: bool, overlay_revision: int) -> Lineage:
        name = published(self.root)
        if name is None:
            return Lineage(overlay_revision=overlay_revision)
        before = lineage_of(self.root, name)
        if compaction:
            return replace(before, compacted=name)
        if parent is None:  # a fit, which has what its catalogue has
            return Lineage(name, overlay_revision=overlay_revision)
        return Lineage(name, overlay_revision=max(before.overlay_revision, overlay_revision))


def _named(root: Path, draft: Manifest) -> Manifest:
    """Date and name a manifest; names sort in the order of publishing, even if the clock is set back."""
    moment = now = datetime.now(UTC)
    if known := names(root):
        newest = datetime.strptime(known[-1].partition("-")[0], _TIMESTAMP).replace(tzinfo=UTC)
        moment = max(now, newest + timedelta(seconds=1))
    dated = draft.with_fields(created_at=now.isoformat(timespec="seconds"))
    return dated.with_fields(generation=f"{moment.strftime(_TIMESTAMP)}-{dated.digest()[:8]}")
