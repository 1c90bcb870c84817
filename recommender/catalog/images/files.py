"""Images in a folder, or in a zip that is read in place."""

import os
import posixpath
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import Protocol

from recommender.catalog.images.names import Names, inside, is_stray, shared_folder
from recommender.errors import DataError, PhotoError

_UNREADABLE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags of a zip's member
# Python reads names without the flag as code page 437; programs write them in that of their system.
_CODECS = ("utf-8", "cp850", "cp866", "gbk", "cp932", "cp949", "cp1252")


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


class FileImages(ImageSource, Protocol):
    """Images in files.

    Attributes
    ----------
    matched
        The file that was taken for each reference that names none as it is.
    """

    matched: dict[str, str]


class FolderImages:
    """Images in a folder; references are paths below it.

    Parameters
    ----------
    folder
        Of the images.
    prefixes
        See `Names`.

    Attributes
    ----------
    matched
        The path that was taken for each reference that names no file as it is.
    """

    def __init__(self, folder: Path, prefixes: Iterable[str] = ()) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder; expected the folder or zip of the photos")
        self._folder, self._prefixes = folder.resolve(), tuple(prefixes)
        self._names = Names(self._listing, (f"{self._folder.name}/", *self._prefixes))
        self._lock = Lock()
        self.matched: dict[str, str] = {}

    def __reduce__(self) -> tuple[type["FolderImages"], tuple[Path, tuple[str, ...]]]:
        """Pickle the path; another process lists the folder itself."""
        return FolderImages, (self._folder, self._prefixes)

    def key(self, ref: str) -> str:
        """Return path, size and modification time."""
        found = self._find(ref)
        return f"{found[0]}:{found[1].st_size}:{found[1].st_mtime_ns}" if found else ""

    def read(self, ref: str) -> bytes:
        """Return the file's bytes."""
        found = self._find(ref)
        if found is None:
            raise PhotoError(ref, f"is not in {self._folder}")
        try:
            return found[0].read_bytes()
        except OSError as error:
            raise PhotoError(ref, f"cannot be read from {self._folder}: {error.strerror or error}") from error

    def close(self) -> None:
        """There is nothing to close."""

    def _find(self, ref: str) -> tuple[Path, os.stat_result] | None:
        """Return the file of a reference, else of one that is spelled differently, and its status."""
        found = self._status(self.matched.get(ref, inside(ref)))
        if found is None:
            with self._lock:
                match = self._names.find(ref)
            found = self._status(match)
            if found is not None:
                self.matched[ref] = match
        return found

    def _status(self, name: str) -> tuple[Path, os.stat_result] | None:
        path = self._folder / name
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        return (path, status) if S_ISREG(status.st_mode) else None

    def _listing(self, folder: str) -> list[str]:
        try:
            return [path.name for path in (self._folder / folder).iterdir()]
        except (OSError, ValueError):
            return []


class ZipImages:
    """Images in a zip; references are its members, with or without a folder that all of them are in.

    Parameters
    ----------
    path
        Of the zip.
    prefixes
        See `Names`.

    Attributes
    ----------
    matched
        The member that was taken for each reference that names none as it is.
    """

    def __init__(self, path: Path, prefixes: Iterable[str] = ()) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a readable zip: {error}") from error
        self._path, self._prefixes = path.absolute(), tuple(prefixes)
        self._members = _members(self._zip)
        self._names = Names(lambda folder: self._folders.get(folder, ()), (f"{path.stem}/", *self._prefixes))
        self._lock = Lock()
        self.matched: dict[str, str] = {}

    def __reduce__(self) -> tuple[type["ZipImages"], tuple[Path, tuple[str, ...]]]:
        """Pickle the path; another process opens the file itself."""
        return ZipImages, (self._path, self._prefixes)

    def key(self, ref: str) -> str:
        """Return checksum and size, as stated in the zip."""
        member = self._member(ref)
        return f"{member.CRC:08x}:{member.file_size}" if member else ""

    def read(self, ref: str) -> bytes:
        """Return the member's bytes."""
        member = self._member(ref)
        if member is None:
            raise PhotoError(ref, f"is not in {self._path}")
        if member.flag_bits & _ENCRYPTED:
            raise PhotoError(ref, f"is encrypted in {self._path}; expected a zip without a password")
        try:
            with self._lock:
                return self._zip.read(member)
        except _UNREADABLE as error:
            reason = str(error).partition(" for file ")[0]
            raise PhotoError(ref, f"cannot be read from {self._path}: {reason}") from error

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()

    def _member(self, ref: str) -> zipfile.ZipInfo | None:
        """Return the member of a reference, else of one that is spelled differently."""
        member = self._members.get(inside(ref)) or self._members.get(self.matched.get(ref, ""))
        if member is None:
            with self._lock:
                found = self._names.find(ref)
            member = self._members.get(found)
            if member is not None:
                self.matched[ref] = found
        return member

    @cached_property
    def _folders(self) -> dict[str, set[str]]:
        """The names in each folder."""
        folders: dict[str, set[str]] = defaultdict(set)
        for path in self._members:
            while path:
                folder, name = posixpath.split(path)
                folders[folder].add(name)
                path = folder
        return folders


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by path, also by that below a folder that all of them are in, and in other encodings."""
    files = {inside(member.filename): member for member in archive.infolist() if not member.is_dir()}
    files = {path: member for path, member in files.items() if path and not is_stray(path)}
    shared = shared_folder([*files])
    members = {path.removeprefix(shared): member for path, member in files.items()} | files
    for path, member in [*members.items()]:
        if not (path.isascii() or member.flag_bits & _UTF8):
            for name in _decodings(path):
                members.setdefault(name, member)
    return members


def _decodings(name: str) -> Iterator[str]:
    """Yield a member's name in the encodings that programs use without saying so."""
    for codec in _CODECS:
        with suppress(UnicodeError):
            yield name.encode("cp437").decode(codec)
