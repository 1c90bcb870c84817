"""The four things a crash-safe folder needs of the kernel: fsync, rename, flock and a digest."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Force a file's bytes, or a folder's names, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Give `path` new content in one step: after a crash it holds all of the old or all of the new.

    The temporary name is fixed, so the caller holds `exclusive`; the next writer overwrites a leftover.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock(path: Path, *, shared: bool = False, wait: bool = True) -> int | None:
    """Open and flock `path`; closing the returned descriptor, or dying, releases it.

    A shared lock asks for no write permission, so that a service can hold one on a read-only volume.

    Returns
    -------
    int or None
        The descriptor; None if `wait` is false and somebody else holds the lock.
    """
    descriptor = os.open(path, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the one lock of a bundle folder; publishers, pruners and rollbacks queue here."""
    descriptor = lock(root / ".lock")
    assert descriptor is not None
    try:
        yield
    finally:
        os.close(descriptor)
