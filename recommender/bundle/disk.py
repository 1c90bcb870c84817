"""What a crash-safe folder needs of the kernel: fsync, rename, flock; and a digest."""

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

    The temporary name is fixed, so the caller holds `exclusive`.
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


def hold(path: Path) -> int:
    """Lock an existing file together with other readers; closing the descriptor, or dying, lets go.

    Needs no write permission, so that a service can read from a read-only volume.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def seize(path: Path) -> int | None:
    """Lock a file, made if need be, against everybody else; None, at once, if anybody holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the one lock of a bundle's folder: publishers, pruners and rollbacks wait here for each other."""
    with (root / ".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
