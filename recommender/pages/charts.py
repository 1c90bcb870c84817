"""Line charts and interval bars of the report, as SVG coordinates."""

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, EDGE = 260, 110, 6


def line(name: str, values: Sequence[float], x: Sequence[float] | None = None) -> dict[str, Any]:
    """Return a line chart for the template.

    Parameters
    ----------
    name
        The title.
    values
        At least one.
    x
        Horizontal position of each value; evenly spaced by default.
    """
    x = range(len(values)) if x is None else x
    xs, ys = _scaled(x, EDGE, WIDTH - EDGE), _scaled(values, HEIGHT - EDGE, EDGE)
    points = [f"{left:.1f},{top:.1f}" for left, top in zip(xs, ys, strict=True)]
    return {"name": name, "points": " ".join(points), "first": values[0], "last": values[-1], "best": max(values)}


def _scaled(values: Sequence[float], start: float, end: float) -> list[float]:
    low, high = min(values), max(values)
    return [start + (end - start) * ((value - low) / (high - low) if high > low else 0.5) for value in values]


def difference(figure: Mapping[str, Any], extent: float) -> dict[str, float] | None:
    """Return a difference and its interval as percentages of an axis from -`extent` to `extent`, or None."""
    if figure["mean"] is None or not extent:
        return None
    return {name: 50 + 50 * figure[name] / extent for name in ("mean", "low", "high")}


def interval(figure: dict[str, Any], maximum: float) -> dict[str, float] | None:
    """Return a mean and its interval as percentages of `maximum`; None without a value."""
    if figure["mean"] is None or not maximum:
        return None
    return {name: 100 * max(0.0, figure[name]) / maximum for name in ("mean", "low", "high")}
