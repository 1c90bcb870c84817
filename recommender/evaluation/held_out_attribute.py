"""Hold out an attribute of a catalogue, to measure whether similar items share it without having seen it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

MIN_NESTEDNESS = 0.8  # from which one column as good as determines the other
TEXTS = ("title", "description")
_TOKEN = re.compile(r"\w+(?:['’-]\w+)*")


@dataclass(frozen=True)
class HeldOutAttribute:
    """A catalogue without an attribute.

    Attributes
    ----------
    frame
        The catalogue's frame without `columns`, its texts without the words of their values.
    labels
        (n,) the values held out, "" missing.
    columns
        Those held out: the column itself, those nested in it and those it is nested in.
    mentioned
        Share of products whose texts mentioned their own value.
    """

    frame: pd.DataFrame
    labels: pd.Series
    columns: tuple[str, ...]
    mentioned: float


def hold_out(frame: pd.DataFrame, labels: pd.Series, learned: Iterable[str]) -> HeldOutAttribute:
    """Remove an attribute from a catalogue: its column, columns that determine it, and its words in texts.

    Parameters
    ----------
    frame
        (n, columns) as `Catalog.frame`.
    labels
        (n,) text, "" missing; a column of `frame` or derived from one, such as `leading_brand`.
    learned
        Columns that a model is trained on.
    """
    keys = {name: _as_key(frame[name]) for name in learned}
    nested = [name for name, key in keys.items() if nestedness(labels, key) >= MIN_NESTEDNESS]
    columns = (str(labels.name), *(name for name in nested if name != labels.name))
    words = {word for name in columns for word in _all_stems(" ".join(keys.get(name, labels).unique()))}
    texts = [name for name in TEXTS if name in frame]
    rest = frame.drop(columns=[name for name in columns if name in frame])
    masked = {name: frame[name].map(lambda text: without_words(text, words)) for name in texts}
    return HeldOutAttribute(rest.assign(**masked), labels, columns, _mentioned(frame[texts], labels))


def nestedness(one: pd.Series, other: pd.Series) -> float:
    """Return how well the better of two columns predicts the other, 0 (no better than its mode) to 1.

    Goodman and Kruskal's lambda ("Measures of association", JASA 1954), each product predicted from the *others*
    of its value, so that a column of many rare values predicts nothing.
    """
    return max(_predictability(one, other), _predictability(other, one))


def leading_brand(titles: pd.Series, min_count: int = 20, share: float = 0.9) -> pd.Series:
    """Extract the brand from titles that begin with it; "" where fewer than `min_count` titles have the same.

    The brand is the first word, and each following word that at least `share` of the titles with the same
    beginning continue with: "United Colors of Benetton" but "Nike", since what follows Nike varies.
    """
    words = [[*title.split(), "", "", "", "", ""] for title in titles]
    brand = pd.Series([first for first, *_ in words], index=titles.index, name="brand")
    brand = brand.where(brand.map(brand.value_counts()) >= min_count, "")
    for position in range(1, 5):
        following = pd.Series([each[position] for each in words], index=titles.index)
        whole = brand.str.count(" ") == position - 1
        frequency = brand.groupby([brand, following]).transform("size") / brand.groupby(brand).transform("size")
        continues = whole & (brand != "") & (following != "") & (frequency >= share)
        brand = brand.where(~continues, brand + " " + following)
    return brand


def without_words(text: str, words: set[str]) -> str:
    """Remove every word whose stem, or the stem of a hyphenated part, is in `words`."""
    rest = _TOKEN.sub(lambda token: "" if _stems(token[0]) & words else token[0], text)
    return " ".join(rest.split())


@cache
def stem(word: str) -> str:
    """Lower a word, without possessive, hyphens and plural: "T-Shirts" and "tshirt's" are "tshirt"."""
    word = re.sub(r"['’]s?$|[-'’]", "", word.lower())
    if re.search(r"(ss|sh|ch|x)es$", word):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@cache
def _stems(token: str) -> frozenset[str]:
    return frozenset({stem(token), *map(stem, token.split("-"))})


def _mentioned(texts: pd.DataFrame, labels: pd.Series) -> float:
    joined = texts.agg(" ".join, axis=1) if len(texts.columns) else pd.Series("", index=texts.index)
    has = labels != ""
    pairs = zip(joined[has], labels[has], strict=True)
    mentions = [bool(_all_stems(text) & _all_stems(label)) for text, label in pairs]
    return round(float(np.mean(mentions)), 4) if mentions else 0.0


def _all_stems(text: str) -> set[str]:
    return {each for token in _TOKEN.findall(text) for each in _stems(token)}


def _as_key(column: pd.Series) -> pd.Series:
    """Return values as one text each: lists joined, numbers left out (nothing is nested in a price)."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return pd.Series("", index=column.index, name=column.name)
    return column.map(lambda value: value if isinstance(value, str) else "|".join(value))


def _predictability(target: pd.Series, source: pd.Series) -> float:
    known = (target != "") & (source != "")
    if not known.any():
        return 0.0
    pairs = pd.DataFrame({"source": source[known], "target": target[known]})
    counts = pairs.value_counts().reset_index(name="size")  # descending
    ranked = counts.groupby("source")["size"]
    best, second = ranked.nth(0).to_numpy(), ranked.transform(lambda sizes: sizes.iloc[1:2].sum())
    first = ~counts.duplicated("source")
    predicted = (best >= 2) & (best - 1 >= second[first].to_numpy())
    accuracy = best[predicted].sum() / known.sum()
    mode = float(target[known].value_counts(normalize=True).iloc[0])
    return float((accuracy - mode) / (1 - mode)) if mode < 1 else 0.0
