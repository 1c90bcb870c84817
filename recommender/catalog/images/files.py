"""Images in a folder, or in a zip that is read in place."""

import posixpath
import zipfile
import zlib
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import Protocol

from recommender.errors import DataError

_UNREADABLE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class ImageSource(Protocol):
    """Images by reference, the text of a product's `image_link`; thread-safe."""

    def key(self, ref: str) -> str:
        """Return a text that changes when the image does, without reading the file; "" if it does not exist."""
        ...

    def read(self, ref: str) -> bytes:
        """Return the bytes of the image file.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...


class FolderImages:
    """Images in a folder; references are paths below it."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder; expected the folder or zip of the photos")
        self._folder = folder.resolve()

    def key(self, ref: str) -> str:
        """Return path, size and modification time."""
        path = self._folder / inside(ref)
        try:
            status = path.stat()
        except (OSError, ValueError):
            return ""
        return f"{path}:{status.st_size}:{status.st_mtime_ns}" if S_ISREG(status.st_mode) else ""

    def read(self, ref: str) -> bytes:
        """Return the file's bytes."""
        try:
            return (self._folder / inside(ref)).read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"photo {ref!r} cannot be read from {self._folder}: {error}") from error

    def close(self) -> None:
        """There is nothing to close."""


class ZipImages:
    """Images in a zip; references are its members, with or without a folder that all of them are in."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a readable zip: {error}") from error
        members = {member.filename: member for member in self._zip.infolist() if not member.is_dir()}
        folders = {posixpath.dirname(name) for name in members}
        shared = f"{posixpath.commonpath(folders)}/" if folders and "" not in folders else ""
        self._members = {name.removeprefix(shared): member for name, member in members.items()} | members
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["ZipImages"], tuple[Path]]:
        """Pickle the path; another process opens the file itself."""
        return ZipImages, (Path(str(self._zip.filename)).absolute(),)

    def key(self, ref: str) -> str:
        """Return checksum and size, as stated in the zip."""
        member = self._members.get(inside(ref))
        return f"{member.CRC:08x}:{member.file_size}" if member else ""

    def read(self, ref: str) -> bytes:
        """Return the member's bytes."""
        member = self._members.get(inside(ref))
        if member is None:
            raise DataError(f"photo {ref!r} is not in {self._zip.filename}")
        try:
            with self._lock:
                return self._zip.read(member)
        except _UNREADABLE as error:
            raise DataError(f"photo {ref!r} cannot be read from {self._zip.filename}: {error}") from error

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()


def inside(ref: str) -> str:
    """Return a reference as a path inside its folder, "" if it leads out of it.

    >>> inside("/m/h/mh01.jpg"), inside("../../etc/passwd")
    ('m/h/mh01.jpg', '')
    """
    path = posixpath.normpath(ref.replace("\\", "/").lstrip("/"))
    return "" if path.split("/")[0] in (".", "..") else path
