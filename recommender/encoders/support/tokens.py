"""Tokens for encoders that learn words: compounds split, and related words found."""

import json
import re
from bisect import bisect_left
from collections.abc import Collection, Container, Sequence
from functools import cached_property, lru_cache
from itertools import chain, islice, takewhile
from pathlib import Path

from recommender.search.tokens import tokens_of, words_of

VERSION = 2  # a model's tokens must be those that it was trained on: a new rule is a new version
_FILE = "tokenizer.json"

_MIN_COMPOUND, _MIN_PART = 8, 4  # letters
_LINKS = ("", "s", "es", "n", "en", "er", "e")  # between the words of German, Dutch and Swedish compounds


class Tokenizer:
    """Splits texts into words and tokens; a compound of two words of the vocabulary has these as tokens, too.

    Parameters
    ----------
    vocabulary
        The tokens that the encoder knows.
    """

    def __init__(self, vocabulary: Container[str]) -> None:
        self._vocabulary = vocabulary
        self._parts = lru_cache(1 << 16)(self._split)

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text.

        >>> Tokenizer({"kaffee", "maschine"}).tokens("Rote Kaffeemaschine")
        ['rote', 'kaffeemaschine', 'kaffee', 'maschine']
        """
        tokens = tokens_of(text)
        long = [token for token in tokens if len(token) >= _MIN_COMPOUND]
        return [*tokens, *chain.from_iterable(map(self._parts, long))] if long else tokens

    def words(self, text: str) -> list[tuple[str, list[str]]]:
        """Return the words of a text, each with its tokens."""
        return [
            (word, [part for token in tokens for part in (token, *self._parts(token))])
            for word, tokens in words_of(text)
        ]

    def _split(self, word: str) -> tuple[str, ...]:
        """Return the two words of the vocabulary that make a compound, the first as long as possible; else ()."""
        if len(word) < _MIN_COMPOUND or not word.isalpha():
            return ()
        for end in range(len(word) - _MIN_PART, _MIN_PART - 1, -1):
            if word[end:] not in self._vocabulary:
                continue
            for link in _LINKS:
                first = word[:end].removesuffix(link)
                if len(first) == end - len(link) >= _MIN_PART and first in self._vocabulary:
                    return first, word[end:]
        return ()


class TokenizerVersion1:
    """Splits texts as bundles up to version 0.2 do: every word is its own token."""

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        return re.findall(r"\w+", text.lower()) or [text]

    def words(self, text: str) -> list[tuple[str, list[str]]]:
        """Return the words of a text, each with its tokens."""
        return [(word, [word]) for word in self.tokens(text)]


def write_version(folder: Path) -> None:
    """Write beside a model which version its tokens are of."""
    (folder / _FILE).write_text(json.dumps({"version": VERSION}), "utf-8")


def tokenizer_of(folder: Path, vocabulary: Container[str]) -> Tokenizer | TokenizerVersion1:
    """Return the tokenizer that a stored model was trained with."""
    return Tokenizer(vocabulary) if (folder / _FILE).exists() else TokenizerVersion1()


class RelatedWords:
    """Finds the words of which a token is the first part, or the last one of a compound.

    Parameters
    ----------
    vocabulary
        All words.

    Examples
    --------
    >>> RelatedWords(["damenschuhe", "lampe", "schuhen"]).of("schuhe")
    ['schuhen', 'damenschuhe']
    """

    def __init__(self, vocabulary: Collection[str]) -> None:
        self._vocabulary = vocabulary

    def of(self, token: str) -> list[str]:
        """Return the words related to a token."""
        if len(token) < _MIN_PART or not token.isalpha():
            return []
        words = _beginning_with(token, self._words)
        if len(token) > _MIN_PART:
            ends = _beginning_with(token[::-1], self._reversed)
            words += [end[::-1] for end in ends if len(end) >= len(token) + _MIN_PART]
        return list(dict.fromkeys(words))

    @cached_property
    def _words(self) -> list[str]:
        return sorted(self._vocabulary)

    @cached_property
    def _reversed(self) -> list[str]:
        return sorted(word[::-1] for word in self._vocabulary)


def _beginning_with(prefix: str, words: Sequence[str]) -> list[str]:
    """Return those of some sorted words that begin with a prefix."""
    start = bisect_left(words, prefix)
    return list(takewhile(lambda word: word.startswith(prefix), islice(words, start, None)))
