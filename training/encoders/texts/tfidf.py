"""Trains TF-IDF with a truncated SVD (latent semantic analysis, Deerwester et al., 1990)."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from recommender.config import EncoderChoice
from recommender.encoders.support.tokens import Tokenizer
from recommender.encoders.support.words import write
from recommender.search.tokens import tokens_of

DIM = 256
_MAX_WORDS = 100_000


def train(folder: Path, texts: Sequence[str], choice: EncoderChoice, seed: int) -> None:
    """Fit inverse document frequencies and an SVD; write them as weighted word vectors.

    The reduced vector of a text is the sum, weighted by TF-IDF, of its words' columns of the SVD's components, so
    that nothing else has to be stored.
    """
    frequent = Counter(chain.from_iterable(map(tokens_of, texts))).most_common(_MAX_WORDS)
    vocabulary = {token: column for column, token in enumerate(sorted(token for token, _ in frequent))}
    analyzer = Tokenizer(vocabulary).tokens
    vectorizer = TfidfVectorizer(analyzer=analyzer, sublinear_tf=True, vocabulary=vocabulary)
    counts = vectorizer.fit_transform(texts)
    svd = TruncatedSVD(min(choice.dimensions or DIM, *(side - 1 for side in counts.shape)), random_state=seed)
    svd.fit(counts)
    write(folder, [*vocabulary], svd.components_.T, np.asarray(vectorizer.idf_))
