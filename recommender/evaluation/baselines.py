"""Baseline rankers: popularity (all time and recent), ItemKNN and EASE with recency-weighted histories."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_array

from recommender.evaluation.queries import with_weights

if TYPE_CHECKING:
    from recommender.catalog import Interactions

Scores = NDArray[np.float64]
Histories = Sequence[pd.DataFrame]


class Baseline(Protocol):
    """A ranker without blocks: fitted in its constructor, it scores every item for a history."""

    name: str

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
    """

    def __init__(self, train: "Interactions", n: int, days: int | None = None) -> None:
        self.name = "popularity" if days is None else f"popularity, last {days} days"
        frame = with_weights(train)
        if days is not None and len(frame):
            frame = frame[frame["timestamp"] > frame["timestamp"].max() - pd.Timedelta(days=days)]
        weight = frame["weight"].clip(lower=0).to_numpy(np.float64)
        self.counts: Scores = np.bincount(frame["row"], weight, minlength=n).astype(np.float64)

    def scores(self, histories: Histories) -> Scores:
        """Return the same scores for each history, (b, n)."""
        return np.tile(self.counts, (len(histories), 1))


class ItemKNN:
    """Item-based collaborative filtering: shrunk cosine over users, recency-weighted history.

    s(i, j) = c_ij / sqrt(n_i n_j) * c_ij / (c_ij + shrink), c_ij = users of both, n_i = users of i;
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
    """

    name = "ItemKNN + recency"

    def __init__(self, train: "Interactions", n: int, shrink: float = 10.0, decay: float = 0.6) -> None:
        users = user_item_matrix(train, n)
        shared = (users.T @ users).tocoo()
        counts = users.sum(axis=0)
        different = shared.coords[0] != shared.coords[1]
        left, right, common = shared.coords[0][different], shared.coords[1][different], shared.data[different]
        values = common / np.sqrt(counts[left] * counts[right]) * common / (common + shrink)
        self.similarity = csr_array((values, (left, right)), shape=(n, n))
        self.decay = decay

    def scores(self, histories: Histories) -> Scores:
        """Return the scores of all items by their similarity to each history, (b, n)."""
        return (decayed_histories(histories, self.similarity.shape[0], self.decay) @ self.similarity).toarray()


class Ease:
    """EASE: the linear autoencoder with a zero diagonal, over the recency-weighted history.

    B = I - P diag(P)^-1 with P = (X'X + l I)^-1 (Steck, "Embarrassingly shallow autoencoders", WWW 2019).
    Exact, at the cost of the smaller side: items without a training event have zero rows and columns in B and
    are left out; where users are fewer than the other items, P is never made but applied by Woodbury's identity
    P = (I - X' (XX' + l I)^-1 X) / l. Where both sides exceed `limit`, only the most popular items are modelled.

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
    """

    name = "EASE + recency"

    def __init__(
        self, train: "Interactions", n: int, penalty: float = 250.0, decay: float = 0.7, limit: int = 15_000
    ) -> None:
        users = user_item_matrix(train, n)
        self.n, self.penalty, self.decay = n, penalty, decay
        counts = users.sum(axis=0)
        items = np.flatnonzero(counts)
        self.by_user = users.shape[0] <= min(len(items), limit)
        if not self.by_user:
            items = np.sort(np.argsort(-counts, kind="stable")[: min(len(items), limit)])
        self.items = items
        self.users = csr_array(users[:, items])
        gram = self.users @ self.users.T if self.by_user else self.users.T @ self.users
        self.inverse = _inverse(gram.toarray(), penalty)
        self.diagonal = self._diagonal()

    def scores(self, histories: Histories) -> Scores:
        """Return the scores of all items for each history, (b, n); 0 for those without a training event."""
        history = csr_array(decayed_histories(histories, self.n, self.decay)[:, self.items])
        scores = np.zeros((len(histories), self.n))
        scores[:, self.items] = history.toarray() - self._times_inverse(history) / self.diagonal
        return scores

    def _times_inverse(self, history: csr_array) -> Scores:
        if not self.by_user:
            return history @ self.inverse
        half = (history @ self.users.T) @ self.inverse
        return (history.toarray() - half @ self.users) / self.penalty

    def _diagonal(self) -> Scores:
        if not self.by_user:
            return np.diag(self.inverse).copy()
        columns, explained = self.users.T.tocsr(), np.zeros(len(self.items))
        for start in range(0, len(self.items), 1024):
            chunk = columns[start : start + 1024]
            explained[start : start + 1024] = chunk.multiply(chunk @ self.inverse).sum(axis=1)
        return (1 - explained) / self.penalty


def standard_baselines(train: "Interactions", n: int) -> list[Baseline]:
    """Return the four baselines that need events only, fitted: popularity, recent popularity, ItemKNN and EASE."""
    return [Popularity(train, n), Popularity(train, n, days=30), ItemKNN(train, n), Ease(train, n)]


def user_item_matrix(events: "Interactions", n: int) -> csr_array:
    """Return the binary user-item matrix of events with positive weight, (users, n) float64."""
    frame = with_weights(events)
    frame = frame[frame["weight"] > 0]
    user, _ = pd.factorize(frame["user_id"])
    cells = (np.ones(len(frame)), (user, frame["row"].to_numpy()))
    return (csr_array(cells, shape=(int(user.max(initial=-1)) + 1, n)) > 0).astype(np.float64)


def decayed_histories(histories: Histories, n: int, decay: float) -> csr_array:
    """Return recency weights (b, n): ``decay`` to the power of the timestamps since each item's last event.

    Distinct timestamps are counted, so that the items of one basket weigh the same.
    """
    frame = pd.concat(list(histories), keys=range(len(histories)), names=["query"]).reset_index("query")
    frame = frame[frame["weight"] > 0]
    age = frame.groupby("query")["timestamp"].rank("dense", ascending=False) - 1
    latest = frame.assign(age=age).groupby(["query", "row"], as_index=False)["age"].min()
    cells = (decay ** latest["age"].to_numpy(), (latest["query"].to_numpy(), latest["row"].to_numpy()))
    return csr_array(cells, shape=(len(histories), n))


def _inverse(gram: Scores, penalty: float) -> Scores:
    """Invert a symmetric matrix plus a diagonal in place by Cholesky: a third of a general solver's cost."""
    if not len(gram):
        return gram
    gram[np.diag_indices_from(gram)] += penalty
    factor, _ = dpotrf(gram.T, lower=1, overwrite_a=1)
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    return inverse + np.tril(inverse, -1).T
