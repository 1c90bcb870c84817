"""Fits the profile tower: what users with the same attributes choose more than others do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.catalog import Interactions
from recommender.core.blocks import Double, Float
from recommender.core.segment import Segment
from recommender.towers.category import ColumnVocabulary
from recommender.towers.profile import ProfileTower
from training.profile.values import context_vocabularies, contexts_of, fit_vocabularies, value_matrix

PERMUTATIONS, NULL_RIDGE = 5, 0.3
SHRINKAGE = 50.0  # choices: a value with so many of them has half of its own mean


@dataclass(frozen=True)
class ProfileShape:
    """How a profile tower is fitted.

    Parameters
    ----------
    ridge
        Of the items' side, as a share of the mean variance of the chosen items' vectors.
    events
        See `ProfileTower`.
    """

    ridge: float
    events: float

    def to_dict(self) -> dict[str, float | None]:
        """Return the shape as JSON values; infinity is None."""
        return {name: value if np.isfinite(value) else None for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, exported: Mapping[str, float | None]) -> "ProfileShape":
        """Return the shape of an exported dict."""
        return cls(**{name: np.inf if value is None else value for name, value in exported.items()})

    def fit(self, segment: Segment, interactions: Interactions) -> ProfileTower | None:
        """Return the tower of the interactions' users; None if no value is shared by enough of them."""
        return ProfileFit.of(segment, interactions).tower(self)


@dataclass(frozen=True)
class ProfileFit:
    """Centroids of the choices of users with attributes, from which a tower of any shape is solved.

    Parameters
    ----------
    user, context
        The vocabularies of the users' attributes and of the context of their choices.
    centroids
        Of each value, the mean item vector of its users' choices less that of all, shrunk, shape (V, d).
    covariance
        Of the chosen items' vectors, shape (d, d).
    """

    user: tuple[ColumnVocabulary, ...]
    context: tuple[ColumnVocabulary, ...]
    centroids: Double
    covariance: Double

    @classmethod
    def of(cls, segment: Segment, interactions: Interactions) -> "ProfileFit":
        """Fit the centroids to the choices, each product of a user (in a context) once."""
        d, users = segment.layout.d, interactions.users
        nothing = cls((), (), np.zeros((0, d)), np.zeros((d, d)))
        if users is None and not interactions.context:
            return nothing
        chosen = _Choices.of(interactions)
        attributes = [None] * len(chosen.user_ids) if users is None else users.attributes_of(chosen.user_ids)
        user = fit_vocabularies(attributes, {} if users is None else users.kinds)
        first = sum(vocabulary.size for vocabulary in user)
        context = context_vocabularies(chosen.contexts, chosen.user_of, first)
        size = sum(vocabulary.size for vocabulary in (*user, *context))
        # a row for each user in each context
        groups, group_of = np.unique(
            chosen.user_of * len(chosen.distinct) + chosen.context_of, return_inverse=True
        )
        of_user, of_context = np.divmod(groups, max(len(chosen.distinct), 1))
        values = value_matrix(user, attributes, size)[of_user]
        values = values + value_matrix(context, chosen.distinct, size)[of_context]
        choices = csr_array((np.ones(len(group_of)), (group_of, chosen.rows)), shape=(len(groups), segment.n))
        known = np.flatnonzero(np.diff(values.indptr))
        if not len(known):
            return nothing
        return cls(user, context, *_fitted((*user, *context), values[known], choices[known], segment.vectors))

    def tower(self, shape: ProfileShape) -> ProfileTower | None:
        """Return the tower: the centroids, divided by the covariance plus a ridge; None if they are all 0.

        To first order this is the multinomial logit of the choices (linear discriminant analysis): directions in
        which all items differ say little. Scaled such that the term's standard deviation is 1 on average.
        """
        if not self.centroids.any():
            return None
        table = _divided(self.centroids, self.covariance, shape.ridge)
        variances = np.einsum("vd,de,ve->v", table, self.covariance, table)
        table /= np.sqrt(variances[variances > 0].mean())
        return ProfileTower(self.user, self.context, table.astype(np.float32), shape.events)


class _Choices(NamedTuple):
    """Different choices: the row of each, its user and its context; and the different users and contexts."""

    rows: NDArray[np.int32]
    user_ids: NDArray[np.object_]
    user_of: NDArray[np.intp]
    contexts: pd.DataFrame
    distinct: list[dict[str, Any]]
    context_of: NDArray[np.intp]

    @classmethod
    def of(cls, interactions: Interactions) -> "_Choices":
        frame, contexts = interactions.frame, contexts_of(interactions)
        codes = np.zeros(len(frame), dtype=np.intp)
        if len(contexts.columns):
            codes = contexts.groupby([*contexts], dropna=False, sort=False).ngroup().to_numpy().astype(np.intp)
        keys = pd.DataFrame({"user": frame["user_id"], "row": frame["row"], "context": codes})
        positive = np.flatnonzero(interactions.event_weights() > 0)
        used = positive[~keys.iloc[positive].duplicated().to_numpy(bool)]
        user_ids, user_of = np.unique(frame["user_id"].to_numpy(object)[used], return_inverse=True)
        _, first, context_of = np.unique(codes[used], return_index=True, return_inverse=True)
        contexts = contexts.iloc[used].reset_index(drop=True)
        distinct: Any = contexts.iloc[first].to_dict("records") if len(contexts.columns) else [{}]
        return cls(frame["row"].to_numpy()[used], user_ids, user_of, contexts, distinct, context_of)


def _fitted(
    vocabularies: Sequence[ColumnVocabulary], values: csr_array, choices: csr_array, vectors: Float
) -> tuple[Double, Double]:
    """Return the shrunk centroids, shape (V, d), and the covariance of the chosen items, shape (d, d).

    Parameters
    ----------
    values
        Of each group of choices, shape (groups, V).
    choices
        How often each group chose each item, shape (groups, n).
    vectors
        Of the items, shape (n, d).
    """
    mean, covariance = moments(vectors, choices.sum(axis=0))

    def centroids(values: csr_array) -> Double:
        return _centroids(values, choices, vectors, mean)

    return _shrunk(vocabularies, centroids, values, covariance), covariance


def _centroids(values: csr_array, choices: csr_array, vectors: Float, mean: Double) -> Double:
    """Return the centroid of each value less the mean, shape (V, d).

    Values of several attributes are fitted together, by ridge regression, so that correlated ones do not count
    twice.
    """
    sizes = choices.sum(axis=1)
    weighted = values * sizes[:, None]
    sums = (values.T @ choices) @ vectors.astype(np.float64) - np.outer(weighted.sum(axis=0), mean)
    gram = (values.T @ weighted).toarray() + SHRINKAGE * np.eye(values.shape[1])
    solved: Double = np.linalg.solve(gram, sums)
    return solved


def _shrunk(
    vocabularies: Sequence[ColumnVocabulary],
    centroids: Callable[[csr_array], Double],
    values: csr_array,
    covariance: Double,
) -> Double:
    """Return the centroids, those of each column shrunk by what values assigned to users at random would give.

    The positive part of James and Stein's estimator, its variance by permutation: choices of one user are not
    independent of each other. Columns that say nothing become 0.
    """
    generator = np.random.default_rng(0)
    fitted = centroids(values)
    frequency = np.asarray(values.sum(axis=0))

    def sizes(centroids: Double) -> Double:
        squares = frequency * np.einsum("vd,vd->v", centroids, _divided(centroids, covariance, NULL_RIDGE))
        return np.array([squares[v.first : v.first + v.size].sum() for v in vocabularies])

    orders = (generator.permutation(values.shape[0]) for _ in range(PERMUTATIONS))
    by_chance = np.mean([sizes(centroids(values[order])) for order in orders], axis=0)
    observed = sizes(fitted)
    factors = np.maximum(0.0, 1.0 - np.divide(by_chance, observed, out=np.ones(len(observed)), where=observed > 0))
    shrunk: Double = fitted * np.repeat(factors, [v.size for v in vocabularies])[:, None]
    return shrunk


def _divided(centroids: Double, covariance: Double, ridge: float) -> Double:
    """Return the centroids, divided by the covariance plus a share of its mean variance, shape (V, d)."""
    d = len(covariance)
    divided: Double = np.linalg.solve(covariance + ridge * np.trace(covariance) / d * np.eye(d), centroids.T).T
    return divided


def moments(vectors: Float, counts: Double) -> tuple[Double, Double]:
    """Return mean and covariance of item vectors, weighted by counts, shapes (d,) and (d, d)."""
    shares = counts / counts.sum()
    mean = shares @ vectors
    chosen = np.flatnonzero(counts)
    centred = (vectors[chosen] - mean) * np.sqrt(shares[chosen])[:, None]
    return mean, centred.T @ centred
