"""What the page of reports shows: charts, tables and sentences of the reports of orders and of an experiment."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

from serving.charts import COLORS, Chart, Series, bar_chart, line_chart

NO_PLACEMENT = "without a placement"


def short_day(day: str) -> str:
    """Return a day as on an axis: 3 Nov."""
    return f"{date.fromisoformat(day):%-d %b}"


def money(value: float, currency: str) -> str:
    """Return an amount with its currency."""
    return f"{value:,.2f} {currency}".strip()


def plain(value: float) -> str:
    """Return an amount on an axis."""
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"


def step(value: float, metric: Mapping[str, Any]) -> str:
    """Return a difference of a metric on an axis, without its currency."""
    if not round(value, 9):
        return "0"
    text = f"{100 * value:+.3g}\u00a0pp" if metric["currency"] is None else f"{value:+,.3g}"
    return text.replace("-", "−")


def signed(value: float, metric: Mapping[str, Any]) -> str:
    """Return a difference of a metric: in percentage points, or in its currency."""
    if metric["currency"] is None:
        return f"{100 * value:+.2f}\u00a0pp".replace("-", "−")
    return f"{value:+,.3f} {metric['currency']}".strip().replace("-", "−")


def verdict(effect: Mapping[str, Any], metric: Mapping[str, Any], control: str) -> str:
    """Return in a sentence what can be concluded of an arm."""
    if effect["effect"] is None:
        return "Too few visitors have bought anything for an interval: it begins at 20 in each arm."
    interval = f"{signed(effect['low'], metric)} to {signed(effect['high'], metric)}"
    lift = "" if effect["lift"] is None else f", a lift of {100 * effect['lift']:+.1f}\u00a0%".replace("-", "−")
    if not effect["is_significant"]:
        return f"No difference from {control} is shown so far: the 95\u00a0% interval is {interval}."
    better = "better" if effect["effect"] > 0 else "worse"
    found = f"{signed(effect['effect'], metric)}{lift} (95\u00a0% interval {interval})"
    return f"{effect['arm']} is {better} than {control}: {found}."


def effect_chart(effect: Mapping[str, Any], metric: Mapping[str, Any], control: str) -> Chart:
    """Return the effect of an arm with its interval over the days."""
    days = effect["days"]
    hints = [
        f"{short_day(day['day'])}: "
        + (
            "too few orders"
            if day["effect"] is None
            else f"{signed(day['effect'], metric)} ({signed(day['low'], metric)} to {signed(day['high'], metric)})"
        )
        for day in days
    ]
    return line_chart(
        f"{effect['arm']} against {control}",
        verdict(effect, metric, control),
        [short_day(day["day"]) for day in days],
        [Series("effect", [day["effect"] for day in days])],
        partial(step, metric=metric),
        hints,
        ([day["low"] for day in days], [day["high"] for day in days]),
    )


def visitors_chart(report: Mapping[str, Any]) -> Chart:
    """Return the visitors of each arm so far, over the days."""
    days, arms = report["days"], [arm["arm"] for arm in report["arms"]]
    series = [Series(arm, [day["visitors"][arm] for day in days], at % COLORS) for at, arm in enumerate(arms)]
    hints = [
        f"{short_day(day['day'])}: " + ", ".join(f"{arm} {count:,}" for arm, count in day["visitors"].items())
        for day in days
    ]
    counts = ", ".join(f"{arm['arm']} {arm['visitors']:,}" for arm in report["arms"])
    labels = [short_day(day["day"]) for day in days]
    return line_chart("Visitors so far", f"Visitors: {counts}.", labels, series, lambda v: f"{v:,.0f}", hints)


def colors_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return a color for each placement, the same in all currencies; those of many share the last one."""
    orders: dict[str, int] = defaultdict(int)
    for line in lines:
        orders[line["placement"]] += line["orders"]
    largest = sorted(orders, key=lambda name: (-orders[name], name))
    return {name: min(at, COLORS - 1) for at, name in enumerate(largest)}


def revenue_chart(
    lines: Sequence[Mapping[str, Any]], days: Sequence[str], currency: str, colors: Mapping[str, int]
) -> Chart:
    """Return attributed revenue by day in one currency, stacked by placement.

    Parameters
    ----------
    lines
        Of a report of orders by placement and day.
    days
        All of the period.
    colors
        Of the placements, see `colors_of`; those of one color are drawn as one.
    """
    amounts: dict[tuple[int, str], float] = defaultdict(float)
    for line in lines:
        if line["currency"] == currency:
            amounts[colors[line["placement"]], line["day"]] += line["revenue"]
    names = {color: name or NO_PLACEMENT for name, color in colors.items()}
    if len(colors) > COLORS:
        names[COLORS - 1] = "others"
    used = sorted({color for color, _ in amounts})
    series = [Series(names[color], [amounts.get((color, day)) for day in days], color) for color in used]
    hints = [
        f"{short_day(day)}: "
        + (", ".join(f"{s.name} {money(s.values[at] or 0, currency)}" for s in series if s.values[at]) or "none")
        for at, day in enumerate(days)
    ]
    summary = f"{money(sum(amounts.values()), currency)} in all."
    return bar_chart("Revenue by placement", summary, [short_day(day) for day in days], series, plain, hints)


def days_of(start: date, end: date) -> list[str]:
    """Return every day of a period."""
    return [(start + timedelta(days=n)).isoformat() for n in range((end - start).days + 1)]
