"""Stem words in the language of the shop, and guess which one that is."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property, lru_cache
from threading import Lock

import snowballstemmer

LANGUAGES: tuple[str, ...] = tuple(sorted(set(snowballstemmer.algorithms()) - {"porter", "dutch_porter"}))
# Two-letter codes (ISO 639-1) of the languages that have a stemmer.
CODES = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en":
    "english", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr":
    "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it":
    "italian", "lt": "lithuanian", "nb": "norwegian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl":
    "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta":
    "tamil", "tr": "turkish",
}  # fmt: skip
# Frequent words by which a language is recognized; words of several languages are left out.
FUNCTION_WORDS = {
    "danish": "og til af med fra ikke eller også bliver",
    "dutch": "het een van voor met niet zijn naar deze wordt",
    "english": "the and of with for from this your made has",
    "finnish": "ja tai sekä ovat joka kanssa myös ei",
    "french": "le les des et pour avec dans une est sur",
    "german": "der die das und mit für aus nicht ist eine",
    "hungarian": "az és egy nem hogy vagy valamint",
    "italian": "il gli della per con di che sono nella",
    "norwegian": "og til av med fra ikke eller også blir",
    "portuguese": "os das para com uma não em do são",
    "russian": "и в на с для из не по от к",
    "spanish": "el los las y para con una por del está",
    "swedish": "och till av med från inte eller också är",
    "turkish": "ve bir için ile bu olan daha",
}
MIN_FUNCTION_WORDS = 20  # in the texts, for a language to be recognized
MAX_TEXTS = 5_000  # of which the language is guessed
_WORD = re.compile(r"[^\W_]+")


class Stemmer:
    """Makes stems of words; thread-safe.

    Parameters
    ----------
    language
        One of `LANGUAGES`; None leaves words as they are.
    """

    def __init__(self, language: str | None) -> None:
        self.language = language
        self._lock = Lock()  # a stemmer keeps the word that it works on
        self.stem = lru_cache(1 << 14)(self._stem)

    @cached_property
    def _stemmer(self) -> "snowballstemmer.stemmer":
        return snowballstemmer.stemmer(self.language)

    def _stem(self, word: str) -> str:
        """Return the stem of a word."""
        if self.language is None or any(character.isdigit() for character in word):
            return word
        with self._lock:
            stem: str = self._stemmer.stemWord(word)
        return stem or word


def language_named(name: str) -> str:
    """Return the language of a name or an ISO 639-1 code; raises `ValueError` for one without a stemmer.

    >>> language_named("de")
    'german'
    """
    language = CODES.get(name.lower(), name.lower())
    if language not in LANGUAGES:
        raise ValueError(f"expected one of {', '.join(LANGUAGES)}, or its ISO 639-1 code")
    return language


def guess_language(texts: Iterable[str]) -> str | None:
    """Return the language that texts are written in, by its most frequent words; None where they say too little.

    >>> guess_language(["Ein Tisch mit der Lampe und die Vase aus Glas für das Haus"] * 5)
    'german'
    """
    counts: Counter[str] = Counter()
    for _, text in zip(range(MAX_TEXTS), texts, strict=False):
        counts.update(_WORD.findall(text.casefold()))
    found = {language: sum(counts[word] for word in words.split()) for language, words in FUNCTION_WORDS.items()}
    best = max(found, key=found.__getitem__)
    return best if found[best] >= MIN_FUNCTION_WORDS else None
