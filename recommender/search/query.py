"""From the text of a query to words: corrections of misspelt ones, and words written together or apart."""

from itertools import pairwise

from recommender.search.index import QueryWord, SearchIndex
from recommender.search.tokens import query_words

MAX_WORDS = 32  # of a query
MAX_CORRECTIONS = 8  # the most frequent of a word
MAX_COMPLETIONS = 24  # the most frequent of an unfinished word
MIN_PART = 3  # letters of each half of a word that is split


def parse_query(index: SearchIndex, text: str) -> list[QueryWord]:
    """Return the words of a text, each once; misspelt ones with the words that they may stand for.

    A word that no product has is split in two if both are known, or else corrected by one edit. A correction
    counts by the share of letters that it keeps. Two words that products write as one count as that, too.
    """
    typed = list(dict.fromkeys(query_words(text)))[:MAX_WORDS]
    joined = [None, *(index.term_of(first + second) for first, second in pairwise(typed)), None]
    words: list[QueryWord] = []
    for word, together in zip(typed, pairwise(joined), strict=False):
        words += _alternatives(index, word, tuple((term, 1.0) for term in together if term is not None))
    return words


def parse_prefix(index: SearchIndex, text: str) -> list[QueryWord]:
    """Return the words of a text of which the last may be unfinished, so that it stands for all that go on."""
    typed = query_words(text)
    terms = [] if not typed or text[-1:].isspace() else index.terms_with(typed[-1], MAX_COMPLETIONS)
    if not terms:
        return parse_query(index, text)
    last = QueryWord(typed[-1], tuple((term, 1.0) for term in terms))
    return [*parse_query(index, " ".join(typed[:-1])), last]


def _alternatives(index: SearchIndex, word: str, others: tuple[tuple[str, float], ...]) -> list[QueryWord]:
    term = index.term_of(word)
    if term is not None:
        return [QueryWord(word, ((term, 1.0), *others))]
    if others:
        return [QueryWord(word, others)]
    if halves := _split(index, word):
        return [QueryWord(half, ((index.term_of(half) or half, 1.0),)) for half in halves]
    return [_corrected(index, word)]


def _split(index: SearchIndex, word: str) -> tuple[str, str] | None:
    """Return the two known words that a word consists of, the rarer the better; None if there are none."""
    best, found = 0.0, None
    for cut in range(MIN_PART, len(word) - MIN_PART + 1):
        halves = word[:cut], word[cut:]
        terms = [index.term_of(half) for half in halves]
        idfs = [index.idf_of(term) or 0.0 for term in terms if term is not None]
        if len(idfs) == 2 and sum(idfs) > best:
            best, found = sum(idfs), halves
    return found


def _corrected(index: SearchIndex, word: str) -> QueryWord:
    """Return a word with its corrections, the most frequent first."""
    weight = 1 - 1 / max(len(word), 1)
    corrections: dict[str, str] = {}
    for correction in index.spelling.corrections(word):
        if (term := index.term_of(correction)) is not None:
            corrections.setdefault(term, correction)
    frequent = sorted(corrections, key=lambda term: index.idf_of(term) or 0.0)[:MAX_CORRECTIONS]
    named = tuple(corrections[term] for term in frequent)
    return QueryWord(word, tuple((term, weight) for term in frequent), named)
