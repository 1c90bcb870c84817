"""Words of a vocabulary that are one edit away from a misspelt one.

After Norvig, How to Write a Spelling Corrector (2007): all edits are made and looked up.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Set

MIN_LETTERS = 4  # shorter words have too many neighbours
MAX_ALPHABET = 64  # the most frequent letters of a vocabulary


class Spelling:
    """Finds corrections of one edit: a letter left out, added, replaced, or two neighbouring ones swapped.

    Parameters
    ----------
    words
        The vocabulary.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words: Set[str] = frozenset(word for word in words if len(word) >= MIN_LETTERS - 1)
        counts = Counter(letter for word in self._words for letter in word)
        self._alphabet = [letter for letter, _ in counts.most_common(MAX_ALPHABET)]

    def corrections(self, word: str) -> list[str]:
        """Return the words that are one edit away, sorted; none for short words and for numbers.

        >>> Spelling(["lamp", "lamps", "table"]).corrections("lmap")
        ['lamp']
        """
        if len(word) < MIN_LETTERS or any(character.isdigit() for character in word):
            return []
        return sorted({edit for edit in self._edits(word) if edit in self._words} - {word})

    def _edits(self, word: str) -> Iterator[str]:
        for cut in range(len(word) + 1):
            head, tail = word[:cut], word[cut:]
            if tail:
                yield head + tail[1:]
                yield from (head + letter + tail[1:] for letter in self._alphabet)
            if len(tail) > 1:
                yield head + tail[1] + tail[0] + tail[2:]
            yield from (head + letter + tail for letter in self._alphabet)
