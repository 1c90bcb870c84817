"""Charts as SVG coordinates: time series with an interval, and stacked bars.

The plot is stretched to the width of the page, so that texts beside it keep their size: `HEIGHT` is in pixels,
`WIDTH` in units.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, EDGE = 1000, 190, 8
COLORS = 6
Values = Sequence[float | None]


@dataclass(frozen=True)
class Series:
    """One line or kind of bar: its name, its values by position (None for a gap), and its color's number."""

    name: str
    values: Values
    color: int = 0


@dataclass(frozen=True)
class Chart:
    """What a template draws.

    Parameters
    ----------
    title, summary
        The summary is what the picture says, for whoever cannot see it.
    shapes
        Path and class of each area and line, in the order of drawing.
    bars
        x, y, width, height and color of each bar.
    ticks
        y and label.
    labels
        Of the first, the middle and the last position.
    zero
        y of 0; None if it is out of sight.
    columns
        x, width and text of the hint of each position.
    series
        For the legend.
    """

    title: str
    summary: str
    shapes: tuple[tuple[str, str], ...]
    bars: tuple[tuple[float, float, float, float, int], ...]
    ticks: tuple[tuple[float, str], ...]
    labels: tuple[str, ...]
    zero: float | None
    columns: tuple[tuple[float, float, str], ...]
    series: tuple[Series, ...]


def line_chart(
    title: str,
    summary: str,
    days: Sequence[str],
    series: Sequence[Series],
    show: Callable[[float], str],
    hints: Sequence[str],
    band: tuple[Values, Values] | None = None,
) -> Chart:
    """Return lines over days; a band is the interval of the first series, and is cut where it leaves the picture.

    Parameters
    ----------
    show
        Returns the text of a value of the axis.
    hints
        The text of each day.
    """
    shown = [value for each in series for value in each.values if value is not None]
    reach = max((abs(value) for value in shown), default=0.0)
    if band is not None:  # early intervals are wide: those of the later half say how far to look
        ends = [abs(v) for bound in band for v in bound[len(days) // 2 :] if v is not None]
        reach = max([reach, *ends])
        low, high = -reach * 1.1, reach * 1.1
    else:
        low, high = min([0.0, *shown]), reach * 1.05
    scale = _Scale(low, high or 1.0)
    xs = _positions(len(days))
    shapes = [] if band is None else [(_band(xs, *band, scale), "band")]
    shapes += [(_line(xs, each.values, scale), f"line c{each.color}") for each in series]
    zero = scale(0.0) if low < 0 else None
    return Chart(
        title,
        summary,
        tuple(shapes),
        (),
        scale.ticks(show),
        _labels(days),
        zero,
        _columns(xs, hints),
        tuple(series),
    )


def bar_chart(
    title: str,
    summary: str,
    days: Sequence[str],
    series: Sequence[Series],
    show: Callable[[float], str],
    hints: Sequence[str],
) -> Chart:
    """Return bars of each day, the series stacked; see `line_chart`."""
    sums = [sum(each.values[at] or 0.0 for each in series) for at in range(len(days))]
    scale = _Scale(0.0, max(sums, default=0.0) * 1.05 or 1.0)
    step = WIDTH / max(len(days), 1)
    width, bars = min(step * 0.72, 60.0), []
    for at in range(len(days)):
        base = 0.0
        for each in series:
            if value := each.values[at]:
                top, bottom = scale(base + value), scale(base)
                bars.append(
                    (round((at + 0.5) * step - width / 2, 1), top, round(width, 1), bottom - top, each.color)
                )
                base += value
    columns = tuple((round(at * step, 1), round(step, 1), hint) for at, hint in enumerate(hints))
    return Chart(title, summary, (), tuple(bars), scale.ticks(show), _labels(days), None, columns, tuple(series))


class _Scale:
    """From values to pixels from the top."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE), 1)

    def ticks(self, show: Callable[[float], str]) -> tuple[tuple[float, str], ...]:
        """Return three to six round values."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return tuple((self(at * step), show(at * step)) for at in range(first, last + 1))


def _positions(n: int) -> list[float]:
    return [WIDTH / 2] if n == 1 else [round(WIDTH * at / (n - 1), 1) for at in range(n)]


def _line(xs: Sequence[float], values: Values, scale: _Scale) -> str:
    points = [(x, scale(value)) for x, value in zip(xs, values, strict=True) if value is not None]
    if len(points) == 1:
        return f"M{points[0][0] - 4} {points[0][1]}h8"
    return "M" + "L".join(f"{x} {y}" for x, y in points) if points else ""


def _band(xs: Sequence[float], low: Values, high: Values, scale: _Scale) -> str:
    known = [
        (x, scale(a), scale(b)) for x, a, b in zip(xs, low, high, strict=True) if a is not None and b is not None
    ]
    if not known:
        return ""
    upper = [f"{x} {b}" for x, _, b in known]
    lower = [f"{x} {a}" for x, a, _ in reversed(known)]
    return "M" + "L".join(upper + lower) + "Z"


def _labels(days: Sequence[str]) -> tuple[str, ...]:
    return tuple(days) if len(days) < 3 else (days[0], days[len(days) // 2], days[-1])


def _columns(xs: Sequence[float], hints: Sequence[str]) -> tuple[tuple[float, float, str], ...]:
    step = WIDTH / max(len(xs) - 1, 1)
    return tuple((round(x - step / 2, 1), round(step, 1), hint) for x, hint in zip(xs, hints, strict=True))
