"""A catalogue that does not know one of its columns, to ask whether the rest finds it again."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

NESTED = 0.8  # predictability from which one column as good as names the other
TEXTS = ("title", "description")
_TOKEN = re.compile(r"\w+(?:['’-]\w+)*")


@dataclass(frozen=True)
class HeldOutAttribute:
    """What is left of a catalogue.

    Attributes
    ----------
    frame
        The catalogue's frame without `columns`, its texts without the words of their values.
    labels
        (n,) the values held out, "" missing.
    columns
        What was held out: the column itself and those nested in it, or it in them.
    named
        Share of products whose texts named their own value.
    """

    frame: pd.DataFrame
    labels: pd.Series
    columns: tuple[str, ...]
    named: float


def hold_out(frame: pd.DataFrame, labels: pd.Series, learned: Iterable[str]) -> HeldOutAttribute:
    """Take a label out of a catalogue: its column, what as good as names it, and its words.

    Parameters
    ----------
    frame
        (n, columns) as `Catalog.frame`.
    labels
        (n,) text, "" missing; a column of `frame` or derived from one, such as `leading_brand`.
    learned
        Columns that a model would learn from.
    """
    keys = {name: _as_key(frame[name]) for name in learned}
    nested = [name for name, key in keys.items() if nestedness(labels, key) >= NESTED]
    columns = (str(labels.name), *(name for name in nested if name != labels.name))
    words = {word for name in columns for word in _all_stems(" ".join(keys.get(name, labels).unique()))}
    texts = [name for name in TEXTS if name in frame]
    plain = frame.drop(columns=[name for name in columns if name in frame])
    changed = {name: frame[name].map(lambda text: without(text, words)) for name in texts}
    return HeldOutAttribute(plain.assign(**changed), labels, columns, _named(frame[texts], labels))


def nestedness(one: pd.Series, other: pd.Series) -> float:
    """How well the better of two columns predicts the other, 0 (no better than its commonest value) to 1.

    Goodman and Kruskal's lambda ("Measures of association", JASA 1954), each product predicted from the *others*
    of its value, so that a column of many rare values predicts nothing.
    """
    return max(_predictability(one, other), _predictability(other, one))


def leading_brand(titles: pd.Series, least: int = 20, share: float = 0.9) -> pd.Series:
    """Read the brand off titles that begin with it; "" where fewer than `least` titles begin alike.

    The brand is the first word, and each following word that at least `share` of the titles beginning so go on
    with: "United Colors of Benetton" but "Nike", since what follows Nike varies.
    """
    words = [[*title.split(), "", "", "", "", ""] for title in titles]
    brand = pd.Series([first for first, *_ in words], index=titles.index, name="brand")
    brand = brand.where(brand.map(brand.value_counts()) >= least, "")
    for place in range(1, 5):
        following = pd.Series([each[place] for each in words], index=titles.index)
        whole = brand.str.count(" ") == place - 1
        together = brand.groupby([brand, following]).transform("size") / brand.groupby(brand).transform("size")
        goes_on = whole & (brand != "") & (following != "") & (together >= share)
        brand = brand.where(~goes_on, brand + " " + following)
    return brand


def without(text: str, words: set[str]) -> str:
    """Take out every word whose stem, or the stem of a hyphened part, is in `words`."""
    kept = _TOKEN.sub(lambda token: "" if _stems(token[0]) & words else token[0], text)
    return " ".join(kept.split())


@cache
def stem(word: str) -> str:
    """Lower case without possessive, hyphens and plural: "T-Shirts" and "tshirt's" are "tshirt"."""
    word = re.sub(r"['’]s?$|[-'’]", "", word.lower())
    if re.search(r"(ss|sh|ch|x)es$", word):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@cache
def _stems(token: str) -> frozenset[str]:
    return frozenset({stem(token), *map(stem, token.split("-"))})


def _named(texts: pd.DataFrame, labels: pd.Series) -> float:
    joined = texts.agg(" ".join, axis=1) if len(texts.columns) else pd.Series("", index=texts.index)
    has = labels != ""
    pairs = zip(joined[has], labels[has], strict=True)
    told = [bool(_all_stems(text) & _all_stems(label)) for text, label in pairs]
    return round(float(np.mean(told)), 4) if told else 0.0


def _all_stems(text: str) -> set[str]:
    return {each for token in _TOKEN.findall(text) for each in _stems(token)}


def _as_key(column: pd.Series) -> pd.Series:
    """Values as one text each: lists joined, numbers left out (nothing is nested in a price)."""
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
    sure = (best >= 2) & (best - 1 >= second[first].to_numpy())
    right = best[sure].sum() / known.sum()
    common = float(target[known].value_counts(normalize=True).iloc[0])
    return float((right - common) / (1 - common)) if common < 1 else 0.0
