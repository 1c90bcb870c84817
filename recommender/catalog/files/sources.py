"""Open what a path holds: a file of any format, compressed or not, or a folder of parts."""

import bz2
import gzip
import lzma
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, BinaryIO, Literal, cast

from recommender.errors import DataError

Kind = Literal["delimited text", "JSON", "XML", "Parquet"]
_IN_MEMORY = 2**27  # bytes; what is larger decompressed goes to a temporary file
_SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".csv", ".tsv", ".txt", ".tab", ".psv", ".inter", ".item", ".user"), "delimited text"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "JSON"),
    **dict.fromkeys((".xml", ".rss", ".atom"), "XML"),
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
}
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")
_REFUSED = {
    b"\xd0\xcf\x11\xe0": "is an Excel workbook; save its sheet as CSV UTF-8",
    b"%PDF": "is a PDF; export the data as CSV",
    b"Obj\x01": "is an Avro file; export the data as Parquet",
    b"ORC": "is an ORC file; export the data as Parquet",
    b"SQLite format 3": "is an SQLite database; export the table as CSV",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; decompress it, or use gzip",
    b"7z\xbc\xaf": "is a 7z archive; unpack it",
    b"Rar!": "is a RAR archive; unpack it",
}
_JSON = re.compile(rb'\s*(\{\s*("|\})|\[\s*(\{|\]))')
_XML = re.compile(rb"\s*<(\?xml|!--|!DOCTYPE|[A-Za-z])", re.IGNORECASE)
_HTML = re.compile(rb"\s*<(!DOCTYPE\s+html|html)", re.IGNORECASE)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Kind]]:
    """Open a file, decompressed, and tell what it holds, from its first bytes and then from its name.

    Raises
    ------
    DataError
        If it cannot be opened, is empty, or holds no table.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            plain = stack.enter_context(_decompressed(path.name, file))
            head = plain.read(2**16)
            if not head.strip(b"\0\t\r\n \xff\xfe\xef\xbb\xbf") and not plain.read(1):
                raise DataError(f"{path.name} is empty; expected a header and rows")
            plain.seek(0)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        yield plain, _kind(path, head)


def parts_of(folder: Path) -> list[Path]:
    """Return the files of a folder and of its subfolders in order of their names, without hidden ones and marks.

    Raises
    ------
    DataError
        If there is none.
    """
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not paths:
        raise DataError(f"the folder {folder} holds no file; expected parts of a table, such as part-0000.csv")
    return paths


def _kind(path: Path, head: bytes) -> Kind:
    for magic, remedy in _REFUSED.items():
        if head.startswith(magic):
            raise DataError(f"{path.name} {remedy}")
    text = head.lstrip(b"\xff\xfe\xef\xbb\xbf").replace(b"\0", b"")
    if _HTML.match(text):
        raise DataError(
            f"{path.name} is a web page; expected a table of data. Perhaps it was downloaded without "
            "logging in, or its address answers with an error: open it in a browser"
        )
    if head.startswith(b"PAR1"):
        return "Parquet"
    if _JSON.match(text):
        return "JSON"
    if _XML.match(text):
        return "XML"
    suffixes = [suffix.lower() for suffix in path.suffixes]
    known = next((_SUFFIXES[suffix] for suffix in reversed(suffixes) if suffix in _SUFFIXES), None)
    if _has_columns(text) and not text.lstrip().startswith((b"{", b"[", b"<")):
        return "delimited text"
    if known is None:
        raise DataError(
            f"{path.name} is of no known format; expected one of {', '.join(_SUFFIXES)}, or .gz of them"
        )
    return known


def _has_columns(text: bytes) -> bool:
    """Return whether the first two lines have equally many separators, as a table without an extension has."""
    lines = text.split(b"\n")[:2]
    counts = [{separator: line.count(separator) for separator in (b",", b"\t", b";", b"|")} for line in lines]
    return len(lines) == 2 and any(count and count == counts[1][each] for each, count in counts[0].items())


def _decompressed(name: str, file: BinaryIO, layers: int = 3) -> BinaryIO:
    """Return the file without its compressions; a server may have compressed once more what is compressed."""
    magic = file.read(8)
    file.seek(0)
    if not magic.startswith(_COMPRESSED) or layers == 0:
        return file
    plain = cast(BinaryIO, SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115
    try:
        with ExitStack() as stack:
            shutil.copyfileobj(_decompressor(name, magic, file, stack), plain, 2**20)
        plain.seek(0)
        inner = _decompressed(name, plain, layers - 1)
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError, RuntimeError) as error:
        plain.close()
        raise DataError(f"{name} cannot be decompressed, it is cut off or damaged: {error}") from error
    except DataError:
        plain.close()
        raise
    if inner is not plain:
        plain.close()
    return inner


def _decompressor(name: str, magic: bytes, file: BinaryIO, stack: ExitStack) -> IO[bytes]:
    if magic.startswith(b"PK"):
        return stack.enter_context(_member(name, stack.enter_context(zipfile.ZipFile(file))))
    opener = gzip if magic.startswith(b"\x1f\x8b") else bz2 if magic.startswith(b"BZh") else lzma
    return stack.enter_context(cast(IO[bytes], opener.open(file)))


def _member(name: str, archive: zipfile.ZipFile) -> IO[bytes]:
    """Open the one file of a zip."""
    names = archive.namelist()
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise DataError(
            f"{name} is a workbook of a spreadsheet, whatever its extension; save its sheet as CSV UTF-8"
        )
    files = [each for each in names if not each.endswith("/") and not _hidden(each)]
    if len(files) != 1:
        raise DataError(f"{name} is a zip with {len(files)} files; expected one. Unpack it and name the file")
    return archive.open(files[0])


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))
