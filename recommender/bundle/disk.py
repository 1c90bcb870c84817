"""Crash-safe file operations: fsync, atomic replacement, staging folders, file locks and digests."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def fsync(path: Path) -> None:
    """Flush a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the content of a file atomically: after a crash it is all old or all new.

    The temporary name is fixed, so that the caller holds `exclusive_lock`.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    fsync(temporary)
    temporary.replace(path)
    fsync(path.parent)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock_shared(path: Path) -> int:
    """Acquire a shared lock on an existing file; closing the descriptor, or the end of the process, releases it.

    Needs no write permission, so that a service can read from a read-only volume.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def try_lock(path: Path) -> int | None:
    """Acquire an exclusive lock on a file, created if missing; None without waiting if it is locked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def remove_unless_open(path: Path) -> bool:
    """Remove a file unless a process holds a lock on it; returns whether it was removed."""
    lock = try_lock(path)
    if lock is None:
        return False
    path.unlink()
    os.close(lock)
    return True


@contextmanager
def exclusive_lock(root: Path, name: str = ".lock") -> Iterator[None]:
    """Hold the lock of a folder: publishing, pruning and rollback wait here for each other."""
    with (root / name).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def staging_folder(root: Path) -> Iterator[Path]:
    """Make a folder in ``.staging`` that no sweep removes until the end, when it is removed."""
    with exclusive_lock(root):  # a sweep must not see half a folder
        folder = Path(tempfile.mkdtemp(dir=root / ".staging"))
        lock = try_lock(folder / ".lock")
    try:
        yield folder
    finally:
        with exclusive_lock(root):
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)
