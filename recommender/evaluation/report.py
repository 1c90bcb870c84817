"""The report of an evaluation: every metric with its interval, and its paired difference from the hybrid."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.evaluation import frames
from recommender.evaluation.bootstrap import Interval, bootstrap
from recommender.evaluation.metrics import RANKING
from recommender.evaluation.rankers import HYBRID
from recommender.evaluation.table import table

if TYPE_CHECKING:
    from recommender.evaluation.ablation import Ablation

Values = NDArray[np.float64]


@dataclass(frozen=True)
class RankerMetrics:
    """The metrics of one ranker.

    Attributes
    ----------
    name, group
        See `Ranker`.
    values
        Candidates ("all", "cold", "warm") to (q, len(RANKING)); NaN where a query has no relevant item among them.
    coverage, novelty, diversity, popular_share
        Of the lists over all candidates, see `recommender.evaluation.beyond_accuracy`.
    seconds
        To rank all queries, without fitting.
    detail
        Parameters of a baseline; of several splits, each that occurs.
    cold_shares
        (q,) the share of each list's places that cold products have; None where it was not measured.
    """

    name: str
    group: str
    values: Mapping[str, Values]
    coverage: float
    novelty: float
    diversity: float
    popular_share: float
    seconds: float
    detail: str = ""
    cold_shares: Values | None = None


@dataclass(frozen=True, repr=False)
class EvaluationReport:
    """The metrics of several rankers over q queries.

    Attributes
    ----------
    k
        Length of the lists.
    user_ids
        (q,) the user of each query; bootstrap intervals draw users.
    rankers
        Compared, `HYBRID` first.
    n
        Products ranked.
    interactions, cold_interactions
        Held-out interactions, and those with cold products.
    split_dates
        Where training ends and testing begins, ISO 8601; empty for a split by user.
    ablation
        Recall by slice and without each term of the score; None where it was not measured.
    pairs
        Recall of pairs of products, see `recommender.evaluation.item_pairs`; None where it was not measured.
    include_history
        Whether all held-out interactions count, or those with items that are new to the user.
    in_sample
        Whether the recommender has learned from some of the held-out interactions.
    cold_products
        Products without events before the split.
    """

    k: int
    user_ids: NDArray[np.object_]
    rankers: tuple[RankerMetrics, ...]
    n: int
    interactions: int
    cold_interactions: int
    split_dates: tuple[str, ...] = ()
    ablation: "Ablation | None" = None
    pairs: Mapping[str, Any] | None = None
    include_history: bool = False
    in_sample: bool = False
    cold_products: int = 0

    @classmethod
    def pool(cls, reports: Sequence["EvaluationReport"]) -> "EvaluationReport":
        """Join the reports of several splits; the queries of one user at several splits are drawn together."""
        reports = [report for report in reports if len(report.user_ids)] or reports[:1]
        first = reports[0]
        names = [name for name in first.names if all(name in report.names for report in reports)]
        return replace(
            first,
            user_ids=np.concatenate([report.user_ids for report in reports]),
            rankers=tuple(_pooled([report[name] for report in reports]) for name in names),
            interactions=sum(report.interactions for report in reports),
            cold_interactions=sum(report.cold_interactions for report in reports),
            cold_products=round(np.mean([report.cold_products for report in reports])),
            split_dates=tuple(date for report in reports for date in report.split_dates),
            ablation=None,
            pairs=None,
            in_sample=any(report.in_sample for report in reports),
        )

    @property
    def names(self) -> list[str]:
        """The names of the rankers."""
        return [ranker.name for ranker in self.rankers]

    def __getitem__(self, name: str) -> RankerMetrics:
        return next(ranker for ranker in self.rankers if ranker.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single queries: what a manifest and ``--json`` hold."""
        figures = {
            "k": self.k,
            "queries": len(self.user_ids),
            "users": len(np.unique(self.user_ids)),
            "n": self.n,
            "split_dates": [*self.split_dates],
            "interactions": self.interactions,
            "cold_share": round(self.cold_interactions / max(self.interactions, 1), 4),
            "cold_product_share": round(self.cold_products / max(self.n, 1), 4),
            "include_history": self.include_history,
            "in_sample": self.in_sample,
            "rankers": self._rankers(),
        }
        figures |= {} if self.ablation is None else {"ablation": self.ablation.to_dict()}
        return figures | ({} if self.pairs is None else {"pairs": dict(self.pairs)})

    def to_frame(self, metric: str = "recall", candidates: str = "all") -> pd.DataFrame:
        """Return one row per ranker: the metric, its 95 % interval, and the hybrid's lead with its interval.

        Parameters
        ----------
        metric
            recall, ndcg, hit_rate or mrr.
        candidates
            "all" products, or only those that were "cold" or "warm" before the split.
        """
        return frames.rankers(self.to_dict(), metric, candidates)

    def to_table(self) -> str:
        """Return the metrics as lines of text."""
        return table(self.to_dict())

    def __repr__(self) -> str:
        kind = ", in-sample" if self.in_sample else ""
        return f"<EvaluationReport: {len(self.rankers)} rankers, {len(self.user_ids):,} queries, k={self.k}{kind}>"

    def _repr_html_(self) -> str:
        return str(self.to_frame().round(4).to_html())

    def _rankers(self) -> dict[str, Any]:
        """Return all metrics by one bootstrap, so that every interval is over the same draws of users."""
        hybrid = self[HYBRID].values
        pairs = [(ranker, name, values) for ranker in self.rankers for name, values in ranker.values.items()]
        columns = [block for _, name, values in pairs for block in (values, hybrid[name] - values)]
        intervals = iter(bootstrap(np.hstack(columns), self.user_ids))
        figures = {ranker.name: _overview(ranker) for ranker in self.rankers}
        for ranker, name, _ in pairs:
            value, lead = (list(islice(intervals, len(RANKING))) for _ in range(2))
            figures[ranker.name][name] = dict(zip(RANKING, map(_figure, value, lead), strict=True))
        return figures


def _overview(ranker: RankerMetrics) -> dict[str, Any]:
    return {
        "group": ranker.group,
        "detail": ranker.detail,
        "coverage": round(ranker.coverage, 4),
        "novelty": _rounded(ranker.novelty),
        "diversity": _rounded(ranker.diversity),
        "popular_share": _rounded(ranker.popular_share),
        "cold_share": None if ranker.cold_shares is None else _rounded(_mean(ranker.cold_shares)),
        "seconds": round(ranker.seconds, 2),
    }


def _figure(value: Interval, difference: Interval) -> dict[str, Any]:
    """Return a metric with its interval, and the hybrid's lead over it."""
    lead = {"mean": difference.mean, "low": difference.low, "high": difference.high}
    numbers = {name: _rounded(number) for name, number in asdict(value).items()}
    return numbers | {"hybrid_lead": {name: _rounded(number) for name, number in lead.items()}}


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 6)


def _mean(values: Values) -> float:
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else float("nan")


def _pooled(parts: Sequence[RankerMetrics]) -> RankerMetrics:
    shares = [part.cold_shares for part in parts if part.cold_shares is not None]
    return RankerMetrics(
        parts[0].name,
        parts[0].group,
        {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values},
        float(np.mean([part.coverage for part in parts])),
        float(np.mean([part.novelty for part in parts])),
        float(np.mean([part.diversity for part in parts])),
        float(np.mean([part.popular_share for part in parts])),
        sum(part.seconds for part in parts),
        " / ".join(dict.fromkeys(part.detail for part in parts)),
        np.concatenate(shares) if len(shares) == len(parts) else None,
    )
