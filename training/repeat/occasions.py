"""Occasions: at each purchase of a user, the products bought before, and which of them were bought again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog import Catalog, Interactions
from recommender.core.blocks import Double, Float, Mask, Rows
from recommender.towers.repeat import DAY
from training.items import product_types

# Of users with at least two days of purchases; and of their days, the latest.
MAX_USERS, MAX_DAYS = 20_000, 50
MAX_PAIRS = 600_000  # of an occasion and a product

# The columns of `Occasions` but the last, of one occasion.
Part: TypeAlias = tuple[Rows, Float, Double, Double, Double, Mask]


@dataclass(frozen=True)
class Occasions:
    """One line per occasion and product that the user bought before it.

    Only occasions on which something was bought again: which of the known products, is the question.

    Parameters
    ----------
    rows
        The product, shape (p,).
    decayed
        Its purchases with each half-life, shape (p, number of half-lives).
    counts, spans, ages
        Number of purchases; days between the first and the last, and since the last, shape (p,).
    again
        Whether it was bought again, shape (p,).
    numbers
        The occasion of each line, shape (p,).
    """

    rows: Rows
    decayed: Float
    counts: Double
    spans: Double
    ages: Double
    again: Mask
    numbers: NDArray[np.intp]

    @classmethod
    def of(cls, interactions: Interactions, half_lives: Double, seed: int) -> "Occasions":
        """Return the occasions of a sample of the users who bought on at least two days."""
        generator = np.random.default_rng(seed)
        parts, pairs = [_nothing(len(half_lives))], 0
        for rows, days in _users(interactions, generator):
            for part in _of_user(rows, days, half_lives):
                parts.append(part)
                pairs += len(part[0])
            if pairs > MAX_PAIRS:
                break
        numbers = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
        rows, decayed, counts, spans, ages, again = map(np.concatenate, zip(*parts, strict=True))
        return cls(rows, decayed, counts, spans, ages, again, numbers)


def type_numbers(catalog: Catalog) -> NDArray[np.intp]:
    """Return the number of each product's type, its first one, shape (n,)."""
    return pd.factorize(np.array(product_types(catalog), dtype=object))[0]


def bought(interactions: Interactions) -> Interactions:
    """Return the purchases alone."""
    frame = interactions.frame
    return replace(interactions, frame=frame[frame["event_name"] == "purchase"].reset_index(drop=True))


def _users(interactions: Interactions, generator: np.random.Generator) -> Iterator[tuple[Rows, Double]]:
    """Yield the distinct products and days of purchases of users with at least two days, in random order."""
    frame = bought(interactions).frame
    days = frame["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64) // int(DAY)
    distinct = pd.DataFrame({"user": pd.factorize(frame["user_id"])[0], "day": days, "row": frame["row"]})
    distinct = distinct.drop_duplicates().sort_values(["user", "day"], kind="stable")
    users, rows = distinct["user"].to_numpy(), distinct["row"].to_numpy(np.int32)
    moments = distinct["day"].to_numpy(np.float64)
    starts = np.flatnonzero(np.append(True, users[1:] != users[:-1])[: len(users)])
    slices = [slice(start, end) for start, end in pairwise([*starts.tolist(), len(users)])]
    several = [each for each in slices if moments[each.start] != moments[each.stop - 1]]
    for position in generator.permutation(len(several))[:MAX_USERS]:
        yield rows[several[position]], moments[several[position]]


def _nothing(half_lives: int) -> Part:
    none = np.empty(0)
    return np.empty(0, np.int32), np.empty((0, half_lives), np.float32), none, none, none, np.empty(0, bool)


def _of_user(rows: Rows, days: Double, half_lives: Double) -> Iterator[Part]:
    """Yield the occasions of one user on which something was bought again, oldest first."""
    products, codes = np.unique(rows, return_inverse=True)
    distinct, starts = np.unique(days, return_index=True)
    counts, first, last = (np.zeros(len(products)) for _ in range(3))
    decayed = np.zeros((len(products), len(half_lives)))
    for index, (day, basket) in enumerate(zip(distinct, np.split(codes, starts[1:]), strict=True)):
        if index:
            decayed *= 0.5 ** ((day - distinct[index - 1]) / half_lives)
        known = np.flatnonzero(counts)
        again = np.isin(known, basket)
        if again.any() and index >= len(distinct) - MAX_DAYS:
            spans, ages = last[known] - first[known], day - last[known]
            yield products[known], decayed[known].astype(np.float32), counts[known], spans, ages, again
        first[basket] = np.where(counts[basket] > 0, first[basket], day)
        last[basket], counts[basket] = day, counts[basket] + 1
        decayed[basket] += 1.0
