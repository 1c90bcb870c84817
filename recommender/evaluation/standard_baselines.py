"""The baselines of every evaluation, with parameters chosen on the latest part of the training events."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
import pandas as pd

from recommender.core.blocks import Float
from recommender.evaluation import metrics
from recommender.evaluation.baselines import Baseline, Ease, ItemKNN, OfHistory, OwnFrequency, Popularity, Scores
from recommender.evaluation.queries import Queries
from recommender.evaluation.top_k import top_k

if TYPE_CHECKING:
    from recommender.catalog import Interactions

HELD_OUT = 0.12  # share of the training events, the latest, on which parameters are chosen
MIN_QUERIES = 30  # with fewer, the defaults, which are the first of each
MAX_QUERIES, MAX_CELLS = 1_000, 12_000_000  # so that the choice costs no more than fitting EASE twice
K = 12
CHUNK = 256  # queries whose scores are in memory at once
WINDOWS = (None, 90, 30, 7)  # days of popularity
HALF_LIVES = (120.0, 14.0, 45.0, 365.0)  # days of own frequency
DECAYS = (0.7, 0.5, 0.8, 0.9, 0.97)
SHRINKAGES, KNN_POWERS = (10.0, 50.0), (0.0, 0.3, 0.5)
PENALTIES, EASE_POWERS = (250.0, 60.0, 1000.0, 4000.0), (0.0, 0.2)
# Each penalty takes an inversion, whose time grows with the cube: it is chosen among half of the items at most.
MIN_ITEMS, MAX_ITEMS = 2_000, 5_000

B = TypeVar("B", bound=Baseline)


@dataclass(frozen=True)
class BaselineValidation:
    """The latest part of the training events as queries, and what comes before it.

    Attributes
    ----------
    train
        The earlier events, which options are fitted on.
    queries
        A sample of the users with a history and new items in the later ones.
    n
        Items.
    """

    train: "Interactions"
    queries: Queries
    n: int
    # of the last option: what was fitted, its decay, and the scores of each chunk before they are scaled
    _last: tuple[object, float, list[Float]] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, train: "Interactions", n: int, include_history: bool = False) -> Self | None:
        """Hold out the latest events; None where too few users have events before and since."""
        if not len(train):
            return None
        times = np.sort(train.frame["timestamp"].to_numpy())
        moment = pd.Timestamp(times[int((1 - HELD_OUT) * len(times))]).to_pydatetime()
        earlier = train.before(moment)
        limit = min(max(MAX_CELLS // max(n, 1), 200), MAX_QUERIES)
        queries = Queries.of(earlier, train.since(moment), n, limit, include_history)
        return cls(earlier, queries, n) if len(queries) >= MIN_QUERIES else None

    def recall(self, baseline: Baseline) -> float:
        """Return the recall of a baseline that was fitted on the earlier events."""
        values = []
        for chunk, scores in zip(self._chunks, self._scores(baseline), strict=True):
            rows = top_k(scores, K, chunk.seen)
            values.append(metrics.recall(metrics.hits(rows, chunk.relevant), metrics.counts(chunk.relevant)))
        return float(np.concatenate(values).mean())

    def _scores(self, baseline: Baseline) -> Iterator[Scores]:
        """Yield the scores of each chunk; options that differ in the power of popularity alone share a product."""
        if not isinstance(baseline, OfHistory):
            yield from (baseline.scores(chunk.histories) for chunk in self._chunks)
            return
        if self._last is None or self._last[0] is not baseline.fitted or self._last[1] != baseline.decay:
            unscaled = [baseline.unscaled(chunk.histories) for chunk in self._chunks]
            object.__setattr__(self, "_last", (baseline.fitted, baseline.decay, unscaled))
        assert self._last is not None
        yield from (baseline.scaled(scores.copy()) for scores in self._last[2])

    @cached_property
    def _chunks(self) -> list[Queries]:
        every = np.arange(len(self.queries))
        return [self.queries[every[start : start + CHUNK]] for start in range(0, len(every), CHUNK)]

    def best(self, options: Iterable[B]) -> B:
        """Return the option with the highest recall, the first of equal ones."""
        best, highest = None, -1.0
        for option in options:
            if (recall := self.recall(option)) > highest:
                best, highest = option, recall
        assert best is not None
        return best


def standard_baselines(train: "Interactions", n: int, include_history: bool = False) -> list[Baseline]:
    """Return the baselines that need events only, fitted: popularity of several windows, ItemKNN and EASE.

    The window of "popularity", and the parameters of ItemKNN and EASE, are those with the highest recall of the
    choices in the latest part of `train` after a fit on the earlier part; then each is fitted on all of `train`.
    Tables have them in `Baseline.detail`; the names do not change with them.

    Parameters
    ----------
    train
        Events to learn from.
    n
        Items.
    include_history
        Whether items of the history may be recommended: then the user's own frequency is a baseline, too.
    """
    validation = BaselineValidation.of(train, n, include_history)
    windows = [Popularity(train, n, days) for days in (30, 7)]
    if validation is None:
        own = [OwnFrequency(train, n)] if include_history else []
        return [Popularity(train, n, name="popularity"), *windows, *own, ItemKNN(train, n), Ease(train, n)]
    days = validation.best(popularity_options(validation.train, n)).days
    own = []
    if include_history:
        half_life = validation.best(OwnFrequency(validation.train, n, days) for days in HALF_LIVES).half_life
        own = [OwnFrequency(train, n, half_life)]
    # without the matrices of these fits
    shrink, decay, power = validation.best(knn_options(validation.train, n)).parameters
    knn = ItemKNN(train, n, shrink, decay, power)
    penalty, decay, power = validation.best(ease_options(validation.train, n)).parameters
    ease = Ease(train, n, penalty, decay, power=power)
    return [Popularity(train, n, days, name="popularity"), *windows, *own, knn, ease]


def popularity_options(train: "Interactions", n: int) -> Iterator[Popularity]:
    """Yield popularity of each window."""
    for days in WINDOWS:
        yield Popularity(train, n, days)


def knn_options(train: "Interactions", n: int) -> Iterator[ItemKNN]:
    """Yield ItemKNN with each combination of shrinkage, decay and power of popularity."""
    for shrink in SHRINKAGES:
        model = ItemKNN(train, n, shrink)
        for decay, power in product(DECAYS, KNN_POWERS):
            yield model.with_options(decay, power)


def ease_options(train: "Interactions", n: int) -> Iterator[Ease]:
    """Yield EASE, of the more popular half of the items, with each penalty, decay and power of popularity."""
    limit = min(max(train.frame["row"].nunique() // 2, MIN_ITEMS), MAX_ITEMS)
    for penalty in PENALTIES:
        model = Ease(train, n, penalty, limit=limit)
        for decay, power in product(DECAYS, EASE_POWERS):
            yield model.with_options(decay, power)
