"""The words of the products' texts: those that are learned from, and their TF-IDF vectors."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from recommender.towers.category import bag
from recommender.towers.words import COLUMN, WordVocabulary

MIN_PRODUCTS = 3  # that have a word; rarer ones would say no more than the product's own vector
MAX_SHARE = 0.2  # of the products that have a word; commoner ones say little, and take the place of others
MAX_VOCABULARY = 20_000  # words, the commonest


def fit_words(texts: Sequence[Sequence[str]], first: int = 0) -> WordVocabulary | None:
    """Return the words of the products' texts; None if there are none.

    Parameters
    ----------
    texts
        Tokens of each product's text, empty for none.
    first
        The first row of the words in the table of values.
    """
    counts = Counter(token for tokens in texts for token in set(tokens))
    most = max(MAX_SHARE * len(texts), MIN_PRODUCTS)
    common = sorted((-count, word) for word, count in counts.items() if MIN_PRODUCTS <= count <= most)
    words = tuple(sorted(word for _, word in common[:MAX_VOCABULARY]))
    if not words:
        return None
    frequencies = np.array([counts[word] for word in words])
    weights = 1 + np.log((1 + len(texts)) / (1 + frequencies))
    return WordVocabulary(first, words, weights.astype(np.float32))


def word_vectors(texts: Sequence[Sequence[str]]) -> sparse.csr_array | None:
    """Return the TF-IDF vector of each text, norm 1 or 0, shape (n, words); None without common words."""
    vocabulary = fit_words(texts)
    if vocabulary is None:
        return None
    bags = bag([vocabulary], {COLUMN: texts})
    starts = np.append(bags.starts, len(bags.entries))
    vectors = sparse.csr_array((bags.weights, bags.entries, starts), shape=(len(texts), vocabulary.size))
    norms = np.sqrt(vectors.multiply(vectors).sum(axis=1))
    vectors.data /= np.repeat(np.maximum(norms, 1e-12), np.diff(starts)).astype(np.float32)
    return vectors
