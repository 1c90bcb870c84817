"""Intervals of ratios of sums over clusters by the delta method, honest where few clusters decide."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums, and the influence of each cluster on it.

    Attributes
    ----------
    value
        Σ numerators / Σ denominators; NaN where the latter is 0.
    influences
        (c,) the sum of numerator − value · denominator of each cluster, by Σ denominators.
    """

    value: float
    influences: Values

    @classmethod
    def of(cls, numerators: Values, denominators: Values, clusters: Codes) -> "Ratio":
        """Return the ratio of two columns, (r,), whose rows belong to clusters numbered from 0."""
        total = denominators.sum()
        if not total > 0:
            return cls(float("nan"), np.full(int(clusters.max(initial=0)) + 1, np.nan))
        value = float(numerators.sum() / total)
        return cls(value, np.bincount(clusters, numerators - value * denominators) / total)

    @property
    def effective_clusters(self) -> float:
        """How many clusters the standard error comes from: (Σψ²)² / Σψ⁴ of the influences ψ."""
        squares = self.influences**2
        fourth = float((squares**2).sum())
        return float(squares.sum() ** 2 / fourth) if fourth > 0 else 0.0

    @property
    def std_error(self) -> float:
        """The standard error, of independent clusters."""
        n = len(self.influences)
        return float(np.sqrt(n / max(n - 1, 1) * (self.influences**2).sum()))

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval, by Student's t of the effective number of clusters.

        As many degrees of freedom as Satterthwaite's of a sum of squares ("An Approximate Distribution of
        Estimates of Variance Components", Biometrics 1946), so that a few heavy clusters make it wide.
        """
        from scipy.stats import t as student  # half a second, which other evaluations need not wait for

        width = float(student.ppf(0.975, max(self.effective_clusters - 1, 1.0))) * self.std_error
        return self.value - width, self.value + width

    def minus(self, other: "Ratio") -> "Ratio":
        """Return the difference to a ratio over the same clusters."""
        size = max(len(self.influences), len(other.influences))
        first, second = (np.pad(each.influences, (0, size - len(each.influences))) for each in (self, other))
        return Ratio(self.value - other.value, first - second)
