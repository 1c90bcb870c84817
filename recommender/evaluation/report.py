"""What was measured: every figure with its interval, and beside the product's own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.evaluation.bootstrap import Interval, bootstrap
from recommender.evaluation.metrics import RANKING
from recommender.evaluation.rankers import HYBRID
from recommender.evaluation.table import table

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One ranker's figures.

    Attributes
    ----------
    name, group
        See `Ranker`.
    values
        Candidates ("all", "cold", "warm") to (q, len(RANKING)); NaN where a query has nothing right among them.
    coverage
        Share of the n items in at least one list over all candidates.
    novelty
        Mean surprise of the items in them, in bits.
    diversity
        How unlike two items of a list are, one minus their cosine.
    popular_share
        Share of the places that go to the most popular tenth.
    seconds
        To rank all queries, fitting left out.
    """

    name: str
    group: str
    values: Mapping[str, Values]
    coverage: float
    novelty: float
    diversity: float
    popular_share: float
    seconds: float


@dataclass(frozen=True)
class EvaluationReport:
    """What ranking for q customer-moments showed.

    Attributes
    ----------
    k
        Length of the lists.
    customers
        (q,) whose query each line of the values is; bootstrap intervals draw customers.
    rankers
        What was compared, `HYBRID` first.
    facts
        The setting, to be printed: n, cuts, choices, share of them cold; of one cut what each part is worth.
    """

    k: int
    customers: NDArray[np.object_]
    rankers: tuple[Measured, ...]
    facts: Mapping[str, Any]

    @classmethod
    def pool(cls, reports: Sequence["EvaluationReport"]) -> "EvaluationReport":
        """Join the reports of several cuts; a customer who was asked at several is still one customer."""
        reports = [report for report in reports if len(report.customers)] or reports[:1]
        first = reports[0]
        names = [c.name for c in first.rankers if all(c.name in r.names for r in reports)]
        rankers = tuple(_pooled([report[name] for report in reports]) for name in names)
        return cls(first.k, np.concatenate([r.customers for r in reports]), rankers, _joined(reports))

    @property
    def names(self) -> list[str]:
        """What was compared."""
        return [ranker.name for ranker in self.rankers]

    def __getitem__(self, name: str) -> Measured:
        return next(ranker for ranker in self.rankers if ranker.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single queries: what a manifest and ``--json`` hold."""
        return {
            "k": self.k,
            "queries": len(self.customers),
            "customers": len(np.unique(self.customers)),
            **self.facts,
            "rankers": self._contenders(),
        }

    def to_table(self) -> str:
        """Return the figures as lines of text."""
        return table(self.to_dict())

    def _contenders(self) -> dict[str, Any]:
        """One bootstrap for all figures, so that every interval rests on the same draws of customers."""
        hybrid = self[HYBRID].values
        pairs = [(c, kind, values) for c in self.rankers for kind, values in c.values.items()]
        columns = [block for _, kind, values in pairs for block in (values, hybrid[kind] - values)]
        intervals = iter(bootstrap(np.hstack(columns), self.customers))
        figures = {ranker.name: _overview(ranker) for ranker in self.rankers}
        for ranker, kind, _ in pairs:
            own, ahead = (list(islice(intervals, len(RANKING))) for _ in range(2))
            figures[ranker.name][kind] = dict(zip(RANKING, map(_figure, own, ahead), strict=True))
        return figures


def _overview(ranker: Measured) -> dict[str, Any]:
    return {
        "group": ranker.group,
        "coverage": round(ranker.coverage, 4),
        "novelty": _short(ranker.novelty),
        "diversity": _short(ranker.diversity),
        "popular_share": _short(ranker.popular_share),
        "seconds": round(ranker.seconds, 2),
    }


def _figure(own: Interval, difference: Interval) -> dict[str, Any]:
    """One figure, and by how much the hybrid exceeds it."""
    ahead = {"mean": difference.mean, "low": difference.low, "high": difference.high}
    numbers = {name: _short(value) for name, value in asdict(own).items()}
    return numbers | {"hybrid_lead": {name: _short(value) for name, value in ahead.items()}}


def _short(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 6)


def _pooled(parts: Sequence[Measured]) -> Measured:
    return Measured(
        parts[0].name,
        parts[0].group,
        {kind: np.concatenate([part.values[kind] for part in parts]) for kind in parts[0].values},
        float(np.mean([part.coverage for part in parts])),
        float(np.mean([part.novelty for part in parts])),
        float(np.mean([part.diversity for part in parts])),
        float(np.mean([part.popular_share for part in parts])),
        sum(part.seconds for part in parts),
    )


def _joined(reports: Sequence[EvaluationReport]) -> dict[str, Any]:
    choices = sum(report.facts["choices"] for report in reports)
    cold = sum(report.facts["choices"] * report.facts["cold_share"] for report in reports)
    return {
        "n": reports[0].facts["n"],
        "cuts": [cut for report in reports for cut in report.facts["cuts"]],
        "choices": choices,
        "cold_share": round(cold / max(choices, 1), 4),
    }
