"""The rows that have a word, and how much it says of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recommender.core.blocks import NO_ROWS, Double, Float, Rows
from recommender.items import Attributes
from recommender.items.strings import Words
from recommender.search.identifiers import is_identifier
from recommender.search.stemming import guess_language
from recommender.search.tokens import tokens_of

K1, LENGTH = 1.2, 0.5  # BM25's k1; and its b, of titles and texts
FIELD_WEIGHTS = {"title": 3.0, "brand": 2.0, "product_type": 2.0, "description": 0.5}
CATEGORY_WEIGHT, TEXT_WEIGHT = 1.5, 0.5  # of the other columns
KINDS = ("category", "multi", "text")
# Columns that do not describe the product; neither do links and ids.
NOT_SEARCHED = {"availability", "currency", "image_link", "link", "item_group_id"}


@dataclass(frozen=True)
class FieldWords:
    """The words of one column.

    Parameters
    ----------
    rows, codes
        A word each: its row, and its code.
    weight
        What an occurrence counts.
    by_length
        Whether a word counts less in a longer text.
    """

    rows: Rows
    codes: Rows
    weight: float
    by_length: bool


@dataclass(frozen=True)
class Postings:
    """The rows of each term.

    Parameters
    ----------
    terms
        Stems.
    starts
        Shape (number of terms + 1,): the postings of term i are ``rows[starts[i]:starts[i + 1]]``.
    rows
        int32, ascending for each term.
    values
        s(w, x) of each, see `recommender.search.index`.
    idf
        Of each term: ln(1 + (n − df + 0.5) / (df + 0.5)).
    """

    terms: Words
    starts: np.ndarray
    rows: Rows
    values: Float
    idf: Float

    @classmethod
    def of(cls, terms: Sequence[str], fields: Sequence[FieldWords], term_of: Rows, n: int) -> "Postings":
        """Make the postings of all columns.

        Parameters
        ----------
        terms
            Sorted.
        term_of
            The term of each word's code.
        n
            Number of rows.
        """
        fields = [FieldWords(NO_ROWS, NO_ROWS, 0.0, False), *fields]  # a catalogue may have no words
        cells = np.concatenate([term_of[field.codes].astype(np.int64) * n + field.rows for field in fields])
        counts = np.concatenate([_weights(field, n) for field in fields])
        distinct, where = np.unique(cells, return_inverse=True)
        frequencies = np.bincount(where, counts, minlength=len(distinct))
        term, rows = np.divmod(distinct, max(n, 1))
        starts = np.searchsorted(term, np.arange(len(terms) + 1))
        df = np.diff(starts)
        idf = np.log1p((n - df + 0.5) / (df + 0.5)).astype(np.float32)
        values = (frequencies / (frequencies + K1)).astype(np.float32)
        return cls(Words.of(terms), starts, rows.astype(np.int32), values, idf)

    @classmethod
    def open(cls, folder: Path) -> "Postings":
        """Map what `save` wrote."""
        arrays = (np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in _FILES)
        return cls(Words.open(folder / "terms"), *arrays)

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder."""
        self.terms.save(folder / "terms")
        for name in _FILES:
            np.save(folder / f"{name}.npy", getattr(self, name))

    def of_term(self, term: str) -> tuple[Rows, Float]:
        """Return the rows that have a term, and s(w, x) of each."""
        code = self.terms.code_of(term)
        if code < 0:
            return NO_ROWS, self.values[:0]
        postings = slice(self.starts[code], self.starts[code + 1])
        return self.rows[postings], self.values[postings]

    def idf_of(self, term: str) -> float | None:
        """Return the idf of a term; None if no row has it."""
        code = self.terms.code_of(term)
        return None if code < 0 else float(self.idf[code])


_FILES = ("starts", "rows", "values", "idf")


def searched_columns(attributes: Attributes) -> list[str]:
    """Return the columns whose words are searched: categories and texts, but links, ids and stock."""
    return [
        name
        for name in attributes.names
        if attributes.kind(name) in KINDS
        and name not in NOT_SEARCHED
        and not is_identifier(name)
        and not name.endswith(("_id", "_link", "_url", "url"))
    ]


def language_of(attributes: Attributes) -> str:
    """Return the language of the products' texts; English where they say too little."""
    names = [
        name
        for name in attributes.names
        if attributes.kind(name) == "text" and name in searched_columns(attributes)
    ]
    texts = (attributes.value(name, row) for row in range(len(attributes)) for name in names)
    return guess_language(text for text in texts if isinstance(text, str)) or "english"


def indexed_columns(attributes: Attributes) -> list[str]:
    """Return the columns that the index is made of: those of words and those of identifiers."""
    return [*searched_columns(attributes), *(name for name in attributes.names if is_identifier(name))]


def field_words(attributes: Attributes, name: str, codes: dict[str, int], rows: Rows) -> FieldWords:
    """Return the words of a column at some rows, in which row i is the i-th of them.

    Parameters
    ----------
    codes
        Word to its code; new words are added.
    """
    column, known = attributes.column(name), dict[str, list[int]]()

    def words_of(text: str) -> list[int]:
        if text not in known:
            known[text] = [codes.setdefault(word, len(codes)) for word in tokens_of(text)]
        return known[text]

    lists: list[list[int]] = []
    for row in rows.tolist():
        value = column.value(row)
        texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        lists.append([code for text in texts for code in words_of(text)])
    lengths = np.array([*map(len, lists)], dtype=np.int64)
    flat = np.array([code for words in lists for code in words], dtype=np.int32)
    is_text = attributes.kind(name) == "text"
    weight = FIELD_WEIGHTS.get(name, TEXT_WEIGHT if is_text else CATEGORY_WEIGHT)
    return FieldWords(np.repeat(np.arange(len(rows), dtype=np.int32), lengths), flat, weight, is_text)


def _weights(field: FieldWords, n: int) -> Double:
    """Return what each occurrence counts."""
    weights = np.full(len(field.rows), field.weight)
    if field.by_length and len(weights):
        lengths = np.bincount(field.rows, minlength=n)
        mean = lengths.sum() / max(np.count_nonzero(lengths), 1)
        weights /= 1 - LENGTH + LENGTH * lengths[field.rows] / mean
    return weights
