"""The values of users' attributes and of the context of their choices: vocabularies and sparse matrices."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.catalog import Interactions
from recommender.catalog.event_files import HOUR, context_column
from recommender.items.schema import Kind
from recommender.towers.category import ColumnVocabulary, ancestry
from recommender.towers.profile import known_rows

# A value that fewer users have is left out: it would say little, and might say who somebody is.
MIN_USERS = 20
MAX_VALUES = 1_000  # of a column, the most frequent
# Quantiles of a number that have a vector each; the outer ones are no single user's value.
QUANTILES = np.linspace(0.05, 0.95, 8)
HOURS = np.arange(0.0, 25.0, 4.0)  # knots of the hour of day
MAX_MIDNIGHTS = 0.5  # share of moments: where there are more, they are dates


def hours_of(times: pd.Series) -> pd.Series:
    """Return the hour of day in UTC of each moment, in steps of a quarter; NaN where most are dates."""
    minutes = times.dt.hour * 60 + times.dt.minute
    hours: pd.Series = (minutes // 15) / 4
    return hours if (minutes == 0).mean() <= MAX_MIDNIGHTS else hours * np.nan


def contexts_of(interactions: Interactions) -> pd.DataFrame:
    """Return the context of each event, a column for each name; missing ones are NaN or ""."""
    frame = interactions.frame
    columns = {
        name: frame[context_column(name)] if context_column(name) in frame else hours_of(frame["timestamp"])
        for name in interactions.context
        if name == HOUR or context_column(name) in frame
    }
    return pd.DataFrame(columns, frame.index)


def context_vocabularies(
    contexts: pd.DataFrame, users: NDArray[np.intp], first: int
) -> tuple[ColumnVocabulary, ...]:
    """Return the vocabulary of each column of context: the hours and values at which enough users have chosen."""
    vocabularies: list[ColumnVocabulary] = []
    for name in contexts:
        cells = contexts[name]
        if name == HOUR:
            near = (users[((cells - knot).abs() < HOURS[1] - HOURS[0]).to_numpy(bool)] for knot in HOURS)
            knots = [knot for knot, each in zip(HOURS.tolist(), near, strict=True) if _enough(each)]
            vocabulary = ColumnVocabulary(str(name), first, knots=tuple(knots))
        else:
            values = cells[cells != ""].value_counts().index[:MAX_VALUES].tolist()
            shared = [value for value in values if _enough(users[(cells == value).to_numpy(bool)])]
            vocabulary = ColumnVocabulary(str(name), first, values=tuple(sorted(shared)))
        if vocabulary.size > 2:
            vocabularies.append(vocabulary)
            first += vocabulary.size
    return tuple(vocabularies)


def _enough(users: NDArray[np.intp]) -> bool:
    return len(np.unique(users)) >= MIN_USERS


def fit_vocabularies(
    attributes: Sequence[Mapping[str, Any] | None], kinds: Mapping[str, Kind]
) -> tuple[ColumnVocabulary, ...]:
    """Return the vocabulary of each column: values that enough users have, knots of numbers."""
    vocabularies: list[ColumnVocabulary] = []
    first = 0
    for name, kind in kinds.items():
        cells = [each[name] for each in attributes if each is not None and name in each]
        if kind == "number":
            vocabulary = ColumnVocabulary(name, first, knots=_knots(cells))
        else:
            vocabulary = ColumnVocabulary(name, first, values=_values(cells))
        if vocabulary.size > 2:  # one value says nothing of its users
            vocabularies.append(vocabulary)
            first += vocabulary.size
    return tuple(vocabularies)


def _knots(cells: Sequence[Any]) -> tuple[float, ...]:
    size = min(len(QUANTILES), len(cells) // MIN_USERS)
    if size < 2:
        return ()
    return tuple(np.unique(np.quantile(cells, np.linspace(QUANTILES[0], QUANTILES[-1], size))).tolist())


def _values(cells: Iterable[Any]) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for cell in cells:
        values = [cell] if isinstance(cell, str) else cell
        counts.update({step for value in values for step in ancestry(value)})
    return tuple(sorted(value for value, count in counts.most_common(MAX_VALUES) if count >= MIN_USERS))


def value_matrix(
    vocabularies: tuple[ColumnVocabulary, ...], attributes: Sequence[Mapping[str, Any] | None], size: int
) -> csr_array:
    """Return the weight of each value of each user, sparse, shape (users, size); unknown values have none."""
    cells = [known_rows(vocabularies, each or {}) for each in attributes]
    rows = np.repeat(np.arange(len(cells)), [*map(len, cells)])
    flat = [pair for pairs in cells for pair in pairs]
    columns, weights = [row for row, _ in flat], [weight for _, weight in flat]
    return csr_array((np.array(weights), (rows, np.array(columns, dtype=np.intp))), shape=(len(cells), size))
