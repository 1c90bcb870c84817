"""Baseline rankers: popularity, own frequency, and ItemKNN and EASE with recency-weighted histories."""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from recommender.core.blocks import Float
from recommender.evaluation.linear_autoencoder import LinearAutoencoder
from recommender.evaluation.queries import flat, with_weights

if TYPE_CHECKING:
    from recommender.catalog import Interactions

Scores = NDArray[np.float32] | NDArray[np.float64]
Histories = Sequence[pd.DataFrame]
CHUNK = 2_048  # items whose similarities are computed at once
MAX_DENSE_ITEMS, DENSE_SHARE = 10_000, 0.03  # of similarities that are kept as a dense matrix
_BELOW_OWN = 1e-9  # of popularity beside the user's own frequency


class Baseline(Protocol):
    """A ranker without blocks: fitted in its constructor, it scores every item for a history."""

    name: str

    @property
    def detail(self) -> str:
        """The parameters, as tables show them beside the name; "" where there are none."""
        ...

    def scores(self, histories: Histories) -> Scores:
        """Return the scores of all n items for b histories, (b, n); see `Queries.histories`."""
        ...


class Popularity:
    """Most popular items: the sum of event weights, the same for every user; negative weights do not count.

    Parameters
    ----------
    train
        Events to count.
    n
        Items.
    days
        Count only events of the last so many days; by default all.
    name
        Shown in tables; by default with the days.
    """

    def __init__(self, train: "Interactions", n: int, days: int | None = None, name: str | None = None) -> None:
        window = "all time" if days is None else f"last {days} days"
        default = "popularity" if days is None else f"popularity, {window}"
        self.days = days
        self.name, self.detail = (default, "") if name is None else (name, window)
        frame = with_weights(train)
        if days is not None and len(frame):
            frame = frame[frame["timestamp"] > frame["timestamp"].max() - pd.Timedelta(days=days)]
        weight = frame["weight"].clip(lower=0).to_numpy(np.float64)
        self.counts = np.bincount(frame["row"], weight, minlength=n).astype(np.float64)

    def scores(self, histories: Histories) -> Scores:
        """Return the same scores for each history, (b, n)."""
        return np.tile(self.counts, (len(histories), 1))


class OwnFrequency:
    """The user's own most frequent items, by event weights halved with every half-life; then the most popular.

    Parameters
    ----------
    train
        Events, which popularity is counted in.
    n
        Items.
    half_life
        Days, counted back from the last event of the history.
    """

    name = "own frequency"

    def __init__(self, train: "Interactions", n: int, half_life: float = 120.0) -> None:
        counts = Popularity(train, n).counts
        self.rest = _BELOW_OWN * counts / max(counts.max(initial=0), 1)
        self.n, self.half_life = n, half_life

    @property
    def detail(self) -> str:
        """The half-life."""
        return f"half-life {self.half_life:g} days"

    def scores(self, histories: Histories) -> Scores:
        """Return the decayed sums of event weights, for other items a fraction by popularity, (b, n)."""
        frame = flat(histories)
        last = frame.groupby("query")["timestamp"].transform("max")
        days = (last - frame["timestamp"]).to_numpy() / np.timedelta64(1, "D")
        values = frame["weight"].to_numpy() * 0.5 ** (days / self.half_life)
        cells = (frame["query"].to_numpy(), frame["row"].to_numpy())
        return csr_array((values, cells), shape=(len(histories), self.n)).toarray().clip(min=0) + self.rest


class OfHistory:
    """What ItemKNN and EASE share: the decay of the history, and the power of the popularity of what is scored."""

    decay: float
    power: float
    counts: NDArray[np.float64]  # users of each item, (n,)

    def with_options(self, decay: float, power: float) -> Self:
        """Return the same model, not fitted again, with another decay and power of popularity."""
        other = copy(self)
        other.decay, other.power = decay, power
        return other

    def _described(self, parameters: str) -> str:
        power = f", popularity to the power of {self.power:g}" if self.power else ""
        return f"recency {self.decay:g}, {parameters}{power}"

    @property
    def fitted(self) -> object:
        """What was fitted, whatever the decay and the power are."""
        raise NotImplementedError

    def unscaled(self, histories: Histories) -> Float:
        """Return the scores without the power of popularity, (b, n)."""
        raise NotImplementedError

    def scaled(self, scores: Float) -> Float:
        """Multiply scores by a power of each item's number of users, in place."""
        if self.power:
            scores *= (self.counts**self.power).astype(np.float32)
        return scores

    def scores(self, histories: Histories) -> Scores:
        """Return the scores of all items for each history, (b, n)."""
        return self.scaled(self.unscaled(histories))


class ItemKNN(OfHistory):
    """Item-based collaborative filtering: shrunk cosine over users, recency-weighted history.

    s(i, j) = c_ij / sqrt(n_i n_j) * c_ij / (c_ij + shrink) * n_j ** power, c_ij = users of both, n_i = users of i;
    all neighbours (Sarwar et al., "Item-based collaborative filtering", WWW 2001; the shrinkage is Bell and
    Koren's, ICDM 2007). Takes the sum of squared history lengths in time.

    Parameters
    ----------
    train
        Events to learn from.
    n
        Items.
    shrink
        Shared users at which a cosine is halved.
    decay
        See `decayed_histories`.
    power
        Of the popularity of the item that is scored; 0 is the cosine, 0.5 the share of users of i who have j.
    """

    name = "ItemKNN + recency"

    def __init__(
        self, train: "Interactions", n: int, shrink: float = 10.0, decay: float = 0.6, power: float = 0.0
    ) -> None:
        users = user_item_matrix(train, n)
        items = csr_array(users.T)
        self.counts = users.sum(axis=0, dtype=np.float64)
        chunks = (self._cosines(items, users, start, shrink) for start in range(0, n, CHUNK))
        similarity = csr_array(vstack([*chunks], format="csr"))
        # many histories are multiplied with it, several times as fast where it is dense
        dense = n <= MAX_DENSE_ITEMS and similarity.nnz > DENSE_SHARE * n**2
        self.similarity = similarity.toarray() if dense else similarity
        self.shrink, self.decay, self.power = shrink, decay, power

    @property
    def parameters(self) -> tuple[float, float, float]:
        """Shrinkage, decay and power."""
        return self.shrink, self.decay, self.power

    def _cosines(self, items: csr_array, users: csr_array, start: int, shrink: float) -> csr_array:
        """Return some lines of the similarity, in little memory, shape (c, n)."""
        shared = items[start : start + CHUNK] @ users
        line, right, common = (
            np.repeat(np.arange(shared.shape[0]), np.diff(shared.indptr)),
            shared.indices,
            shared.data,
        )
        values = common / np.sqrt(self.counts[start + line] * self.counts[right]) * common / (common + shrink)
        values[start + line == right] = 0.0
        cosines = csr_array((values.astype(np.float32), right, shared.indptr), shape=shared.shape)
        cosines.eliminate_zeros()
        return cosines

    @property
    def detail(self) -> str:
        """The parameters."""
        return self._described(f"shrink {self.shrink:g}")

    @property
    def fitted(self) -> object:
        """The similarity."""
        return self.similarity

    def unscaled(self, histories: Histories) -> Float:
        """Return the summed similarities of all items to each history, (b, n)."""
        scores = decayed_histories(histories, self.similarity.shape[0], self.decay) @ self.similarity
        return scores.toarray() if isinstance(scores, csr_array) else scores


class Ease(OfHistory):
    """EASE: the linear autoencoder with a zero diagonal, over the recency-weighted history.

    See `LinearAutoencoder`. Items without a training event have zero rows and columns in B and are left out. Where
    users and items both exceed `limit`, only the most popular items are modelled.

    Parameters
    ----------
    train
        Events to learn from.
    n
        Items.
    penalty
        L2 regularisation l.
    decay
        See `decayed_histories`.
    limit
        Side of the largest matrix to invert.
    power
        Of the popularity that scores are multiplied by.
    """

    name = "EASE + recency"

    def __init__(
        self,
        train: "Interactions",
        n: int,
        penalty: float = 250.0,
        decay: float = 0.7,
        limit: int = 15_000,
        power: float = 0.0,
    ) -> None:
        users = user_item_matrix(train, n)
        self.n, self.penalty, self.decay, self.power = n, penalty, decay, power
        self.counts = users.sum(axis=0, dtype=np.float64)
        items = np.flatnonzero(self.counts)
        if users.shape[0] > min(len(items), limit):
            items = np.sort(np.argsort(-self.counts, kind="stable")[: min(len(items), limit)])
        self.items = items
        self.model = LinearAutoencoder(csr_array(users[:, items]), penalty)

    @property
    def parameters(self) -> tuple[float, float, float]:
        """Penalty, decay and power."""
        return self.penalty, self.decay, self.power

    @property
    def detail(self) -> str:
        """The parameters; the number of items where not all with an event are modelled."""
        limited = len(self.items) < np.count_nonzero(self.counts)
        return self._described(
            f"penalty {self.penalty:g}" + (f", the {len(self.items):,} most popular items" if limited else "")
        )

    @property
    def fitted(self) -> object:
        """The linear autoencoder."""
        return self.model

    def unscaled(self, histories: Histories) -> Float:
        """Return the scores of all items for each history, (b, n); 0 for those without a training event."""
        history = csr_array(decayed_histories(histories, self.n, self.decay)[:, self.items])
        scores = np.zeros((len(histories), self.n), np.float32)
        scores[:, self.items] = self.model.scores(history)
        return scores


def user_item_matrix(events: "Interactions", n: int) -> csr_array:
    """Return the binary user-item matrix of events with positive weight, (users, n) float32."""
    frame = with_weights(events)
    frame = frame[frame["weight"] > 0]
    user, _ = pd.factorize(frame["user_id"])
    cells = (np.ones(len(frame), np.float32), (user, frame["row"].to_numpy()))
    return (csr_array(cells, shape=(int(user.max(initial=-1)) + 1, n)) > 0).astype(np.float32)


def decayed_histories(histories: Histories, n: int, decay: float) -> csr_array:
    """Return recency weights (b, n): ``decay`` to the power of the timestamps since each item's last event.

    Distinct timestamps are counted, so that the items of one basket weigh the same.
    """
    frame = flat(histories)
    frame = frame[frame["weight"] > 0]
    query, row = frame["query"].to_numpy(np.int64), frame["row"].to_numpy(np.int64)
    times = frame["timestamp"].to_numpy()
    moment = np.cumsum(np.r_[True, (query[1:] != query[:-1]) | (times[1:] != times[:-1])][: len(query)])
    last = np.searchsorted(query, query, side="right") - 1  # of the same history
    # of an item's events the latest counts, which is the last one
    cells, latest = np.unique((query * n + row)[::-1], return_index=True)
    age = (moment[last] - moment)[::-1][latest]
    return csr_array(((decay**age).astype(np.float32), np.divmod(cells, n)), shape=(len(histories), n))
