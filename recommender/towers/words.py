"""The words of products' texts as a column of the behaviour block, which learns a vector for each."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recommender.core.blocks import Float

COLUMN = "words of the text"  # among the columns of `recommender.towers.category.bag`
MAX_WORDS = 32  # of a text, its first known ones


@dataclass(frozen=True)
class WordVocabulary:
    """The words that training knows, with their weights; looked up as a `ColumnVocabulary` is.

    A text is the average of its words, weighted by their inverse document frequency. A text without a known word
    says nothing.

    Parameters
    ----------
    first
        The first row of the words in the table, which no word has; word i has row first + 1 + i.
    words
        Tokens, see `recommender.encoders.support.tokens`.
    weights
        Inverse document frequencies, shape (number of words,).
    """

    first: int
    words: tuple[str, ...]
    weights: Float
    name: str = COLUMN

    @property
    def size(self) -> int:
        """The number of table rows."""
        return 1 + len(self.words)

    def lookup(self, cells: Iterable[Any]) -> list[list[tuple[int, float]]]:
        """Return the (table row, weight) pairs of each text's tokens."""
        return [self._pairs(tokens or ()) for tokens in cells]

    def _pairs(self, tokens: Iterable[str]) -> list[tuple[int, float]]:
        known = [*dict.fromkeys(self._position[token] for token in tokens if token in self._position)][:MAX_WORDS]
        total = float(self.weights[known].sum())
        pairs = [(self.first + 1 + word, float(self.weights[word]) / total) for word in known]
        return pairs or [(self.first, 0.0)]

    @cached_property
    def _position(self) -> dict[str, int]:
        return {word: position for position, word in enumerate(self.words)}
