"""Search: queries made of the products' own ids, titles and attributes, and of random words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from recommender.items import Attributes
from recommender.progress import progress
from recommender.recommender import Recommender
from recommender.search.postings import searched_columns
from recommender.search.tokens import fold, query_words

K, DEPTH = 10, 100
RRF = 60.0  # Cormack, Clarke and Büttcher, Reciprocal Rank Fusion (2009)
MIN_TYPO = 4  # letters of the word that gets a typo
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class SearchCase:
    """A query and the rows that are relevant; none where nothing should be found."""

    text: str
    relevant: frozenset[int]


def measure(rec: Recommender, count: int, seed: int) -> dict[str, Any]:
    """Search for queries of each kind by words, by vectors, by both, and by reciprocal rank fusion.

    Parameters
    ----------
    rec
        The bundle.
    count
        Queries of each kind.
    seed
        Of the drawn queries.
    """
    kinds = {name: [*make(rec, count, np.random.default_rng(seed))] for name, make in KINDS.items()}
    figures: dict[str, Any] = {}
    milliseconds: list[float] = []
    for name, cases in kinds.items():
        shown = progress(cases, name, len(cases), "query")
        lists = [_lists(rec, case.text, milliseconds) for case in shown]
        figures[name] = {"queries": len(cases)} | {
            ranker: _metrics([each[ranker] for each in lists], cases) for ranker in RANKERS if cases
        }
    return {
        "protocol": "search",
        "seed": seed,
        "products": len(rec),
        "settings": rec.search_settings.to_dict(),
        "kinds": figures,
        "milliseconds": {
            "search": _quantiles(milliseconds),
            "encoder": _encoder(rec, kinds),
            "autocomplete": _completion(rec, kinds),
        },
    }


RANKERS = ("words", "vectors", "fused", "rrf")


def _lists(rec: Recommender, text: str, milliseconds: list[float]) -> dict[str, list[int]]:
    """Return the rows that each ranker finds; variants are products of their own."""
    blocks = [name for name in ("image", "text") if name in rec.weights["item"]]
    words = _rows(rec, text, dict.fromkeys(blocks, 0.0))
    vectors = _rows(rec, text, {"words": 0.0} | dict.fromkeys({*rec.weights["item"]} - {*blocks}, 0.0))
    started = perf_counter()
    fused = _rows(rec, text, None, K)
    milliseconds.append(1e3 * (perf_counter() - started))
    scores: dict[int, float] = {}
    for ranked in (words, vectors):
        for rank, row in enumerate(ranked, start=1):
            scores[row] = scores.get(row, 0.0) + 1 / (RRF + rank)
    return {
        "words": words,
        "vectors": vectors,
        "fused": fused,
        "rrf": sorted(scores, key=lambda row: -scores[row]),
    }


def _rows(rec: Recommender, text: str, weights: Mapping[str, float] | None, k: int = DEPTH) -> list[int]:
    found = rec.search(text, k=k, weights=weights, variants="all", stock="all")
    return [rec.attributes.row_of(item_id) for item_id in found.item_ids]


def _metrics(lists: Sequence[Sequence[int]], cases: Sequence[SearchCase]) -> dict[str, float]:
    """Return recall@10, MRR and how often the first is relevant; or the share of queries that find nothing."""
    if not cases[0].relevant:
        return {"nothing": round(float(np.mean([not rows for rows in lists])), 4)}
    recall, ranks = [], []
    for rows, case in zip(lists, cases, strict=True):
        hits = [row in case.relevant for row in rows[:K]]
        recall.append(sum(hits) / min(K, len(case.relevant)))
        ranks.append(1 / (1 + hits.index(True)) if any(hits) else 0.0)
    first = float(np.mean([rank == 1.0 for rank in ranks]))
    return {
        "recall": round(float(np.mean(recall)), 4),
        "mrr": round(float(np.mean(ranks)), 4),
        "first": round(first, 4),
    }


def _identifiers(rec: Recommender, count: int, generator: np.random.Generator) -> Iterator[SearchCase]:
    """Yield ids in another case."""
    for row in generator.permutation(np.asarray(rec.attributes.ids.in_order))[:count].tolist():
        yield SearchCase(rec.attributes.id_of(row).swapcase(), frozenset([row]))


def _titles(rec: Recommender, count: int, generator: np.random.Generator) -> Iterator[SearchCase]:
    """Yield titles, of which all products with that title are relevant."""
    titles = _by_title(rec.attributes, np.asarray(rec.attributes.ids.in_order).tolist())
    distinct = sorted(titles)
    for position in generator.permutation(len(distinct))[:count].tolist():
        yield SearchCase(distinct[position], frozenset(titles[distinct[position]]))


def _by_title(attributes: Attributes, rows: Sequence[int]) -> dict[str, list[int]]:
    titles: dict[str, list[int]] = {}
    for row in rows if "title" in attributes.names else ():
        title = fold(str(attributes.value("title", row) or "")).strip()
        if len(query_words(title)) > 1:
            titles.setdefault(title, []).append(row)
    return titles


def _typos(rec: Recommender, count: int, generator: np.random.Generator) -> Iterator[SearchCase]:
    """Yield titles with one edit in one word."""
    for case in _titles(rec, count, generator):
        words = case.text.split()
        long = [position for position, word in enumerate(words) if len(word) >= MIN_TYPO and word.isalpha()]
        if long:
            position = int(generator.choice(long))
            words[position] = _edited(words[position], generator)
            yield SearchCase(" ".join(words), case.relevant)


def _edited(word: str, generator: np.random.Generator) -> str:
    """Return a word with a letter left out, added, replaced, or swapped with the next."""
    at, letter = int(generator.integers(len(word) - 1)), str(generator.choice([*LETTERS]))
    edits = (
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    return edits[int(generator.integers(len(edits)))]


def _swapped(rec: Recommender, count: int, generator: np.random.Generator) -> Iterator[SearchCase]:
    """Yield titles with two neighbouring words swapped."""
    for case in _titles(rec, count, generator):
        words = case.text.split()
        if len(words) > 1:
            at = int(generator.integers(len(words) - 1))
            words[at : at + 2] = words[at + 1], words[at]
            yield SearchCase(" ".join(words), case.relevant)


def _attributes(rec: Recommender, count: int, generator: np.random.Generator) -> Iterator[SearchCase]:
    """Yield the values of two attributes of a product; all products with both are relevant."""
    attributes = rec.attributes
    names = [name for name in searched_columns(attributes) if attributes.kind(name) == "category"]
    for row in generator.permutation(np.asarray(attributes.ids.in_order))[:count].tolist():
        known = [name for name in names if attributes.value(name, row)]
        if len(known) > 1:
            chosen = generator.permutation(known)[:2].tolist()
            values = [str(attributes.value(name, row)) for name in chosen]
            masks = [attributes.column(name).any_of([value]) for name, value in zip(chosen, values, strict=True)]
            yield SearchCase(" ".join(values), frozenset(np.flatnonzero(masks[0] & masks[1]).tolist()))


def _nonsense(rec: Recommender, count: int, generator: np.random.Generator) -> Iterator[SearchCase]:
    """Yield two words of random letters."""
    for _ in range(count):
        sizes = generator.integers(4, 9, 2).tolist()
        yield SearchCase(" ".join("".join(generator.choice([*LETTERS], size)) for size in sizes), frozenset())


KINDS: dict[str, Callable[[Recommender, int, np.random.Generator], Iterator[SearchCase]]] = {
    "id": _identifiers,
    "title": _titles,
    "one typo": _typos,
    "words swapped": _swapped,
    "attributes": _attributes,
    "nonsense": _nonsense,
}


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.quantile(values, [0.5, 0.95]) if values else (0.0, 0.0)
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def _encoder(rec: Recommender, kinds: Mapping[str, Sequence[SearchCase]]) -> dict[str, float]:
    """Return how long the encoder alone takes for the same texts."""
    spent = []
    for case in (case for cases in kinds.values() for case in cases):
        started = perf_counter()
        rec.encode_text(case.text)
        spent.append(1e3 * (perf_counter() - started))
    return _quantiles(spent)


def _completion(rec: Recommender, kinds: Mapping[str, Sequence[SearchCase]]) -> dict[str, float]:
    """Return how long the beginnings of titles take to be completed."""
    rec.autocomplete("a")  # opens the phrases
    spent = []
    for case in kinds["title"]:
        for size in (1, 2, 3, 5, 8, 12):
            started = perf_counter()
            rec.autocomplete(case.text[:size])
            spent.append(1e3 * (perf_counter() - started))
    return _quantiles(spent)


def show(figures: Mapping[str, Any]) -> str:
    """Return the figures as a table."""
    lines = [f"{figures['products']:,} products; " + ", ".join(f"{k} {v}" for k, v in figures["settings"].items())]
    lines.append(f"{'':15}{'':8}" + "".join(f"{ranker:>10}" for ranker in RANKERS))
    for name, kind in figures["kinds"].items():
        if not kind["queries"]:
            continue
        for measure in kind["words"]:
            cells = "".join(f"{kind[ranker][measure]:10.4f}" for ranker in RANKERS)
            lines.append(f"{name:15}{measure:8}{cells}")
    for name, spent in figures["milliseconds"].items():
        lines.append(f"{name}: p50 {spent['p50']} ms, p95 {spent['p95']} ms")
    return "\n".join(lines)
