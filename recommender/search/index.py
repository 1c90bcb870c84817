"""The index of the products' words: which products have a word, and how much it says of each (BM25).

    words(q, x) = Σ_w idf(w) s(w, x) / Σ_w idf(w),   s(w, x) = tf(w, x) / (tf(w, x) + k1)

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), with the fields weighted as
in BM25F, and divided by the most that the query could reach: it is in [0, 1). The coverage, the share of the
query's words that a product has, each weighted by its idf, is in [0, 1].
"""

import json
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from recommender.core.blocks import NO_ROWS, Float, Mask, Rows
from recommender.items import Attributes
from recommender.items.strings import Words
from recommender.search.identifiers import Identifiers, identifiers_of
from recommender.search.postings import Postings, field_words, searched_columns
from recommender.search.spelling import Spelling
from recommender.search.stemming import Stemmer

_END = "\U0010ffff"  # after every character of a word
FOLDER, FILE = "search", "search.json"  # inside the base part


@dataclass(frozen=True)
class QueryWord:
    """One word of a query.

    Parameters
    ----------
    word
        As it was typed, in lower case.
    terms
        The stems that it may stand for, with the weight of each in (0, 1]; none if no product has it.
    corrected
        The words that it was corrected to; none if a product has it.
    """

    word: str
    terms: tuple[tuple[str, float], ...]
    corrected: tuple[str, ...] = ()


@dataclass(frozen=True)
class WordMatch:
    """How well rows match the words of a query.

    Parameters
    ----------
    values
        words(q, x), shape (n,).
    coverage
        Share of the query's words that a row has, shape (n,).
    words
        The query's words.
    """

    values: Float
    coverage: Float
    words: tuple[QueryWord, ...]


@dataclass(frozen=True)
class SearchIndex:
    """The words and identifiers of a bundle's products.

    Parameters
    ----------
    n
        Number of rows.
    stemmer
        Of the shop's language.
    postings
        The rows of each term.
    surfaces, surface_codes
        Words as products write them, sorted, and the code of the term of each.
    identifiers
        Ids, SKUs and barcodes.
    live_rows, live
        Rows that changed since the index was built, ascending, and an index of them alone, whose row i is
        ``live_rows[i]``; None if there are none.
    """

    n: int
    stemmer: Stemmer
    postings: Postings
    surfaces: Words
    surface_codes: Rows
    identifiers: Identifiers
    live_rows: Rows = field(default_factory=NO_ROWS.copy)
    live: "SearchIndex | None" = None

    @classmethod
    def of(cls, attributes: Attributes, language: str | None, rows: Rows | None = None) -> "SearchIndex":
        """Index the products at some rows, by default at all; row i of the index is the i-th of them."""
        stemmer = Stemmer(language)
        rows = np.arange(len(attributes), dtype=np.int32) if rows is None else rows
        codes: dict[str, int] = {}
        fields = [field_words(attributes, name, codes, rows) for name in searched_columns(attributes)]
        words = sorted(codes)
        stems = [stemmer.stem(word) for word in codes]
        terms = sorted(set(stems))
        term_code = {term: code for code, term in enumerate(terms)}
        term_of = np.array([term_code[stem] for stem in stems], dtype=np.int32)
        identifiers = Identifiers.of(identifiers_of(attributes, rows.tolist()))
        postings = Postings.of(terms, fields, term_of, len(rows))
        surface_codes = term_of[[codes[word] for word in words]]
        return cls(len(rows), stemmer, postings, Words.of(words), surface_codes, identifiers)

    @classmethod
    def open(cls, folder: Path, n: int) -> "SearchIndex":
        """Map what `save` wrote."""
        language = json.loads((folder / FILE).read_bytes())["language"]
        postings, surfaces = Postings.open(folder), Words.open(folder / "surfaces")
        surface_codes = np.asarray(np.load(folder / "surface_codes.npy", mmap_mode="r"))
        return cls(n, Stemmer(language), postings, surfaces, surface_codes, Identifiers.open(folder))

    def save(self, folder: Path) -> None:
        """Write the index into a folder."""
        folder.mkdir(exist_ok=True)
        (folder / FILE).write_text(json.dumps({"language": self.stemmer.language}), "utf-8")
        self.postings.save(folder)
        self.surfaces.save(folder / "surfaces")
        np.save(folder / "surface_codes.npy", self.surface_codes)
        self.identifiers.save(folder)

    def with_changes(self, attributes: Attributes, rows: Rows) -> "SearchIndex":
        """Return the index with some rows as `attributes` have them now; rows beyond its end among them.

        Parameters
        ----------
        rows
            Ascending; all rows that differ from those that the index was built of.
        """
        live = SearchIndex.of(attributes, self.stemmer.language, rows) if len(rows) else None
        return replace(self, n=len(attributes), live_rows=rows, live=live)

    def rows_of(self, text: str) -> Rows:
        """Return the rows whose id, SKU or barcode a text is, ascending."""
        rows = self.identifiers.rows_of(text)
        if self.live is None:
            return rows
        live = self.live.identifiers.rows_of(text)
        return np.union1d(rows[~np.isin(rows, self.live_rows)], live).astype(np.int32)

    def idf_of(self, term: str) -> float | None:
        """Return the idf of a term; None if no product has it."""
        idf = self.postings.idf_of(term)
        if idf is None and self.live is not None and self.live.postings.idf_of(term) is not None:
            return math.log1p((self.n - 0.5) / 1.5)  # as of a term that one product has
        return idf

    def term_of(self, word: str) -> str | None:
        """Return the term of a word, None if no product has it."""
        stem = self.stemmer.stem(word)
        return None if self.idf_of(stem) is None else stem

    def terms_with(self, prefix: str, count: int) -> list[str]:
        """Return terms of words that begin with a prefix, those that most products have first."""
        start, end = bisect_left(self.surfaces, prefix), bisect_left(self.surfaces, prefix + _END)
        codes = np.unique(self.surface_codes[start:end])
        frequent = codes[np.argsort(self.postings.idf[codes], kind="stable")[:count]]
        terms = [self.postings.terms[code] for code in frequent.tolist()]
        return terms if self.live is None else list(dict.fromkeys([*terms, *self.live.terms_with(prefix, count)]))

    def match(self, words: Sequence[QueryWord]) -> WordMatch:
        """Return how well all rows match the words of a query.

        A word that no product has weighs as much as the others on average: the catalogue says little about it.
        """
        weights = [max((self.idf_of(term) or 0.0 for term, _ in word.terms), default=np.nan) for word in words]
        known = [weight for weight in weights if weight == weight]
        total = sum(known) * len(words) / max(len(known), 1)
        values, coverage = (np.zeros(self.n, dtype=np.float32) for _ in range(2))
        for word, weight in zip(words, weights, strict=True):
            if word.terms:
                self._add(word, weight / total, values, coverage)
        return WordMatch(values, coverage, tuple(words))

    def _add(self, word: QueryWord, share: float, values: Float, coverage: Float) -> None:
        """Add a word to the values and the coverage of the rows that have it."""
        if len(word.terms) == 1:
            ((term, factor),) = word.terms
            rows, strength = self._of_term(term)
            values[rows] += np.float32(share * factor) * strength
            coverage[rows] += np.float32(share * factor)
            return
        best, has = (np.zeros(self.n, dtype=np.float32) for _ in range(2))
        for term, factor in word.terms:  # a row counts by the best of them
            rows, strength = self._of_term(term)
            best[rows] = np.maximum(best[rows], np.float32(factor) * strength)
            has[rows] = np.maximum(has[rows], np.float32(factor))
        values += np.float32(share) * best
        coverage += np.float32(share) * has

    def _of_term(self, term: str) -> tuple[Rows, Float]:
        """Return the rows that have a term now, and how much it says of each."""
        rows, values = self.postings.of_term(term)
        if self.live is None:
            return rows, values
        unchanged = ~self._is_live[rows]
        live_rows, live_values = self.live.postings.of_term(term)
        return (
            np.concatenate([rows[unchanged], self.live_rows[live_rows]]),
            np.concatenate([values[unchanged], live_values]),
        )

    @cached_property
    def _is_live(self) -> Mask:
        mask = np.zeros(self.n, dtype=bool)
        mask[self.live_rows] = True
        return mask

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """The words of the products as these write them, of the index and of the rows that changed; sorted."""
        words = {*self.surfaces}
        if self.live is not None:
            words.update(self.live.surfaces)
        return sorted(words)

    @cached_property
    def spelling(self) -> Spelling:
        """Corrects words that no product has."""
        return Spelling(self.vocabulary)
