"""What a recommender must beat: popularity, recent or not; ItemKNN and EASE with a decaying history."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_array

from recommender.evaluation.queries import weighed

if TYPE_CHECKING:
    from recommender.catalog import Interactions

Scores = NDArray[np.float64]
Histories = Sequence[pd.DataFrame]


class Baseline(Protocol):
    """Fitted when made; scores every item for a history."""

    name: str

    def scores(self, histories: Histories) -> Scores:
        """Score all n items for b histories, (b, n); see `Queries.histories`."""
        ...


class Popularity:
    """Events of every item, weighted by kind; the same for everybody. Negative kinds don't count."""

    def __init__(self, train: "Interactions", n: int, days: int | None = None) -> None:
        self.name = "popularity" if days is None else f"popularity, last {days} days"
        frame = weighed(train)
        if days is not None and len(frame):
            frame = frame[frame["timestamp"] > frame["timestamp"].max() - pd.Timedelta(days=days)]
        liked = frame["weight"].clip(lower=0).to_numpy(np.float64)
        self.counts: Scores = np.bincount(frame["row"], liked, minlength=n).astype(np.float64)

    def scores(self, histories: Histories) -> Scores:
        """Score all items alike for each history, (b, n)."""
        return np.tile(self.counts, (len(histories), 1))


class ItemKNN:
    """Cosine of items by their buyers, shrunk by how few they share, over the decayed history.

    s(i, j) = c_ij / sqrt(n_i n_j) * c_ij / (c_ij + shrink), c_ij = customers of both, n_i = customers of i;
    all neighbours (Sarwar et al., "Item-based collaborative filtering", WWW 2001; the shrinkage is Bell and
    Koren's, ICDM 2007). Costs the sum of squared history lengths.
    """

    name = "ItemKNN + recency"

    def __init__(self, train: "Interactions", n: int, shrink: float = 10.0, decay: float = 0.6) -> None:
        users = customer_items(train, n)
        both = (users.T @ users).tocoo()
        bought = users.sum(axis=0)
        apart = both.coords[0] != both.coords[1]
        left, right, common = both.coords[0][apart], both.coords[1][apart], both.data[apart]
        values = common / np.sqrt(bought[left] * bought[right]) * common / (common + shrink)
        self.similarity = csr_array((values, (left, right)), shape=(n, n))
        self.decay = decay

    def scores(self, histories: Histories) -> Scores:
        """Score all items by their similarity to each history, (b, n)."""
        return (decayed(histories, self.similarity.shape[0], self.decay) @ self.similarity).toarray()


class Ease:
    """The linear autoencoder with a zero diagonal, over the decayed history.

    B = I - P diag(P)^-1 with P = (X'X + l I)^-1 (Steck, "Embarrassingly shallow autoencoders", WWW 2019).
    Exact, at the cost of the smaller side: items without a training event have zero rows and columns in B and
    are left out; where customers are fewer than the other items, P is never made but applied by Woodbury's
    identity P = (I - X' (XX' + l I)^-1 X) / l. Where both sides exceed `limit`, only the items chosen most
    are modelled.
    """

    name = "EASE + recency"

    def __init__(
        self, train: "Interactions", n: int, penalty: float = 250.0, decay: float = 0.7, limit: int = 15_000
    ) -> None:
        users = customer_items(train, n)
        self.n, self.penalty, self.decay = n, penalty, decay
        bought = users.sum(axis=0)
        items = np.flatnonzero(bought)
        self.by_customer = users.shape[0] <= min(len(items), limit)
        if not self.by_customer:
            items = np.sort(np.argsort(-bought, kind="stable")[: min(len(items), limit)])
        self.items = items
        self.users = csr_array(users[:, items])
        gram = self.users @ self.users.T if self.by_customer else self.users.T @ self.users
        self.inverse = _inverse(gram.toarray(), penalty)
        self.diagonal = self._diagonal()

    def scores(self, histories: Histories) -> Scores:
        """Score all items for each history, (b, n); 0 for those without a training event."""
        history = csr_array(decayed(histories, self.n, self.decay)[:, self.items])
        scores = np.zeros((len(histories), self.n))
        scores[:, self.items] = history.toarray() - self._times_inverse(history) / self.diagonal
        return scores

    def _times_inverse(self, history: csr_array) -> Scores:
        if not self.by_customer:
            return history @ self.inverse
        half = (history @ self.users.T) @ self.inverse
        return (history.toarray() - half @ self.users) / self.penalty

    def _diagonal(self) -> Scores:
        if not self.by_customer:
            return np.diag(self.inverse).copy()
        columns, explained = self.users.T.tocsr(), np.zeros(len(self.items))
        for start in range(0, len(self.items), 1024):
            part = columns[start : start + 1024]
            explained[start : start + 1024] = part.multiply(part @ self.inverse).sum(axis=1)
        return (1 - explained) / self.penalty


def standard(train: "Interactions", n: int) -> list[Baseline]:
    """Fit the four baselines that need events alone."""
    return [Popularity(train, n), Popularity(train, n, days=30), ItemKNN(train, n), Ease(train, n)]


def customer_items(events: "Interactions", n: int) -> csr_array:
    """Who chose what (an event of positive weight), 0 or 1, (customers, n) float64."""
    frame = weighed(events)
    frame = frame[frame["weight"] > 0]
    customer, _ = pd.factorize(frame["user_id"])
    cells = (np.ones(len(frame)), (customer, frame["row"].to_numpy()))
    return (csr_array(cells, shape=(int(customer.max(initial=-1)) + 1, n)) > 0).astype(np.float64)


def decayed(histories: Histories, n: int, decay: float) -> csr_array:
    """History as weights (b, n): ``decay`` to the power of the moments since each item's latest event.

    Moments are the history's distinct timestamps, so one basket weighs alike throughout.
    """
    frame = pd.concat(list(histories), keys=range(len(histories)), names=["query"]).reset_index("query")
    frame = frame[frame["weight"] > 0]
    age = frame.groupby("query")["timestamp"].rank("dense", ascending=False) - 1
    latest = frame.assign(age=age).groupby(["query", "row"], as_index=False)["age"].min()
    cells = (decay ** latest["age"].to_numpy(), (latest["query"].to_numpy(), latest["row"].to_numpy()))
    return csr_array(cells, shape=(len(histories), n))


def _inverse(gram: Scores, penalty: float) -> Scores:
    """Invert a symmetric matrix plus a diagonal in place: a third of the work and memory of a general solver."""
    if not len(gram):
        return gram
    gram[np.diag_indices_from(gram)] += penalty
    factor, _ = dpotrf(gram.T, lower=1, overwrite_a=1)
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    return inverse + np.tril(inverse, -1).T
