"""A folder of Parquet partitions with a manifest, local or at any URL that fsspec supports."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet
from fsspec.core import url_to_fs

from recommender.errors import RequestError

MANIFEST = "_manifest.json"


class Partition(NamedTuple):
    """A file that was written."""

    name: str
    rows: int


@dataclass(frozen=True)
class Folder:
    """A folder of partitions.

    Parameters
    ----------
    url
        A path, or a URL such as ``s3://bucket/recs`` whose file system fsspec supports.
    """

    url: str

    def __post_init__(self) -> None:
        self._fs.makedirs(self._path(), exist_ok=True)

    def below(self, name: str) -> "Folder":
        """Return a subfolder; created if missing."""
        return Folder(f"{self.url.rstrip('/')}/{name}")

    def names(self) -> list[str]:
        """Return the names of the Parquet files, ascending."""
        paths = self._fs.ls(self._path(), detail=False)
        return sorted(name for path in paths if (name := path.rpartition("/")[2]).startswith("part-"))

    def read(self, name: str) -> Iterator[pa.RecordBatch]:
        """Yield the content of a partition in record batches."""
        with self._fs.open(self._path(name), "rb") as file:
            yield from pa.parquet.ParquetFile(file).iter_batches()

    def write(self, name: str, schema: pa.Schema, tables: Iterable[pa.Table | pa.RecordBatch]) -> Partition:
        """Write a partition atomically."""
        rows = 0
        with self._replacing(name) as file, pa.parquet.ParquetWriter(file, schema) as writer:
            for table in tables:
                writer.write(table)
                rows += len(table)
        return Partition(name, rows)

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest, if there is one."""
        try:
            data = self._fs.cat_file(self._path(MANIFEST))
        except FileNotFoundError:
            return None
        manifest: dict[str, Any] = json.loads(data)
        return manifest

    def put_manifest(self, manifest: dict[str, Any]) -> None:
        """Replace the manifest."""
        with self._replacing(MANIFEST) as file:
            file.write(json.dumps(manifest, indent=2).encode() + b"\n")

    def remove(self) -> None:
        """Remove the folder and its content; in an object store an empty folder is none."""
        with suppress(FileNotFoundError):
            self._fs.rm(self._path(), recursive=True)

    @property
    def _fs(self) -> Any:
        return _opened(self.url)[0]

    def _path(self, name: str = "") -> str:
        root: str = _opened(self.url)[1]
        return f"{root.rstrip('/')}/{name}" if name else root

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Any]:
        temporary = self._path(f".{name}.{uuid4().hex[:8]}")
        try:
            with self._fs.open(temporary, "wb") as file:
                yield file
            self._fs.mv(temporary, self._path(name))
        finally:
            if self._fs.exists(temporary):
                self._fs.rm(temporary)


def is_folder(out: str) -> bool:
    """Return whether an output is a folder rather than a file: it has no extension, or is an existing folder."""
    name = out.rpartition("/")[2]
    return "." not in name.lstrip(".") or Path(out).is_dir()


def _opened(url: str) -> tuple[Any, str]:
    try:
        fs, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise RequestError(f"cannot write to {url!r}: {error}", "/out") from error
    return fs, path
