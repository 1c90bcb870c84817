"""Report of an experiment: visitors, orders and revenue of its arms, and what can be concluded on any day."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from recommender.experiments import ArmEffect, ExperimentResult, SampleRatio, compare, sample_ratio
from recommender.stores import EventStore
from recommender.stores.orders import FirstView, OrderLine
from serving.problems import Problem
from serving.schemas.placements import Experiment, Placement

# Before the experiment: what visitors bought then reduces the variance.
HISTORY = timedelta(days=28)
CONVERSION, REVENUE = "conversion_rate", "revenue_per_visitor"
METHOD = (
    "Visitors are sessions, or users where no session is named, from their first view_item_list of the"
    " placement on. All of their orders from then on count, less refunds, whatever they are credited to; those"
    " of a user without a session count for the user's latest visitor. Intervals are asymptotic confidence"
    " sequences (Waudby-Smith et al. 2024) at 95 % for all arms together: they hold on all days at once, so"
    " that the experiment may be looked at, and stopped, on any day. Orders of the 28 days before reduce the"
    " variance (CUPED; Deng et al. 2013). The sample ratio is tested as by Lindon and Malek (2022); below p ="
    " 0.001 it is a mismatch."
)


@dataclass(frozen=True)
class ExperimentData:
    """The visitors of an experiment and their orders.

    Parameters
    ----------
    arms, days
        Of each visitor: the arm, and the day of the first view.
    orders
        Of the period, with the visitor of each line, without fully refunded ones.
    history
        Of the days before, likewise.
    mixed
        Number of visitors who have seen several arms; they are left out.
    """

    arms: Mapping[str, str]
    days: Mapping[str, str]
    orders: Sequence[tuple[str, OrderLine]]
    history: Sequence[tuple[str, OrderLine]]
    mixed: int

    @property
    def currencies(self) -> list[str]:
        """Those of the orders, the most frequent first; "" for orders without one."""
        counts = Counter(line.currency or "" for _, line in self.orders if line.revenue is not None)
        return sorted(counts, key=lambda currency: (-counts[currency], currency))


def find_experiment(placements: Mapping[str, Placement], name: str) -> tuple[Experiment, list[str]]:
    """Return the experiment of that name, or of the placement of that name, and the placements that have it.

    Raises a `Problem` (404) if there is none.
    """
    running = {key: each.experiment for key, each in placements.items() if each.experiment is not None}
    found = running.get(name) or next((each for each in running.values() if each.name == name), None)
    if found is None:
        known = ", ".join(sorted({each.name for each in running.values()})) or "none"
        what = f"placement {name!r} has no experiment" if name in placements else f"unknown experiment {name!r}"
        raise Problem(404, "unknown-experiment", f"{what}; experiments: {known}")
    return found, sorted(key for key, each in running.items() if each.name == found.name)


def read_experiment(
    events: EventStore, experiment: Experiment, placements: Sequence[str], start: datetime, end: datetime
) -> ExperimentData:
    """Return the visitors of an experiment and their orders, by the events of [start, end)."""
    views = events.first_views(placements, start, end)
    arms: dict[str, set[str]] = defaultdict(set)
    firsts: dict[str, datetime] = {}
    visitors_of: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    known = {arm.name for arm in experiment.arms}
    for view in sorted(views, key=lambda view: view.timestamp):
        if view.attribution.arm in known:
            visitor = _visitor(view)
            arms[visitor].add(view.attribution.arm)
            firsts.setdefault(visitor, view.timestamp)
            visitors_of[view.user_id].append((firsts[visitor], visitor))
    visitors_of.pop("", None)

    single = {visitor: next(iter(seen)) for visitor, seen in arms.items() if len(seen) == 1}
    bought, before = events.orders(start, end, 0), events.orders(start - HISTORY, start, 0)
    return ExperimentData(
        arms=single,
        days={visitor: firsts[visitor].date().isoformat() for visitor in single},
        orders=[
            (visitor, line)
            for line in bought
            if (visitor := _owner(line, firsts, visitors_of, line.timestamp)) in single
            and firsts[visitor] <= line.timestamp
        ],
        history=[
            (visitor, line) for line in before if (visitor := _owner(line, firsts, visitors_of, end)) in single
        ],
        mixed=len(arms) - len(single),
    )


def _owner(
    line: OrderLine,
    firsts: Mapping[str, datetime],
    visitors_of: Mapping[str, Sequence[tuple[datetime, str]]],
    until: datetime,
) -> str:
    """Return the visitor of a line: its session, else its user's latest visitor until a moment; "" for none."""
    if line.units <= 0:
        return ""
    if line.session_id in firsts:
        return line.session_id
    return max(
        ((first, each) for first, each in visitors_of.get(line.user_id, ()) if first <= until), default=("", "")
    )[1]


def _visitor(view: FirstView) -> str:
    return view.session_id or view.user_id


def compare_metric(data: ExperimentData, experiment: Experiment, currency: str | None) -> ExperimentResult:
    """Compare the arms by revenue per visitor in a currency, or by conversion rate where it is None."""
    before: dict[str, float] = defaultdict(float)
    for visitor, line in data.history:
        if currency is None:
            before[visitor] += 1.0
        elif (line.currency or "") == currency:
            before[visitor] += line.revenue or 0.0
    names = list(data.arms)
    visitors = {
        "visitor": np.array(names, dtype=str),
        "arm": [data.arms[name] for name in names],
        "day": np.array([data.days[name] for name in names], dtype=str),
        "covariate": np.array([before.get(name, 0.0) for name in names]),
    }
    rows = _conversions(data) if currency is None else _revenue(data, currency)
    outcomes = {
        "visitor": np.array([visitor for visitor, _, _ in rows], dtype=str),
        "day": np.array([day for _, day, _ in rows], dtype=str),
        "value": np.array([value for _, _, value in rows], dtype=np.float64),
    }
    arms = [arm.name for arm in experiment.arms]
    return compare(visitors, outcomes, arms, planned=experiment.planned_visitors)


def _conversions(data: ExperimentData) -> list[tuple[str, str, float]]:
    first: dict[str, str] = {}
    for visitor, line in data.orders:  # oldest first
        first.setdefault(visitor, line.timestamp.date().isoformat())
    return [(visitor, day, 1.0) for visitor, day in first.items()]


def _revenue(data: ExperimentData, currency: str) -> list[tuple[str, str, float]]:
    return [
        (visitor, line.timestamp.date().isoformat(), line.revenue)
        for visitor, line in data.orders
        if line.revenue is not None and (line.currency or "") == currency
    ]


def experiment_report(data: ExperimentData, experiment: Experiment) -> dict[str, Any]:
    """Return the arms, the metrics by day with what can be concluded, the sample ratio, and warnings."""
    metrics = [(CONVERSION, None), *((REVENUE, currency) for currency in data.currencies)]
    found = [(*each, compare_metric(data, experiment, each[1])) for each in metrics if len(experiment.arms) > 1]
    days, counts = (found[0][2].days, found[0][2].visitors) if found else ((), np.zeros((0, len(experiment.arms))))
    ratio = sample_ratio(counts, [arm.share for arm in experiment.arms])
    names = [arm.name for arm in experiment.arms]
    return {
        "arms": [_arm(data, arm.name, arm.share) for arm in experiment.arms],
        "metrics": [_metric(*each) for each in found],
        "days": [
            {"day": day, "visitors": dict(zip(names, map(int, row), strict=True)), "sample_ratio_p_value": p}
            for day, row, p in zip(days, counts, ratio.p_values, strict=True)
        ],
        "sample_ratio": {"p_value": ratio.p_value, "is_mismatch": ratio.is_mismatch},
        "mixed_visitors": data.mixed,
        "warnings": _warnings(data, experiment, ratio),
    }


def _arm(data: ExperimentData, name: str, share: float) -> dict[str, Any]:
    lines = [(visitor, line) for visitor, line in data.orders if data.arms[visitor] == name]
    visitors = sum(arm == name for arm in data.arms.values())
    revenue: dict[str, float] = defaultdict(float)
    for _, line in lines:
        if line.revenue is not None:
            revenue[line.currency or ""] += line.revenue
    converted = len({visitor for visitor, _ in lines})
    return {
        "arm": name,
        "share": share,
        "visitors": visitors,
        "converted": converted,
        "conversion_rate": converted / visitors if visitors else None,
        "orders": len({line.order_id for _, line in lines}),
        "units": sum(line.units for _, line in lines),
        "revenue": {currency: round(value, 4) for currency, value in sorted(revenue.items())},
        "revenue_per_visitor": {
            currency: round(value / visitors, 6) for currency, value in sorted(revenue.items()) if visitors
        },
    }


def _metric(metric: str, currency: str | None, found: ExperimentResult) -> dict[str, Any]:
    return {
        "metric": metric,
        "currency": currency,
        "effects": [_effect(effect, found, 1 + i) for i, effect in enumerate(found.effects)],
    }


def _effect(effect: ArmEffect, found: ExperimentResult, column: int) -> dict[str, Any]:
    """Return an effect now and by day; what is unknown is None."""
    days = [
        {
            "day": day,
            "control": _number(found.means[at, 0]),
            "mean": _number(found.means[at, column]),
            "effect": _number(effect.estimate[at]),
            "low": _number(effect.low[at]),
            "high": _number(effect.high[at]),
            "p_value": float(effect.p_values[at]),
        }
        for at, day in enumerate(found.days)
    ]
    last = days[-1] if days else {"effect": None, "low": None, "high": None, "p_value": 1.0}
    return {
        "arm": effect.arm,
        **{name: last[name] for name in ("effect", "low", "high", "p_value")},
        "lift": effect.lift,
        "is_significant": effect.is_significant,
        "variance_reduction": effect.variance_reduction,
        "days": days,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _warnings(data: ExperimentData, experiment: Experiment, ratio: SampleRatio) -> list[str]:
    """Return what stands in the way of a conclusion."""
    counts = {arm.name: 0 for arm in experiment.arms}
    for arm in data.arms.values():
        counts[arm] += 1
    empty = [name for name, count in counts.items() if not count]
    warnings = []
    if not data.arms:
        warnings.append(
            "no visitors: the period has no view_item_list events with a recommendation_id of this experiment;"
            " send them for what is shown"
        )
    elif empty:
        warnings.append(f"no visitors in {', '.join(empty)}: nothing can be said of it; has it begun?")
    if len(experiment.arms) < 2:
        warnings.append("the experiment has one arm: there is nothing to compare")
    if ratio.is_mismatch:
        warnings.append(
            f"the arms do not have visitors in the ratio of their shares (p = {ratio.p_value:.1e}): do not believe"
            " the effects before the cause is found, such as lost events of one arm, or shares that were changed"
        )
    if data.mixed > 0.01 * (len(data.arms) + data.mixed):
        warnings.append(
            f"{data.mixed:,} visitors have seen several arms and are left out: send the session_id of the request"
            " with its events, and do not change shares while the experiment runs"
        )
    return warnings


EFFECT_COLUMNS = ("metric", "currency", "arm", "day", "control", "mean", "effect", "low", "high", "p_value")


def effect_lines(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the effects of a report by metric, arm and day, for CSV."""
    return [
        {"metric": metric["metric"], "currency": metric["currency"], "arm": effect["arm"], **day}
        for metric in report["metrics"]
        for effect in metric["effects"]
        for day in effect["days"]
    ]
