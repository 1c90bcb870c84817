"""Trains Word2Vec with gensim (Mikolov et al., 2013); a text is the weighted sum of its words."""

import warnings
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import EncoderChoice
from recommender.core.blocks import Float
from recommender.encoders.support.extras import require
from recommender.encoders.support.tokens import Tokenizer
from recommender.encoders.support.words import write
from recommender.errors import EncoderError
from recommender.progress import progress
from recommender.search.tokens import fold, tokens_of

DIM = 128
_SMOOTHING = 1e-3  # of the weights, see `_weights`
_MAX_WORDS = 200_000  # of a file: they are ordered by frequency
_TRAINING_WORDS = 4_000_000  # of all epochs together
_EPOCHS = (5, 60)


def train(folder: Path, texts: Sequence[str], choice: EncoderChoice, seed: int) -> None:
    """Train word vectors on the texts, or read those of ``checkpoint`` (word2vec's .txt or .bin, .gz or not)."""
    gensim = require("gensim.models", "word2vec")
    if choice.checkpoint is None:
        sentences = _sentences(texts, {token for text in texts for token in tokens_of(text)})
        vectors = _train_vectors(gensim, sentences, choice.dimensions or DIM, seed)
    else:
        vectors = _read_vectors(gensim, choice.checkpoint)
    rows: dict[str, int] = {}
    for row, word in enumerate(vectors.index_to_key):  # a file may have Café and cafe, the more frequent first
        rows.setdefault(fold(word), row)
    weights = _weights(_sentences(texts, rows), [*rows])
    write(folder, [*rows], vectors.vectors[[*rows.values()]], weights)


def _sentences(texts: Sequence[str], vocabulary: Container[str]) -> list[list[str]]:
    return [*map(Tokenizer(vocabulary).tokens, texts)]


def _train_vectors(gensim: Any, sentences: Sequence[Sequence[str]], dim: int, seed: int) -> Any:
    total = sum(map(len, sentences))
    epochs = int(np.clip(_TRAINING_WORDS // total, *_EPOCHS))
    model = gensim.Word2Vec(vector_size=dim, window=8, min_count=1, sg=1, negative=10, seed=seed, workers=1)
    model.build_vocab(sentences)
    for epoch in progress(range(epochs), "word vectors", epochs, "epoch"):
        start, end = (0.025 * (1 - (epoch + i) / (epochs + 1)) for i in (0, 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.train(sentences, total_examples=len(sentences), epochs=1, start_alpha=start, end_alpha=end)
    return model.wv


def _read_vectors(gensim: Any, path: Path) -> Any:
    binary = ".bin" in path.suffixes
    try:
        return gensim.KeyedVectors.load_word2vec_format(str(path), binary=binary, limit=_MAX_WORDS)
    except (OSError, ValueError, EOFError) as error:
        raise EncoderError(f"{path} holds no word vectors ({error}); expected word2vec's .txt or .bin") from error


def _weights(sentences: Sequence[Sequence[str]], words: Sequence[str]) -> Float:
    """Weight words by a / (a + share of all words): smooth inverse frequency (Arora et al., ICLR 2017)."""
    counts = Counter(word for sentence in sentences for word in sentence)
    shares = np.array([counts[word] for word in words]) / counts.total()
    return (_SMOOTHING / (_SMOOTHING + shares)).astype(np.float32)
