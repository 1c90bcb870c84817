"""What was measured: every figure with its interval, and beside the product's own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.evaluation.bootstrap import Interval, bootstrap
from recommender.evaluation.contenders import HYBRID
from recommender.evaluation.metrics import RANKING
from recommender.evaluation.table import table

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One contender's figures.

    Attributes
    ----------
    name, group
        See `Contender`.
    values
        Candidates ("all", "cold", "warm") to (q, len(RANKING)); NaN where a query has nothing right among them.
    coverage
        Share of the n items in at least one list over all candidates.
    novelty
        Mean surprise of the items in them, in bits.
    seconds
        To rank all queries, fitting left out.
    """

    name: str
    group: str
    values: Mapping[str, Values]
    coverage: float
    novelty: float
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
    contenders
        What was compared, `HYBRID` first.
    facts
        The setting, to be printed: n, cuts, choices, share of them cold.
    """

    k: int
    customers: NDArray[np.object_]
    contenders: tuple[Measured, ...]
    facts: Mapping[str, Any]

    @classmethod
    def pool(cls, reports: Sequence["EvaluationReport"]) -> "EvaluationReport":
        """Join the reports of several cuts; a customer who was asked at several is still one customer."""
        reports = [report for report in reports if len(report.customers)] or reports[:1]
        first = reports[0]
        names = [c.name for c in first.contenders if all(c.name in r.names for r in reports)]
        contenders = tuple(_pooled([report[name] for report in reports]) for name in names)
        return cls(first.k, np.concatenate([r.customers for r in reports]), contenders, _joined(reports))

    @property
    def names(self) -> list[str]:
        """What was compared."""
        return [contender.name for contender in self.contenders]

    def __getitem__(self, name: str) -> Measured:
        return next(contender for contender in self.contenders if contender.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single queries: what a manifest and ``--json`` hold."""
        return {
            "k": self.k,
            "queries": len(self.customers),
            "customers": len(np.unique(self.customers)),
            **self.facts,
            "contenders": {contender.name: self._figures(contender) for contender in self.contenders},
        }

    def to_table(self) -> str:
        """Return the figures as lines of text."""
        return table(self.to_dict())

    def _figures(self, contender: Measured) -> dict[str, Any]:
        hybrid = self[HYBRID].values
        figures: dict[str, Any] = {"group": contender.group}
        for candidates, values in contender.values.items():
            both = np.hstack([values, hybrid[candidates] - values])
            intervals = bootstrap(both, self.customers)
            figures[candidates] = {
                name: _figure(own, difference)
                for name, own, difference in zip(
                    RANKING, intervals[: len(RANKING)], intervals[len(RANKING) :], strict=True
                )
            }
        return figures | {
            "coverage": round(contender.coverage, 4),
            "novelty": _short(contender.novelty),
            "seconds": round(contender.seconds, 2),
        }


def _figure(own: Interval, difference: Interval) -> dict[str, Any]:
    """One figure, and by how much the hybrid exceeds it."""
    ahead = {"mean": difference.mean, "low": difference.low, "high": difference.high}
    numbers = {name: _short(value) for name, value in asdict(own).items()}
    return numbers | {"hybrid_ahead": {name: _short(value) for name, value in ahead.items()}}


def _short(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 6)


def _pooled(parts: Sequence[Measured]) -> Measured:
    candidates = [name for name in parts[0].values if all(name in part.values for part in parts)]
    return Measured(
        parts[0].name,
        parts[0].group,
        {name: np.concatenate([part.values[name] for part in parts]) for name in candidates},
        float(np.mean([part.coverage for part in parts])),
        float(np.mean([part.novelty for part in parts])),
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
