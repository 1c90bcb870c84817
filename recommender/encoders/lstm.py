"""An LSTM over the words of a text, trained by `training.encoders.texts.lstm`, run by ONNX Runtime."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recommender.encoders.base import Vectors
from recommender.encoders.support.onnx_tower import OnnxTower
from recommender.encoders.support.tokens import tokenizer_of
from recommender.encoders.support.trained import folder_fingerprint, trained_folder
from recommender.encoders.support.words import split_known

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "dimensions")
MAX_WORDS = 64
BUCKETS = 256  # rows of rare and unknown words, by their checksum
_BATCH = 32


class LstmEncoder:
    """Texts alone, norm 1; see `recommender.encoders.base.Encoder`.

    Parameters
    ----------
    folder
        Of the trained model.
    """

    name = "lstm"
    aligned = False
    image_dim = 0

    def __init__(self, folder: Path) -> None:
        self.fingerprint = folder_fingerprint("lstm", folder)
        self._words = Vocabulary(json.loads((folder / "words.json").read_text("utf-8")))
        self._tokenizer = tokenizer_of(folder, self._words)
        rare = folder / "rare.json"  # bundles up to version 0.2 have none
        self._rare = frozenset(json.loads(rare.read_text("utf-8")) if rare.exists() else ())
        self._tower = OnnxTower((folder / "lstm.onnx").read_bytes())
        self.text_dim = self._tower(**self._words.rows([["a"]])).shape[1]

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return vectors of dimension 0: images are not supported."""
        return np.empty((len(images), 0), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (b, text_dim); texts are truncated to 64 tokens."""
        tokens = [self._tokenizer.tokens(text) for text in texts]
        vectors = self._tower.map(lambda batch: self._tower(**self._words.rows(batch)), tokens, _BATCH)
        return np.concatenate([np.empty((0, self.text_dim), np.float32), *vectors])

    def known_words(self, text: str) -> tuple[list[str], list[str]]:
        """See `WordBased`."""
        return split_known(self._tokenizer.words(text), lambda token: token in self._words or token in self._rare)


class Vocabulary:
    """The rows of tokens in the embedding table; row 0 is padding."""

    def __init__(self, words: Sequence[str]) -> None:
        self._row = {word: 1 + BUCKETS + i for i, word in enumerate(words)}
        self.size = 1 + BUCKETS + len(words)

    def __contains__(self, word: object) -> bool:
        return word in self._row

    def rows(self, texts: Sequence[Sequence[str]]) -> dict[str, NDArray[np.int64]]:
        """Return the network's input for tokenized texts: ``ids`` (b, longest), padded with 0."""
        rows = [[self._of(word) for word in text[:MAX_WORDS]] for text in texts]
        ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        return {"ids": ids}

    def _of(self, word: str) -> int:
        return self._row.get(word, 1 + crc32(word.encode("utf-8", "surrogatepass")) % BUCKETS)


def create(config: "EncoderChoice") -> LstmEncoder:
    """Open the model that a fit has trained; raises `EncoderError` if there is none."""
    return LstmEncoder(trained_folder(config))
