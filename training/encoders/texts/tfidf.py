"""TF-IDF and a truncated SVD (latent semantic analysis, Deerwester et al., 1990)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from recommender.config import EncoderChoice
from recommender.encoders.support.words import words_of, write

DIM = 256
_MOST_WORDS = 100_000


def train(folder: Path, texts: Sequence[str], choice: EncoderChoice, seed: int) -> None:
    """Learn the words' rarities and the texts' principal directions; write them as word vectors.

    The reduced vector of a text is a sum over its words, weighted by TF-IDF, of the rows of the SVD's components:
    that is all that has to be kept.
    """
    vectorizer = TfidfVectorizer(analyzer=words_of, sublinear_tf=True, max_features=_MOST_WORDS)
    counts = vectorizer.fit_transform(texts)
    svd = TruncatedSVD(min(choice.dimensions or DIM, *(side - 1 for side in counts.shape)), random_state=seed)
    svd.fit(counts)
    write(folder, vectorizer.get_feature_names_out().tolist(), svd.components_.T, np.asarray(vectorizer.idf_))
