"""A verified local copy of bundles at a URL, from which they are opened and into which they are published.

The copy is a folder of generations like any other, but that it knows its `Remote`. It has the manifests of all
generations there, and the parts of those that were opened here: each is downloaded into a staging folder, compared
with the manifest's checksums and renamed. ``CURRENT`` changes once all parts of the new generation are here.
"""

import hashlib
import json
import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

from recommender.bundle.disk import (
    exclusive_lock,
    fsync,
    lock_shared,
    remove_unless_open,
    staging_folder,
    try_lock,
    write_atomically,
)
from recommender.bundle.generations import PUBLISHED, manifest_path, names, published, read_name, served
from recommender.bundle.lineage import ancestors
from recommender.bundle.manifest import Manifest, read_manifest
from recommender.bundle.parts import is_intact, move_part
from recommender.bundle.remote import FILE, Remote, is_url
from recommender.errors import BundleError
from recommender.progress import notice

_FETCHING = ".fetching"  # the lock of downloads


def local_copy(
    bundles: Path | str, cache: Path | str | None = None, *, parts: bool = True, offline: bool = False
) -> Path:
    """Return the folder of bundles; for a URL that of its local copy, after bringing it up to date.

    Parameters
    ----------
    bundles
        A folder, or a URL that fsspec opens, such as ``s3://shop/bundles``.
    cache
        Folder of local copies; by default ``$RECOMMENDER_CACHE``, else ``~/.cache/recommender``.
    parts
        Whether to download the current generation; the manifests of all generations are copied in any case.
    offline
        Whether to go on with the copy that there is, if the store cannot be reached.

    Raises
    ------
    BundleError
        The store cannot be used, or what is there is damaged.
    """
    if not is_url(bundles):
        return Path(bundles)
    remote = Remote(str(bundles))
    root = _cache(cache) / f"{_slug(remote.url)}-{hashlib.sha256(remote.url.encode()).hexdigest()[:12]}"
    try:
        for name in ("parts", "generations", ".staging"):
            (root / name).mkdir(parents=True, exist_ok=True)
        with exclusive_lock(root):
            write_atomically(root / FILE, json.dumps({"url": remote.url}).encode())
    except OSError as error:
        raise BundleError(f"no local copy of {remote.url} in {root}: {error.strerror}") from error
    try:
        pull(root, parts=parts)
    except BundleError as error:
        if not (offline and (root / "CURRENT").exists()):
            raise
        notice(f"{error}; going on with the local copy")
    return root


def pull(root: Path, *, parts: bool = True) -> None:
    """Bring a local copy up to date, and remove what is no longer needed; see `local_copy`."""
    if Remote.of(root) is None:
        return
    while True:
        with exclusive_lock(root):
            mirror(root)
            name = published(root)
            if name is None or not parts or _make_current_here(root, name):
                break
        _fetch_generation(root, name)
    _evict(root)


def mirror(root: Path) -> int:
    """Copy new manifests and the name of the current generation; returns the number of its publication.

    The caller holds `exclusive_lock`.
    """
    remote = Remote.of(root)
    if remote is None:
        return 0
    number, name = remote.current()
    if name is None and served(root) is not None:
        raise BundleError(f"nothing is published in {remote.url} any more; to start anew, remove its copy {root}")
    there, here = set(remote.names()), set(names(root))
    for new in there - here:
        if (content := remote.manifest(new)) is not None:
            write_atomically(manifest_path(root, new), content)
    for removed in here - there:
        remove_unless_open(manifest_path(root, removed))
    if name is not None and name != read_name(root / PUBLISHED):
        write_atomically(root / PUBLISHED, f"{name}\n".encode())
    return number


def fetch(root: Path, manifest: Manifest) -> None:
    """Download the parts of a generation that a copy lacks; the caller has locked the manifest."""
    remote = Remote.of(root)
    if remote is None or _is_here(root, manifest):
        return
    with exclusive_lock(root, _FETCHING):
        for part in manifest.parts.values():
            if is_intact(root / "parts" / part["path"], part, by_hash=False):
                continue
            with staging_folder(root) as staging:
                folder = staging / "part"
                folder.mkdir()
                remote.download(folder, part)
                if not is_intact(folder, part):
                    raise BundleError(
                        f"{remote.url}/parts/{part['path']} is not what was published: its SHA-256 differs"
                    )
                with exclusive_lock(root):
                    move_part(root, folder, part)
                    fsync(root / "parts")


def upload(root: Path, staged: dict[str, Path], manifest: Manifest) -> None:
    """Upload the staged parts of a draft, by their names, unless a generation in the store has them."""
    remote = Remote.of(root)
    if remote is None:
        return
    known = remote.referenced({name: read_manifest(manifest_path(root, name)) for name in names(root)})
    for name, folder in staged.items():
        if (part := manifest.parts[name])["path"] not in known:
            remote.upload(folder, part)


def make_current(root: Path, generation: str, number: int) -> bool:
    """Make a generation current, in the store of a copy first; False if another was published since `mirror`.

    The caller holds `exclusive_lock`, and passes the number that `mirror` returned under it.
    """
    remote = Remote.of(root)
    if remote is not None:
        path = manifest_path(root, generation)
        remote.check(read_manifest(path))
        if is_new := generation not in remote.names():
            remote.add_manifest(generation, path.read_bytes())
        if not remote.make_current(generation, number + 1):
            if is_new:
                remote.remove_manifest(generation)
            return False
        write_atomically(root / PUBLISHED, f"{generation}\n".encode())
        _make_current_here(root, generation)
    else:
        write_atomically(root / "CURRENT", f"{generation}\n".encode())
    return True


def _make_current_here(root: Path, name: str) -> bool:
    """Point CURRENT to a generation, if all its parts are here."""
    if not _is_here(root, read_manifest(manifest_path(root, name))):
        return False
    if name != served(root):
        write_atomically(root / "CURRENT", f"{name}\n".encode())
    return True


def _is_here(root: Path, manifest: Manifest) -> bool:
    return all(is_intact(root / "parts" / part["path"], part, by_hash=False) for part in manifest.parts.values())


def _fetch_generation(root: Path, name: str) -> None:
    path = manifest_path(root, name)
    try:
        lock = lock_shared(path)
    except FileNotFoundError:  # pruned meanwhile
        return
    try:
        fetch(root, read_manifest(path))
    finally:
        os.close(lock)


def _evict(root: Path) -> None:
    """Remove parts, but those of the current generation, of the one before it, and of those that are open."""
    with exclusive_lock(root), ExitStack() as locks:
        now = {name for name in (published(root), served(root)) if name is not None}
        retained = now | {name for each in now for name in ancestors(root, each, 1)} & {*names(root)}
        try:
            if not _parts_beside(root, retained):
                return
            for name in set(names(root)) - retained:
                lock = try_lock(manifest_path(root, name))
                if lock is None:
                    retained.add(name)
                else:  # until the parts are gone: who opens it meanwhile waits, and downloads them again
                    locks.callback(os.close, lock)
            for folder in _parts_beside(root, retained):
                shutil.rmtree(folder)
        except BundleError:  # what a manifest of a newer format needs is not known
            return


def _parts_beside(root: Path, generations: set[str]) -> list[Path]:
    """Return the folders of parts that none of the generations has."""
    manifests = (read_manifest(manifest_path(root, name)) for name in generations)
    needed = {part["path"] for manifest in manifests for part in manifest.parts.values()}
    return [folder for folder in (root / "parts").iterdir() if folder.name not in needed]


def _cache(cache: Path | str | None) -> Path:
    return Path(cache or os.environ.get("RECOMMENDER_CACHE") or Path.home() / ".cache" / "recommender") / "bundles"


def _slug(url: str) -> str:
    """Return what a reader recognizes of a URL, for the name of a folder."""
    return re.sub(r"[^A-Za-z0-9]+", "-", url.partition("://")[2]).strip("-")[-40:] or "bundles"
