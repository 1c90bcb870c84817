"""Encode texts as weighted sums of word vectors: Word2Vec, and TF-IDF with SVD, in numpy alone."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from hashlib import blake2b
from math import log
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from recommender.core.blocks import Float, unit
from recommender.encoders.base import Vectors
from recommender.encoders.support.tokens import RelatedWords, Tokenizer, tokenizer_of, write_version
from recommender.encoders.support.trained import folder_fingerprint
from recommender.errors import EncoderError


class WordVectors:
    """Texts alone, norm 1; see `recommender.encoders.base.Encoder`.

    A token is weighted by its weight times 1 + log(its count in the text). Tokens without a vector are ignored,
    except in a text that has no others: each then has a random vector from its digest, the same in every text.
    In a query a token without a vector is the mean of the words that it begins or ends, such as shoes for shoe.

    Parameters
    ----------
    name
        Of the encoder.
    folder
        As `write` leaves it.
    """

    aligned = False
    image_dim = 0

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.fingerprint = folder_fingerprint(name, folder)
        arrays = load_file(folder / "words.safetensors")
        self._vectors, self._weights = arrays["vectors"], arrays["weights"]
        self._row = {word: row for row, word in enumerate(json.loads((folder / "words.json").read_text("utf-8")))}
        self._tokenizer = tokenizer_of(folder, self._row)
        self._related_words = RelatedWords(self._row)
        self._is_query = False
        if len(self._row) != len(self._vectors):
            raise EncoderError(f"{folder}: {len(self._row)} words, {len(self._vectors)} vectors; fit again")
        self.text_dim = self._vectors.shape[1]

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return vectors of dimension 0: images are not supported."""
        return np.empty((len(images), 0), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (b, text_dim)."""
        sums = [self._sum(Counter(self._tokenizer.tokens(text))) for text in texts]
        return unit(np.array(sums, np.float32).reshape(len(texts), self.text_dim))

    def for_queries(self) -> "WordVectors":
        """Return the encoder that reads unknown words as related ones; bundles up to version 0.2 do not."""
        encoder = copy(self)
        encoder._is_query = isinstance(self._tokenizer, Tokenizer)
        return encoder

    def known_words(self, text: str) -> tuple[list[str], list[str]]:
        """See `WordBased`."""
        return split_known(
            self._tokenizer.words(text), lambda token: token in self._row or bool(self._related(token))
        )

    def _related(self, token: str) -> list[str]:
        return self._related_words.of(token) if self._is_query else []

    def _sum(self, counts: Counter[str]) -> Float:
        known = {self._row[word]: 1 + log(count) for word, count in counts.items() if word in self._row}
        for token in counts if self._is_query else ():
            related = [] if token in self._row else self._related(token)
            for word in related:
                known[self._row[word]] = known.get(self._row[word], 0.0) + 1 / len(related)
        if not known:
            return np.sum(
                [_random_vector(word, self.text_dim) for word in sorted(counts)], axis=0, dtype=np.float32
            )
        rows = list(known)
        return (np.array(list(known.values()), np.float32) * self._weights[rows]) @ self._vectors[rows]


def split_known(
    words: Sequence[tuple[str, Sequence[str]]], knows: Callable[[str], bool]
) -> tuple[list[str], list[str]]:
    """Return the words of which the encoder knows a token, and the others."""
    known: list[str] = []
    unknown: list[str] = []
    for word, tokens in words:
        (known if any(map(knows, tokens)) else unknown).append(word)
    return known, unknown


def write(folder: Path, words: Sequence[str], vectors: Float, weights: Float) -> None:
    """Write a folder for `WordVectors`: tokens, their vectors (v, d) and weights (v,)."""
    write_version(folder)
    (folder / "words.json").write_text(json.dumps(list(words), ensure_ascii=False), "utf-8")
    arrays = {
        "vectors": np.ascontiguousarray(vectors, np.float32),
        "weights": np.ascontiguousarray(weights, np.float32),
    }
    save_file(arrays, folder / "words.safetensors")


def _random_vector(word: str, dim: int) -> Float:
    seed = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
