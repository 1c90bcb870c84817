"""A folder of partitions with a manifest: on this machine, or at any URL that fsspec knows."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
    """A file that has been written."""

    name: str
    rows: int


@dataclass(frozen=True)
class Folder:
    """Where partitions lie.

    Parameters
    ----------
    url
        A path, or a URL such as ``s3://bucket/recs`` whose file system is installed for fsspec.
    """

    url: str

    def __post_init__(self) -> None:
        self._fs.makedirs(self._path(), exist_ok=True)

    def below(self, name: str) -> "Folder":
        """Return a folder in this one; made if missing."""
        return Folder(f"{self.url.rstrip('/')}/{name}")

    def names(self) -> list[str]:
        """Return the names of the Parquet files, ascending."""
        paths = self._fs.ls(self._path(), detail=False)
        return sorted(name for path in paths if (name := path.rpartition("/")[2]).startswith("part-"))

    def read(self, name: str) -> Iterator[pa.RecordBatch]:
        """Yield what a partition holds, in batches."""
        with self._fs.open(self._path(name), "rb") as file:
            yield from pa.parquet.ParquetFile(file).iter_batches()

    def write(self, name: str, schema: pa.Schema, tables: Iterable[pa.Table | pa.RecordBatch]) -> Partition:
        """Write a partition; it is there whole or not at all."""
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
        found: dict[str, Any] = json.loads(data)
        return found

    def put_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest, in the place of the one before."""
        with self._replacing(MANIFEST) as file:
            file.write(json.dumps(manifest, indent=2).encode() + b"\n")

    def remove(self) -> None:
        """Remove the folder and what is in it."""
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
    """Tell whether an output is a folder rather than a file: its name ends in no extension, or it is there."""
    name = out.rpartition("/")[2]
    return "." not in name.lstrip(".") or Path(out).is_dir()


def _opened(url: str) -> tuple[Any, str]:
    try:
        fs, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise RequestError(f"cannot write to {url!r}: {error}", "/out") from error
    return fs, path
