"""An on-disk cache of vectors, by encoder fingerprint and content digest.

It is a folder of shards: ``.npy`` files of records (key, content, vector), written to a temporary file, synced and
renamed. A run that is killed loses only the vectors since its last shard; two runs at once may repeat work.
"""

import os
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from recommender.progress import notice

_SHARD_ROWS = 1024
_SHARD_SECONDS = 20.0  # a slow encoder's shard is written before it is full
_MERGED_ROWS = 32_768
_MAX_SMALL_SHARDS = 64  # then they are merged: each open shard holds a file descriptor

Digests = NDArray[np.bytes_]


def cache_location(location: str | Path | None = None) -> Path:
    """Return the cache folder: `location`, else ``$RECOMMENDER_CACHE``, else ``~/.cache/recommender``."""
    return Path(location or os.environ.get("RECOMMENDER_CACHE") or Path.home() / ".cache" / "recommender")


def digest(content: str | bytes) -> bytes:
    """Return the digest of a content, 32 hexadecimal bytes (BLAKE2b, 128 bits)."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return blake2b(data, digest_size=16).hexdigest().encode()


def digests(contents: Sequence[str]) -> Digests:
    """Return the digests of many contents, shape (n,)."""
    return np.array([digest(content) for content in contents], dtype="S32")


class Record(NamedTuple):
    """The vector of one input; None if the cache has its content under another key."""

    key: bytes
    content: bytes
    vector: NDArray[np.float32] | None


class VectorCache:
    """The cached vectors of one encoder and one modality.

    Parameters
    ----------
    folder
        Of the shards; created if missing.
    dim
        Dimension of a vector.

    Notes
    -----
    A record has two identifiers. The *key* is known without reading the file (a zip member's CRC and size); the
    *content* is the digest of its bytes, which stays the same when an image is copied or touched. Record numbers
    run through the shards in order, and are valid until the next `flush`.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.dim = folder, dim
        self._dtype = np.dtype([("key", "S32"), ("content", "S32"), ("vector", "<f4", (dim,))])
        self._shards: list[tuple[Path, NDArray[np.void]]] = []
        self._sorted: dict[str, tuple[Digests, NDArray[np.int64]]] = {}
        self._pending: list[tuple[bytes, bytes, NDArray[np.float32]]] = []
        self._flushed = time.monotonic()
        for path in sorted(folder.glob("*.npy")):
            self._open(path)

    def find(self, digests: Digests, field: str = "key") -> NDArray[np.int64]:
        """Return the numbers (n,) of the records with these keys (or contents), -1 where there is none."""
        if field not in self._sorted:
            column = self._column(field)
            order = np.argsort(column, kind="stable")
            self._sorted[field] = column[order], order
        known, order = self._sorted[field]
        if not len(known):
            return np.full(len(digests), -1)
        position = np.minimum(np.searchsorted(known, digests), len(known) - 1)
        return np.where(known[position] == digests, order[position], -1)

    def vectors(self, records: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors (n, dim) of these record numbers, zeros for -1."""
        out = np.zeros((len(records), self.dim), np.float32)
        start = 0
        for _, shard in self._shards:
            inside = np.flatnonzero((records >= start) & (records < start + len(shard)))
            out[inside] = shard["vector"][records[inside] - start]
            start += len(shard)
        return out

    def contents(self, records: NDArray[np.int64] | None = None) -> Digests:
        """Return the content digests (n,) of these record numbers, or of all records."""
        column = self._column("content")
        return column if records is None else column[records]

    def put(self, key: bytes, content: bytes, vector: NDArray[np.float32]) -> None:
        """Add one vector; `find` sees it once its shard is written, after `flush` at the latest."""
        self._pending.append((key, content, vector))
        if len(self._pending) >= _SHARD_ROWS or time.monotonic() - self._flushed > _SHARD_SECONDS:
            self.flush()

    def fill(self, batches: Iterable[Sequence[Record]]) -> int:
        """Add records as they come, and return the number of new ones; an interrupted run keeps what it has."""
        new = 0
        try:
            for batch in batches:
                known = [record.content for record in batch if record.vector is None]
                vectors = iter(self.vectors(self.find(np.array(known, "S32"), "content")))
                for key, content, vector in batch:
                    self.put(key, content, next(vectors) if vector is None else vector)
                new += len(batch) - len(known)
        finally:
            self.flush()
        return new

    def flush(self) -> None:
        """Write pending records as a shard."""
        if self._pending:
            self._write(np.array(self._pending, dtype=self._dtype))
            self._pending.clear()
        small = [(path, shard) for path, shard in self._shards if len(shard) < _MERGED_ROWS]
        if len(small) >= _MAX_SMALL_SHARDS:
            self._merge(small)
        self._flushed = time.monotonic()

    def _merge(self, small: list[tuple[Path, NDArray[np.void]]]) -> None:
        self._write(np.concatenate([shard for _, shard in small]))
        merged = {path for path, _ in small}
        self._shards = [(path, shard) for path, shard in self._shards if path not in merged]
        for path in merged:
            path.unlink(missing_ok=True)

    def _write(self, records: NDArray[np.void]) -> None:
        path = self.folder / f"{time.time_ns()}-{uuid4().hex[:8]}.npy"
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            np.save(file, records, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        self._open(path)

    def _open(self, path: Path) -> None:
        """Memory-map a shard; one that a crash has truncated is dropped, and its inputs are encoded again."""
        try:
            shard: NDArray[np.void] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:  # merged by another run a moment ago
            return
        except (ValueError, EOFError, OSError) as error:
            notice(f"{path} is damaged ({error}); its vectors are encoded again")
            path.unlink(missing_ok=True)
            return
        self._shards.append((path, shard))
        self._sorted.clear()

    def _column(self, field: str) -> Digests:
        return np.concatenate([np.empty(0, "S32"), *(shard[field] for _, shard in self._shards)])
