"""Where photos come from: a folder, a zip read in place, the web."""

import os
import posixpath
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Protocol

from recommender.config import Config
from recommender.errors import DataError


class ImageSource(Protocol):
    """Photos by reference, the text of a product's `image_link`; safe to use from several threads."""

    def key(self, ref: str) -> str:
        """Return a text that changes when the photo does, cheaply and unread; "" if there is no such photo."""
        ...

    def read(self, ref: str) -> bytes:
        """Return the photo's file.

        Raises
        ------
        DataError
            If it cannot be had.
        """
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class FolderImages:
    """Photos in a folder; references are paths below it."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; expected the photos' folder or zip")
        self._folder = folder

    def key(self, ref: str) -> str:
        """Return path, size and time of change."""
        path = self._path(ref)
        try:
            found = path.stat()
        except (OSError, ValueError):
            return ""
        return f"{path.resolve()}:{found.st_size}:{found.st_mtime_ns}" if path.is_file() else ""

    def read(self, ref: str) -> bytes:
        """Return the file's bytes."""
        try:
            return self._path(ref).read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"photo {ref!r} cannot be read from {self._folder}: {error}") from error

    def close(self) -> None:
        """Nothing is held."""

    def _path(self, ref: str) -> Path:
        return self._folder / _inside(ref)


class ZipImages:
    """Photos in a zip, read in place; references are members' names, or what follows a folder that all share."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a readable zip: {error}") from error
        members = [member for member in self._zip.infolist() if not member.is_dir()]
        folder = posixpath.commonpath([posixpath.dirname(m.filename) for m in members]) if members else ""
        self._members = {m.filename[len(folder) :].lstrip("/"): m for m in members}
        self._members |= {m.filename: m for m in members}
        self._lock = Lock()

    def key(self, ref: str) -> str:
        """Return the checksum and the size that the zip states."""
        member = self._members.get(_inside(ref))
        return f"{member.CRC:08x}:{member.file_size}" if member else ""

    def read(self, ref: str) -> bytes:
        """Return the member's bytes."""
        try:
            with self._lock:
                return self._zip.read(self._members[_inside(ref)])
        except (
            KeyError,
            OSError,
            EOFError,
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise DataError(f"photo {ref!r} cannot be read from {self._zip.filename}: {error}") from error

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()


class NoImages:
    """For a shop without photos."""

    def key(self, ref: str) -> str:
        """Return ""."""
        return ""

    def read(self, ref: str) -> bytes:
        """Raise: there is none."""
        raise DataError(f"there is no photo {ref!r}")

    def close(self) -> None:
        """Nothing is held."""


def open_images(config: Config, refs: Iterable[str]) -> ImageSource:
    """Return the source that a config names.

    Parameters
    ----------
    refs
        Every product's reference.

    Raises
    ------
    DataError
        If the folder or zip is not there or cannot be read.
    """
    if config.catalog.images is None:
        return FolderImages(config.data_dir) if any(refs) else NoImages()
    path = config.resolve(config.catalog.images)
    if path.is_dir():
        return FolderImages(path)
    if not path.exists():
        raise DataError(f"{path} is not there; expected the photos' folder or zip")
    return ZipImages(path)


def _inside(ref: str) -> str:
    """Return a reference as a path that cannot leave its folder."""
    path = posixpath.normpath(ref.replace("\\", "/").lstrip("/"))
    return "" if path.startswith("..") else path.replace("/", os.sep)
