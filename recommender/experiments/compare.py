"""Compare the arms of an experiment by visitor, day by day: `compare`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recommender.core.blocks import Double
from recommender.errors import RequestError
from recommender.experiments.sequential import MIN_NONZERO, confidence_sequence, p_value

# A pandas frame, or columns by name.
Columns = Any | Mapping[str, ArrayLike]
PLANNED = 20_000


@dataclass(frozen=True)
class ArmEffect:
    """What an arm adds to the mean per visitor of the control, at the end of each day.

    Parameters
    ----------
    arm
        Its name.
    estimate, low, high
        Difference of the means and its confidence sequence, which holds on all days together; NaN and infinite
        while an arm has fewer than 20 visitors with a value.
    p_values
        Valid on all days together.
    variance_reduction
        The share of the variance that the covariate has taken away, on the last day; 0 without one.
    control_mean
        The mean of the control, on the last day.
    alpha
        The error rate of this effect over all days.
    """

    arm: str
    estimate: Double
    low: Double
    high: Double
    p_values: Double
    variance_reduction: float
    control_mean: float
    alpha: float

    @property
    def lift(self) -> float | None:
        """The last estimate as a share of the control's mean; None where that is 0 or unknown."""
        has = self.control_mean != 0 and len(self.estimate) and np.isfinite(self.estimate[-1])
        return float(self.estimate[-1] / self.control_mean) if has else None

    @property
    def is_significant(self) -> bool:
        """Whether there is a difference: the p-value was below the error rate on some day."""
        return bool(len(self.p_values) and self.p_values[-1] < self.alpha)


@dataclass(frozen=True)
class ExperimentResult:
    """The arms of an experiment by one metric.

    Parameters
    ----------
    days
        Ascending, as given.
    arms
        The control first.
    visitors
        Visitors so far, shape (days, arms).
    means
        Of the metric per visitor so far, without the covariate, shape (days, arms); NaN without visitors.
    effects
        Of each arm but the control.
    """

    days: tuple[Any, ...]
    arms: tuple[str, ...]
    visitors: Double
    means: Double
    effects: tuple[ArmEffect, ...]

    def to_frame(self) -> Any:
        """Return a pandas frame with a row per day and arm but the control."""
        import pandas as pd

        parts = [
            {
                "day": self.days,
                "arm": [effect.arm] * len(self.days),
                "visitors": self.visitors[:, 1 + i],
                "mean": self.means[:, 1 + i],
                "control_mean": self.means[:, 0],
                "effect": effect.estimate,
                "low": effect.low,
                "high": effect.high,
                "p_value": effect.p_values,
            }
            for i, effect in enumerate(self.effects)
        ]
        return pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True) if parts else pd.DataFrame()


def compare(
    visitors: Columns,
    outcomes: Columns,
    arms: Sequence[str],
    *,
    planned: float = PLANNED,
    alpha: float = 0.05,
) -> ExperimentResult:
    """Compare the arms of an experiment by the mean per visitor, with intervals that hold at every look.

    Parameters
    ----------
    visitors
        A frame, or arrays by name, with a row per visitor: `visitor`, its `arm`, and the `day` it came into the
        experiment, of any type that can be ordered. A column `covariate`, known before the experiment, such as
        what the visitor spent before, reduces the variance.
    outcomes
        Rows of `visitor`, `day` and `value`: a visitor's outcome is the sum of its values so far, 0 without any.
        Rows of other visitors, and of days before theirs, do not count.
    arms
        Names; the first is the control. Visitors of others are left out.
    planned
        Number of visitors of all arms for which the intervals are narrowest; fix it before the start.
    alpha
        Error rate of all looks and arms together: each of several arms is compared at its share (Bonferroni).

    Raises
    ------
    RequestError
        If a column is missing or has another length, a visitor has two rows, or there are fewer than two arms.

    Notes
    -----
    The unit of analysis is the visitor, for which the arms are drawn. The variance of a difference of means is
    s₁²/n₁ + s₀²/n₀; see `recommender.experiments.sequential` for the intervals. With a covariate X, the outcome
    is Y − θ(X − X̄) with θ = cov(Y, X) / var(X) within arms (CUPED; Deng, Xu, Kohavi and Walker, "Improving the
    Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment Data", WSDM 2013).

    Outcomes of earlier visitors go on growing. The sums of two days are then more correlated than those of
    independent increments, which makes errors over all days rarer than `alpha`.

    Examples
    --------
    >>> visitors = {"visitor": ["u1", "u2", "u3"], "arm": ["a", "b", "b"], "day": [1, 1, 2]}
    >>> outcomes = {"visitor": ["u2"], "day": [2], "value": [9.5]}
    >>> compare(visitors, outcomes, ["a", "b"]).means
    array([[0.  , 0.  ],
           [0.  , 4.75]])
    """
    if len(arms) < 2 or len({*arms}) < len(arms):
        raise RequestError(f"the arms are {', '.join(arms) or 'none'}; expected two or more, each once", "/arms")
    days, moments = _moments(_visitors(visitors, arms), outcomes, len(arms))
    n = np.array([each.n for each in moments]).reshape(-1, len(arms))
    sums = np.array([each.y for each in moments]).reshape(-1, len(arms))
    means = np.divide(sums, n, out=np.full_like(sums, np.nan), where=n > 0)
    pair, level = planned * 2 / len(arms), alpha / (len(arms) - 1)
    effects = tuple(_effect(name, i, moments, pair, level) for i, name in enumerate(arms) if i)
    return ExperimentResult(tuple(days.tolist()), tuple(arms), n, means, effects)


def _visitors(visitors: Columns, arms: Sequence[str]) -> dict[str, Any]:
    """Return the visitors of the arms, sorted by day: `visitor`, `arm` as a position, `day` and `covariate`."""
    table = _columns(visitors, "visitors", ("visitor", "arm", "day"))
    position = {name: i for i, name in enumerate(arms)}
    codes = np.array([position.get(name, -1) for name in table["arm"]], dtype=np.int64)
    table["arm"] = codes
    names = np.unique(table["visitor"])
    if len(names) < len(codes):
        raise RequestError(f"visitors has {len(codes):,} rows of {len(names):,} visitors; expected one of each")
    if "covariate" in visitors:
        table["covariate"] = np.asarray(visitors["covariate"], dtype=np.float64)
        if len(table["covariate"]) != len(codes) or not np.isfinite(table["covariate"]).all():
            raise RequestError("visitors.covariate has missing values; expected a finite number for each visitor")
    of_arms = np.flatnonzero(codes >= 0)
    order = of_arms[np.argsort(table["day"][of_arms], kind="stable")]
    return {name: column[order] for name, column in table.items()}


def _columns(table: Columns, name: str, columns: Sequence[str]) -> dict[str, Any]:
    """Return columns of a frame or of arrays by name."""
    if missing := [column for column in columns if column not in table]:
        raise RequestError(f"{name} has no column {missing[0]!r}; expected {', '.join(columns)}")
    found = {column: np.asarray(table[column]) for column in columns}
    lengths = {column: len(values) for column, values in found.items()}
    if len({*lengths.values()}) > 1:
        raise RequestError(f"the columns of {name} have different lengths: {lengths}")
    return found


def _outcomes(outcomes: Columns, table: dict[str, Any]) -> tuple[Any, Any, Double]:
    """Return the row of the visitor, the day and the value of each outcome since the visitor came."""
    found = _columns(outcomes, "outcomes", ("visitor", "day", "value"))
    if not len(found["visitor"]) or not len(table["visitor"]):
        return np.zeros(0, dtype=np.int64), table["day"][:0], np.zeros(0)
    order = np.argsort(table["visitor"])
    at = np.searchsorted(table["visitor"], found["visitor"], sorter=order)
    rows = order[np.minimum(at, len(order) - 1)]
    counts = (table["visitor"][rows] == found["visitor"]) & (found["day"] >= table["day"][rows])
    values = found["value"][counts].astype(np.float64)
    if not np.isfinite(values).all():
        raise RequestError("outcomes.value has missing values; expected a finite number for each row")
    return rows[counts], found["day"][counts], values


@dataclass(frozen=True)
class _Moments:
    """Counts, sums and sums of products by arm, of the values y and the covariate x; shape (arms,)."""

    n: Double
    nonzero: Double
    y: Double
    yy: Double
    x: Double
    xx: Double
    xy: Double

    @classmethod
    def of(cls, arm: Any, y: Double, x: Double, arms: int) -> "_Moments":
        weights = (None, y != 0, y, y * y, x, x * x, x * y)
        return cls(*(np.bincount(arm, each, arms).astype(np.float64) for each in weights))

    def difference(self, i: int) -> tuple[float, float, float]:
        """Return the difference of arm i and the control, its variance, and the share that x has taken away."""
        pair = [0, i]
        n, my, mx = self.n[pair], self.y[pair] / self.n[pair], self.x[pair] / self.n[pair]
        vy, vx = self.yy[pair] / n - my**2, self.xx[pair] / n - mx**2
        cov = self.xy[pair] / n - mx * my
        theta = self._theta()
        adjusted, plain = vy - 2 * theta * cov + theta**2 * vx, float(np.sum(vy / (n - 1)))
        variance = float(np.sum(np.maximum(adjusted, 0.0) / (n - 1)))
        means = my - theta * mx
        return float(means[1] - means[0]), variance, 1 - variance / plain if plain > 0 else 0.0

    def _theta(self) -> float:
        """Return the slope of y on x within arms, of all arms; 0 where x does not vary."""
        seen = self.n > 0
        spread = np.sum(self.xx[seen] - self.x[seen] ** 2 / self.n[seen])
        if spread <= 1e-12 * np.sum(self.xx):
            return 0.0
        return float(np.sum(self.xy[seen] - self.x[seen] * self.y[seen] / self.n[seen]) / spread)


def _moments(table: dict[str, Any], outcomes: Columns, arms: int) -> tuple[Any, list[_Moments]]:
    """Return the days, and the moments of the visitors and outcomes until each."""
    rows, moment, values = _outcomes(outcomes, table)
    days = np.unique(np.concatenate([table["day"], moment])) if len(moment) else np.unique(table["day"])
    came = np.searchsorted(table["day"], days, side="right")
    order = np.argsort(moment, kind="stable")
    rows, values, happened = rows[order], values[order], np.searchsorted(moment[order], days, side="right")
    y, x = np.zeros(len(table["day"])), table.get("covariate", np.zeros(len(table["day"])))
    x = x - x.mean() if len(x) else x  # sums of squares are then exact enough
    found, before = [], 0
    for n, until in zip(came, happened, strict=True):
        np.add.at(y, rows[before:until], values[before:until])
        before = until
        found.append(_Moments.of(table["arm"][:n], y[:n], x[:n], arms))
    return days, found


def _effect(arm: str, i: int, moments: Sequence[_Moments], planned: float, alpha: float) -> ArmEffect:
    estimates, variances, reduction = np.full(len(moments), np.nan), np.full(len(moments), np.inf), 0.0
    for at, each in enumerate(moments):
        if each.nonzero[[0, i]].min() >= MIN_NONZERO:
            estimates[at], variances[at], reduction = each.difference(i)
    total = np.array([each.n[[0, i]].sum() for each in moments])
    low, high = confidence_sequence(estimates, total, variances, planned, alpha)
    seen = np.isfinite(variances)
    last = moments[-1] if moments else None
    mean = float(last.y[0] / last.n[0]) if last is not None and last.n[0] else np.nan
    p_values = p_value(np.where(seen, estimates, 0.0), total, variances, planned, alpha)
    bounds = np.where(seen, low, -np.inf), np.where(seen, high, np.inf)
    return ArmEffect(arm, estimates, *bounds, p_values, reduction, mean, alpha)
