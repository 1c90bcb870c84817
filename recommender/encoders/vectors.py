"""Precomputed vectors by product id: nothing is encoded, and text and image queries are not possible."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recommender.encoders.base import Vectors
from recommender.errors import EncoderError

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("checkpoint",)


class Precomputed:
    """Vectors from a file; see `recommender.encoders.base.Encoder` for the rest.

    Parameters
    ----------
    ids
        Distinct ids of the products that have a vector.
    vectors
        Their vectors, shape (v, d).
    name
        Of the file.

    Attributes
    ----------
    ids
        As given.
    """

    aligned = False

    def __init__(self, ids: Sequence[str], vectors: Vectors, name: str) -> None:
        self.name = f"vectors {name}"
        self.image_dim = self.text_dim = vectors.shape[1]
        self.ids = list(ids)
        self._row = {product: row for row, product in enumerate(ids)}
        self._vectors = vectors
        hashed = sha256("\0".join(ids).encode())
        hashed.update(np.ascontiguousarray(vectors).tobytes())
        self.fingerprint = f"vectors-{hashed.hexdigest()[:16]}"

    def look_up(self, ids: Sequence[str]) -> tuple[Vectors, NDArray[np.bool_]]:
        """Return products' vectors (n, d), zeros where there is none, and the mask (n,) of those with one."""
        rows = np.array([self._row.get(product, -1) for product in ids], dtype=np.int64)
        known = rows >= 0
        out = np.zeros((len(ids), self._vectors.shape[1]), np.float32)
        out[known] = self._vectors[rows[known]]
        return out, known & out.any(axis=1)

    def require(self, ids: Sequence[str]) -> None:
        """Raise `EncoderError` unless one of these products has a vector."""
        if not any(product in self._row for product in ids):
            raise EncoderError(
                f"{self.name} have none of the {len(ids):,} products, such as {ids[0]!r}; they have such as "
                f"{next(iter(self.ids), '')!r}. Write the ids as in the catalogue"
            )

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Raise `EncoderError`: there is no model here."""
        raise EncoderError(f"{self.name} are precomputed by product id; other images cannot be encoded")

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Raise `EncoderError`: there is no model here."""
        raise EncoderError(f"{self.name} are precomputed by product id; other texts cannot be encoded")


def create(config: "EncoderChoice") -> Precomputed:
    """Read ``checkpoint``: .parquet with id and vector, or .npy beside a .txt with one id per line.

    Raises
    ------
    EncoderError
        If it cannot be read, an id is repeated, or a vector is not finite.
    """
    path = config.checkpoint
    if path is None:
        raise EncoderError('encoder "vectors" needs a file; expected such as checkpoint = "vectors.parquet"')
    try:
        ids, vectors = _parquet(path) if path.suffix == ".parquet" else _numpy(path)
    except (OSError, ValueError, KeyError) as error:
        hint = "expected .parquet with the columns id and vector, or .npy (n, d) with ids, one a line, in .txt"
        raise EncoderError(f"{path} holds no vectors by id ({str(error).splitlines()[0]}); {hint}") from error
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise EncoderError(f"{path} has the id {twice!r} twice; expected one vector a product")
    if not np.isfinite(vectors).all():
        bad = ids[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]
        raise EncoderError(f"the vector of {bad!r} in {path} is not finite; leave the product out instead")
    return Precomputed(ids, vectors, path.name)


def _parquet(path: Path) -> tuple[list[str], Vectors]:
    import pyarrow.compute as pc
    from pyarrow import parquet

    table = parquet.read_table(path, columns=["id", "vector"])
    column = table["vector"].combine_chunks()
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        raise ValueError(f"vectors of the lengths {lengths[:5]}")
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return [str(product) for product in table["id"].to_pylist()], flat.reshape(-1, lengths[0])


def _numpy(path: Path) -> tuple[list[str], Vectors]:
    vectors = np.load(path, allow_pickle=False).astype(np.float32, copy=False)
    ids = [line.strip() for line in path.with_suffix(".txt").read_text("utf-8-sig").splitlines()]
    if vectors.ndim != 2 or len(ids) != len(vectors):
        raise ValueError(f"{len(ids)} ids, an array {vectors.shape}")
    return ids, vectors
