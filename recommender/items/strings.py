"""Many strings in two arrays, so that they can be mapped."""

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

import numpy as np


class Words:
    """Distinct strings in sorted order, end to end in UTF-8; a code is a position among them.

    Parameters
    ----------
    text
        uint8, the strings' bytes.
    offsets
        (number of words + 1,) int64, where each begins and ends.
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

    def code_of(self, word: str) -> int:
        """Return the code of a word, or -1 if it is not there."""
        code = bisect_left(self, word)
        return code if code < len(self) and self[code] == word else -1


_FILES = ("words", "words-at")
