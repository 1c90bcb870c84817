"""Write the index of the products' words, and calibrate the relevance floor of searches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from recommender.core.blocks import Float
from recommender.core.scoring import Query, Scorer
from recommender.core.segment import Segment
from recommender.encoders.base import Encoder, Metered
from recommender.encoders.support.pair import encoder_of
from recommender.errors import EncoderError
from recommender.items import Attributes
from recommender.ranking.queries import readable
from recommender.ranking.searching import similarity_weights
from recommender.search.index import FOLDER, SearchIndex
from recommender.search.phrases import Phrases
from recommender.search.postings import language_of
from recommender.search.query import parse_query
from recommender.search.settings import SearchSettings
from recommender.towers.item import ItemTower

RANDOM_QUERIES, TITLES = 300, 300
# Share of the queries of random words that find nothing by words, and by vectors.
REFUSED = 0.98
MIN_COVERAGE, MAX_COVERAGE = 0.34, 0.5  # more than one of three words, at most one of two
VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxz"
WORD_LETTERS = (4, 8)
EncodeQuery = Callable[[str], Query | None]


def write_search(
    base: Path,
    segment: Segment,
    weights: Mapping[str, float],
    encode: EncodeQuery | None,
    language: str | None,
    seed: int,
) -> SearchSettings:
    """Write the index of the words of a base part, and return the settings of its search.

    Parameters
    ----------
    base
        The part's folder, with the attributes.
    weights
        The learned weights of similar items.
    encode
        Makes the query of a text; None if the encoder costs money or encodes no texts.
    language
        Of the texts; None guesses it.
    """
    attributes = Attributes.open(base / "attributes")
    index = SearchIndex.of(attributes, language or language_of(attributes))
    index.save(base / FOLDER)
    Phrases.of(attributes).save(base / FOLDER)
    generator = np.random.default_rng(seed)
    nonsense = [random_query(generator) for _ in range(RANDOM_QUERIES)]
    titles = held_out_titles(attributes, TITLES, generator)
    coverage = _coverages(index, nonsense).max(axis=1, initial=0.0)
    floor = float(np.quantile(coverage, REFUSED)) + 1e-3
    settings = SearchSettings(
        language=index.stemmer.language, min_coverage=round(min(max(floor, MIN_COVERAGE), MAX_COVERAGE), 3)
    )
    # title words that random words reach, too, cannot be told from them
    retained = np.array([_coverages(index, [text])[0, row] >= settings.min_coverage for row, text in titles])
    settings = replace(settings, retained=round(float(retained.mean()), 4) if len(retained) else None)
    if encode is None:
        return settings
    try:
        similarity = _best_similarities(segment, weights, encode, nonsense)
    except EncoderError:  # such as one that has vectors, and no model
        return settings
    # an encoder may know no random word at all
    return replace(
        settings, min_similarity=round(float(np.quantile(similarity, REFUSED)), 4) if similarity else 0.0
    )


def query_encoder(tower: ItemTower, encoder: Encoder) -> EncodeQuery | None:
    """Return what makes the query of a text; None if that costs money, or if there is no block of texts."""
    if isinstance(encoder_of(encoder, "text"), Metered) or "text" not in tower.content:
        return None

    def encode(text: str) -> Query | None:
        known, _ = readable(encoder, text)
        if known is None:
            return None
        return Query.free(tower.query("text", encoder.encode_texts([known]), encoder.aligned))

    return encode


def random_query(generator: np.random.Generator) -> str:
    """Return two words of random letters, a vowel after one or two consonants."""
    words = []
    for _ in range(2):
        size, letters = int(generator.integers(WORD_LETTERS[0], WORD_LETTERS[1] + 1)), ""
        while len(letters) < size:
            letters += "".join(generator.choice([*CONSONANTS], generator.integers(1, 3)))
            letters += str(generator.choice([*VOWELS]))
        words.append(letters[:size])
    return " ".join(words)


def held_out_titles(attributes: Attributes, count: int, generator: np.random.Generator) -> list[tuple[int, str]]:
    """Return rows, and half of the words of the title of each in random order."""
    if "title" not in attributes.names:
        return []
    drawn = generator.permutation(len(attributes))[:count].tolist()
    titles = [(row, str(attributes.value("title", row) or "").split()) for row in drawn]
    return [
        (row, " ".join(generator.permutation(words)[: -(-len(words) // 2)].tolist()))
        for row, words in titles
        if words
    ]


def _coverages(index: SearchIndex, texts: Sequence[str]) -> Float:
    """Return the share of the words of each text that each product has, shape (b, n)."""
    return np.array([index.match(parse_query(index, text)).coverage for text in texts])


def _best_similarities(
    segment: Segment, weights: Mapping[str, float], encode: EncodeQuery, texts: Sequence[str]
) -> list[float]:
    """Return the similarity of each text that the encoder knows to the most similar product."""
    best = []
    for query in map(encode, texts):
        if query is not None:
            shares = similarity_weights(segment.layout, weights, query, {})
            scorer = Scorer(segment.vectors, segment.prior, segment.layout, shares)
            best.append(float(scorer.estimate([query])[0].max(initial=-1.0)))
    return best
