"""Phrases that complete what is typed: categories, brands, and runs of words that several titles share."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from recommender.core.blocks import Rows
from recommender.items import Attributes
from recommender.items.strings import Words
from recommender.search.tokens import query_words

MAX_RUN = 3  # words of a phrase of titles
MIN_PRODUCTS = 3  # that share it
MAX_PHRASES = 200_000
COLUMNS = ("product_type", "brand")
BEST = 64  # most frequent phrases that a prefix proposes
_END = "\U0010ffff"


class Phrases:
    """Sorted phrases with the number of products that have each.

    Parameters
    ----------
    keys
        Phrases in lower case without accents, sorted.
    texts
        The phrases as products write them, in the same order.
    counts
        int32.
    """

    def __init__(self, keys: Words, texts: Words, counts: Rows) -> None:
        self._keys, self._texts, self._counts = keys, texts, counts

    @classmethod
    def of(cls, attributes: Attributes) -> "Phrases":
        """Count the phrases of all products."""
        counts: Counter[str] = Counter()
        texts: dict[str, str] = {}
        for key, text in _phrases(attributes):
            counts[key] += 1
            texts.setdefault(key, text)
        of_columns = {_key(value) for name in _columns(attributes) for value in attributes.categories(name)}
        frequent = [key for key, count in counts.most_common() if count >= MIN_PRODUCTS or key in of_columns]
        keys = sorted(frequent[:MAX_PHRASES])
        numbers = np.array([counts[key] for key in keys], dtype=np.int32)
        return cls(Words.of(keys), Words.of([texts[key] for key in keys]), numbers)

    @classmethod
    def open(cls, folder: Path) -> "Phrases":
        """Map what `save` wrote."""
        counts = np.asarray(np.load(folder / "phrase_counts.npy", mmap_mode="r"))
        return cls(Words.open(folder / "phrases"), Words.open(folder / "phrase_texts"), counts)

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder."""
        self._keys.save(folder / "phrases")
        self._texts.save(folder / "phrase_texts")
        np.save(folder / "phrase_counts.npy", self._counts)

    def completing(self, text: str) -> Iterator[str]:
        """Yield the phrases that begin with a text, those that most products have first."""
        key = " ".join(query_words(text))
        if text[-1:].isspace() and key:
            key += " "
        start, end = bisect_left(self._keys, key), bisect_left(self._keys, key + _END)
        order = np.argsort(-self._counts[start:end], kind="stable")[:BEST]
        yield from (self._texts[start + position] for position in order.tolist())


def _columns(attributes: Attributes) -> list[str]:
    return [name for name in COLUMNS if name in attributes.names and attributes.kind(name) == "category"]


def _phrases(attributes: Attributes) -> Iterator[tuple[str, str]]:
    """Yield the phrases of each product once, as keys and as written."""
    has_titles = "title" in attributes.names
    columns = _columns(attributes)
    for row in range(len(attributes)):
        found: dict[str, str] = {}
        for name in columns:
            value = attributes.value(name, row)
            if isinstance(value, str):
                found[_key(value)] = _last_level(value)
        title = attributes.value("title", row) if has_titles else None
        if isinstance(title, str):
            words = query_words(title)
            for size in range(1, MAX_RUN + 1):
                for start in range(len(words) - size + 1):
                    run = " ".join(words[start : start + size])
                    if len(words[start + size - 1]) > 1:  # not the s of men's
                        found.setdefault(run, run)
        yield from ((key, text) for key, text in found.items() if len(key) > 2)


def _last_level(value: str) -> str:
    return value.split(" > ")[-1]


def _key(value: str) -> str:
    """Return the words of a category's last level."""
    return " ".join(query_words(_last_level(value)))
