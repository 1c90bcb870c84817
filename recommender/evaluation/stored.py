"""Results of an evaluation by query: stored with a generation, without user ids, to compare two generations."""

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.errors import RequestError, nearest
from recommender.evaluation.bootstrap import Interval, bootstrap
from recommender.evaluation.metrics import RANKING

if TYPE_CHECKING:
    from recommender.bundle import Bundle
    from recommender.evaluation.report import EvaluationReport

PART, FILE = "evaluation", "queries.npz"
# Of the bundle's folder, beside the generations and in none of them: without it, a digest says nothing of a user.
KEY_FILE, KEY_BYTES = ".evaluation_key", 32
COLD_SHARE = "cold_share"  # the share of a list's places that new products have, if measured
_FORMAT = 1


@dataclass(frozen=True, repr=False)
class StoredEvaluation:
    """The metrics of every ranker for each of q queries.

    Attributes
    ----------
    k
        Length of the lists.
    users
        (q,) a digest of each query's user, ascending; equal in all generations of one bundle.
    rankers, candidates, metrics
        Names of the axes of `values`.
    values
        (rankers, candidates, q, metrics), NaN where a query has no relevant item among the candidates; the share
        of places that new products have is of lists over "all" candidates.
    """

    k: int
    users: NDArray[np.uint64]
    rankers: tuple[str, ...]
    candidates: tuple[str, ...]
    metrics: tuple[str, ...]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, report: "EvaluationReport", key: bytes) -> "StoredEvaluation":
        """Return the results of a report, its users as digests by the bundle's key, in the order of these."""
        users = np.array([_digest(key, user) for user in report.user_ids.tolist()], np.uint64)
        order = np.argsort(users, kind="stable")
        candidates = tuple(report.rankers[0].values)
        values = np.array([[ranker.values[name][order] for name in candidates] for ranker in report.rankers])
        metrics = tuple(RANKING)
        shares = [ranker.cold_shares[order] for ranker in report.rankers if ranker.cold_shares is not None]
        if len(shares) == len(report.rankers):
            column = np.full((*values.shape[:3], 1), np.nan)
            column[:, candidates.index("all"), :, 0] = shares
            values, metrics = np.concatenate([values, column], axis=3), (*metrics, COLD_SHARE)
        return cls(report.k, users[order], tuple(report.names), candidates, metrics, values)

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        return f"<StoredEvaluation: {len(self.rankers)} rankers, {len(self):,} queries, k={self.k}>"

    def of_ranker(
        self, ranker: str = "hybrid", metric: str = "recall", candidates: str = "all"
    ) -> NDArray[np.float64]:
        """Return a metric of one ranker by query, (q,); its mean without NaN is that of the report."""
        axes = (
            _position(self.rankers, ranker, "ranker"),
            _position(self.candidates, candidates, "candidate set"),
            slice(None),
            _position(self.metrics, metric, "metric"),
        )
        column: NDArray[np.float64] = self.values[axes]
        return column

    def to_frame(self, metric: str = "recall", candidates: str = "all") -> pd.DataFrame:
        """Return one row per query and one column per ranker; the index is the user's digest."""
        columns = {name: self.of_ranker(name, metric, candidates) for name in self.rankers}
        return pd.DataFrame(columns, index=pd.Index(self.users, name="user"))

    def save(self, folder: Path) -> None:
        """Write the results into the folder of a part."""
        names = {"rankers": self.rankers, "candidates": self.candidates, "metrics": self.metrics}
        about = json.dumps({"format": _FORMAT, "k": self.k, **names}).encode()
        text = np.frombuffer(about, np.uint8)
        np.savez_compressed(folder / FILE, users=self.users, values=self.values, about=text)

    @classmethod
    def open(cls, bundle: "Bundle") -> "StoredEvaluation | None":
        """Return the results that were published with a generation; None if there are none."""
        if not bundle.has(PART, FILE):
            return None
        with np.load(bundle.path(PART, FILE), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            rankers, candidates, metrics = (tuple(about[axis]) for axis in ("rankers", "candidates", "metrics"))
            return cls(about["k"], arrays["users"], rankers, candidates, metrics, arrays["values"])


@dataclass(frozen=True)
class PairedDifference:
    """A metric of two evaluations on the queries that they share.

    Attributes
    ----------
    queries
        Shared queries with a value in both.
    first, second
        Means over these.
    difference
        Of the second less the first, with its 95 % interval.
    """

    queries: int
    first: float
    second: float
    difference: Interval


def paired(
    first: StoredEvaluation,
    second: StoredEvaluation,
    metric: str = "recall",
    ranker: str | tuple[str, str] = "hybrid",
    candidates: str = "all",
) -> PairedDifference:
    """Compare two evaluations by the users whom both have, such as those of two generations of one bundle.

    Users are drawn with replacement, each with the difference of the two values. The events of a user may have
    become more between two fits; the difference is then one of the engine and of what it is measured on.

    Parameters
    ----------
    first, second
        From `Recommender.evaluation_queries`, of generations of one bundle, with lists of one length.
    metric
        recall, ndcg, hit_rate or mrr.
    ranker
        A row of the table, or one of each evaluation.
    candidates
        "all" products, or only those that were "cold" or "warm" before the split.

    Raises
    ------
    RequestError
        If the lists differ in length, the evaluations share no query, or a name is unknown.
    """
    if first.k != second.k:
        raise RequestError(f"the lists have {first.k} and {second.k} products; they must be equally long")
    left, right = (ranker, ranker) if isinstance(ranker, str) else ranker
    values = first.of_ranker(left, metric, candidates), second.of_ranker(right, metric, candidates)
    numbered = _by_occurrence(first.users), _by_occurrence(second.users)
    users, one, other = np.intersect1d(numbered[0], numbered[1], return_indices=True)
    a, b = values[0][one], values[1][other]
    known = ~np.isnan(a) & ~np.isnan(b)
    if not known.any():
        raise RequestError(
            "the evaluations share no query; those of two bundles, or of copies without the file "
            f"{KEY_FILE}, cannot be paired"
        )
    a, b = a[known], b[known]
    (difference,) = bootstrap((b - a)[:, None], users["user"][known].astype(object))
    return PairedDifference(len(a), float(a.mean()), float(b.mean()), difference)


def evaluation_key(root: Path) -> bytes:
    """Return the secret key of a bundle's folder, made on the first call; only its owner can read it."""
    path = root / KEY_FILE
    if not path.exists():
        draft = path.with_name(f"{KEY_FILE}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first
        finally:
            draft.unlink()
    return path.read_bytes()


def _digest(key: bytes, user: object) -> int:
    return int.from_bytes(hashlib.blake2b(str(user).encode(), digest_size=8, key=key).digest(), "big")


def _by_occurrence(users: NDArray[np.uint64]) -> NDArray[np.void]:
    """Return ascending users with a number for each of their queries, so that no pair occurs twice."""
    numbered = np.empty(len(users), dtype=[("user", np.uint64), ("query", np.int64)])
    numbered["user"] = users
    numbered["query"] = np.arange(len(users)) - np.searchsorted(users, users)
    return numbered


def _position(names: Sequence[str], name: str, what: str) -> int:
    if name not in names:
        raise RequestError(f"no {what} {name!r}; expected one of {', '.join(names)}", "", nearest(name, names))
    return names.index(name)
