"""Vectors on disk, so that nothing is encoded twice: by encoder fingerprint and content, in shards.

A shard is one ``.npy`` file of records (key, content, vector), written beside its place, synced and renamed.
Killed at any moment, an encoding run loses only the vectors since its last shard; of two runs at once, one
repeats work.
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
_SHARD_SECONDS = 20.0  # with a slow encoder a shard is written before it is full
_MERGED_ROWS = 32_768
_SMALL_SHARDS = 64  # so many are merged: each open one holds a file descriptor

Digests = NDArray[np.bytes_]


def cache_location(location: str | Path | None = None) -> Path:
    """Return `location`, else what RECOMMENDER_CACHE says, else ``~/.cache/recommender``."""
    return Path(location or os.environ.get("RECOMMENDER_CACHE") or Path.home() / ".cache" / "recommender")


def digest(content: str | bytes) -> bytes:
    """Return 32 hexadecimal bytes that name a content (BLAKE2b, 128 bits)."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return blake2b(data, digest_size=16).hexdigest().encode()


def digests(contents: Sequence[str]) -> Digests:
    """Return the digests (n,) of many contents."""
    return np.array([digest(content) for content in contents], dtype="S32")


class Record(NamedTuple):
    """What an encoder made of one input; None of one whose content the cache knows under another key."""

    key: bytes
    content: bytes
    vector: NDArray[np.float32] | None


class VectorCache:
    """The vectors of one encoder and one modality.

    Parameters
    ----------
    folder
        Where the shards lie; made if missing.
    dim
        Length of a vector.

    Notes
    -----
    A record has two names. The *key* is known without reading the file (a zip member's CRC and size); the
    *content* is the digest of its bytes, which finds a photo again after it was copied or touched. Records
    are numbered through the shards in order, and only until the next `flush`.
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
        """Return the records (n,) under these keys (or contents), -1 where there is none."""
        if field not in self._sorted:
            column = self._column(field)
            order = np.argsort(column, kind="stable")
            self._sorted[field] = column[order], order
        known, order = self._sorted[field]
        if not len(known):
            return np.full(len(digests), -1)
        place = np.minimum(np.searchsorted(known, digests), len(known) - 1)
        return np.where(known[place] == digests, order[place], -1)

    def vectors(self, records: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors (n, dim) of records that `find` gave, zeros for -1."""
        out = np.zeros((len(records), self.dim), np.float32)
        start = 0
        for _, shard in self._shards:
            mine = np.flatnonzero((records >= start) & (records < start + len(shard)))
            out[mine] = shard["vector"][records[mine] - start]
            start += len(shard)
        return out

    def contents(self, records: NDArray[np.int64] | None = None) -> Digests:
        """Return the content digests (n,) of records that `find` gave, or of all."""
        column = self._column("content")
        return column if records is None else column[records]

    def put(self, key: bytes, content: bytes, vector: NDArray[np.float32]) -> None:
        """Remember one vector; it can be found once its shard is written, after `flush` at the latest."""
        self._pending.append((key, content, vector))
        if len(self._pending) >= _SHARD_ROWS or time.monotonic() - self._flushed > _SHARD_SECONDS:
            self.flush()

    def fill(self, batches: Iterable[Sequence[Record]]) -> int:
        """Remember records as they come; what an interrupted run has done is kept. Returns how many are new."""
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
        """Write what is pending as a shard, so that it outlives the process."""
        if self._pending:
            self._write(np.array(self._pending, dtype=self._dtype))
            self._pending.clear()
        small = [(path, shard) for path, shard in self._shards if len(shard) < _MERGED_ROWS]
        if len(small) >= _SMALL_SHARDS:
            self._merge(small)
        self._flushed = time.monotonic()

    def _merge(self, small: list[tuple[Path, NDArray[np.void]]]) -> None:
        self._write(np.concatenate([shard for _, shard in small]))
        gone = {path for path, _ in small}
        self._shards = [(path, shard) for path, shard in self._shards if path not in gone]
        for path in gone:
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
        """Map a shard; one that a crash of the machine has cut short is dropped, and encoded again."""
        try:
            shard: NDArray[np.void] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:  # merged by another run a moment ago
            return
        except (ValueError, EOFError, OSError) as error:
            notice(f"{path} is damaged ({error}); what it held is encoded again")
            path.unlink(missing_ok=True)
            return
        self._shards.append((path, shard))
        self._sorted.clear()

    def _column(self, field: str) -> Digests:
        return np.concatenate([np.empty(0, "S32"), *(shard[field] for _, shard in self._shards)])
