"""Many strings in two arrays that can be memory-mapped."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

BLOCK = 16  # words, of which the first is kept decoded


class Words:
    """Sorted distinct strings, concatenated in UTF-8; the code of a string is its position.

    Parameters
    ----------
    text
        uint8, the bytes of all strings.
    offsets
        (number of words + 1,) int64, start and end of each string.
    """

    def __init__(self, text: np.ndarray, offsets: np.ndarray) -> None:
        # A memoryview gives one element as a plain int or str several times faster than an array does.
        self._text, self._offsets = text.data, offsets.data

    @classmethod
    def of(cls, words: Iterable[str]) -> "Words":
        """Pack words, given sorted and unique."""
        keys = [word.encode("utf-8", "surrogatepass") for word in words]
        offsets = np.cumsum([0, *map(len, keys)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(keys), np.uint8), offsets)

    @classmethod
    def open(cls, stem: Path) -> "Words":
        """Map what `save` wrote."""
        text, offsets = (np.load(f"{stem}.{name}.npy", mmap_mode="r", allow_pickle=False) for name in _FILES)
        return cls(text, offsets)

    def save(self, stem: Path) -> None:
        """Write ``<stem>.words.npy`` and ``<stem>.words-at.npy``."""
        for name, array in zip(_FILES, (self._text, self._offsets), strict=True):
            np.save(f"{stem}.{name}.npy", np.asarray(array))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, code: int) -> str:
        return str(self._text[self._offsets[code] : self._offsets[code + 1]], "utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def code_of(self, word: str) -> int:
        """Return the code of a word, or -1 if it is absent."""
        block = max(bisect_right(self._heads, word) - 1, 0) * BLOCK
        code = bisect_left(self, word, block, min(block + BLOCK, len(self)))
        return code if code < len(self) and self[code] == word else -1

    @cached_property
    def _heads(self) -> list[str]:
        """The first word of each block: decoding a word takes longer than to compare it."""
        return [self[code] for code in range(0, len(self), BLOCK)]


_FILES = ("words", "words-at")
