"""Find text that stands in most descriptions, such as a shop's terms of delivery, and leave it out."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

MIN_TEXTS = 10
_SHARE = 0.5  # of the texts, more of which have a piece of boilerplate
_SAMPLE = 2_000  # texts that are looked at, evenly spread
_MIN_WORDS = 3
# Scripts without spaces between words: each character is a token, and two count as a word.
_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def find_boilerplate(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the longest pieces, of three words or more, that stand in more than half of the texts; longest first.

    Fewer than ten texts have none.
    """
    texts = [text for text in texts if text]
    if len(texts) < MIN_TEXTS:
        return ()
    sample = [texts[i] for i in np.linspace(0, len(texts) - 1, min(_SAMPLE, len(texts))).astype(int)]
    tokens = [_TOKEN.findall(text) for text in sample]
    pieces = {_joined(piece) for piece in _frequent(tokens) if _words(piece) >= _MIN_WORDS}
    return tuple(sorted(pieces, key=lambda piece: (-len(piece), piece)))


def without_boilerplate(texts: Sequence[str], pieces: Iterable[str]) -> list[str]:
    """Return texts without the pieces that `find_boilerplate` returned."""
    patterns = [_pattern(_TOKEN.findall(piece)) for piece in pieces]
    if not patterns:
        return list(texts)
    pattern = re.compile("|".join(patterns))
    return [" ".join(pattern.sub(" ", text).split()) if pattern.search(text) else text for text in texts]


def _is_character(token: str) -> bool:
    """Return whether a token is a character of a script without spaces."""
    return re.match(f"[{_UNSPACED}]", token) is not None


def _joined(piece: Sequence[str]) -> str:
    spaces = ("" if _is_character(a) or _is_character(b) else " " for a, b in pairwise(piece))
    return "".join(chain.from_iterable(zip(piece, [*spaces, ""], strict=True)))


def _pattern(piece: Sequence[str]) -> str:
    """Return the pattern of a piece: its words are whole ones, with any space between them."""
    between = (r"\s*" if _is_character(a) or _is_character(b) else r"\s+" for a, b in pairwise(piece))
    text = "".join(chain.from_iterable(zip(map(re.escape, piece), [*between, ""], strict=True)))
    before = "" if _is_character(piece[0]) else rf"(?<![^\s{_UNSPACED}])"
    after = "" if _is_character(piece[-1]) else rf"(?![^\s{_UNSPACED}])"
    return before + text + after


def _words(piece: Sequence[str]) -> float:
    return sum(0.5 if _is_character(token) else 1.0 for token in piece)


def _frequent(texts: list[list[str]]) -> Iterator[tuple[str, ...]]:
    """Yield the runs of tokens in more than half of the texts that are not always part of a longer one."""
    least = int(_SHARE * len(texts)) + 1
    words = [word for text in texts for word in text]
    ids = {word: number for number, word in enumerate(dict.fromkeys(words))}
    runs = np.array([ids[word] for word in words], np.int64)  # the run of `length` tokens that begins here, or -1
    text_of = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    runs, length = _if_frequent(runs, text_of, least), 1
    while (runs >= 0).any():
        longer = np.full(len(runs), -1, np.int64)
        pairs = (runs[:-1] >= 0) & (runs[1:] >= 0) & (text_of[:-1] == text_of[1:])
        longer[:-1][pairs] = runs[:-1][pairs] * (int(runs.max()) + 1) + runs[1:][pairs]
        longer = _if_frequent(longer, text_of, least)
        within = longer >= 0
        within[1:] |= longer[:-1] >= 0
        whole = np.flatnonzero((runs >= 0) & ~within)
        for start in whole[np.unique(runs[whole], return_index=True)[1]].tolist():
            yield tuple(words[start : start + length])
        runs, length = longer, length + 1


def _if_frequent(runs: NDArray[np.int64], text_of: NDArray[np.intp], least: int) -> NDArray[np.int64]:
    """Return the runs that stand in enough texts, numbered from 0; -1 for the others."""
    positions = np.flatnonzero(runs >= 0)
    distinct, codes = np.unique(runs[positions], return_inverse=True)
    texts = int(text_of[-1]) + 1 if len(text_of) else 0
    once = np.unique(codes * texts + text_of[positions]) // max(texts, 1)
    frequent = np.bincount(once, minlength=len(distinct)) >= least
    numbers = np.where(frequent, np.cumsum(frequent) - 1, -1)
    numbered = np.full(len(runs), -1, np.int64)
    numbered[positions] = numbers[codes]
    return numbered
