"""Lines of figures as SVG paths."""

from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT, EDGE = 260, 110, 6


def line(name: str, values: Sequence[float], places: Sequence[float] | None = None) -> dict[str, Any]:
    """Return what a template draws of a curve.

    Parameters
    ----------
    name
        Its title.
    values
        At least one.
    places
        Where each lies from left to right; by default evenly.
    """
    places = range(len(values)) if places is None else places
    xs, ys = _spread(places, EDGE, WIDTH - EDGE), _spread(values, HEIGHT - EDGE, EDGE)
    points = [f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True)]
    return {"name": name, "points": " ".join(points), "first": values[0], "last": values[-1], "best": max(values)}


def _spread(values: Sequence[float], start: float, end: float) -> list[float]:
    low, high = min(values), max(values)
    return [start + (end - start) * ((value - low) / (high - low) if high > low else 0.5) for value in values]


def interval(figure: dict[str, Any], most: float) -> dict[str, float] | None:
    """Return a mean and its interval as percentages of a width that `most` fills; None where nothing is known."""
    if figure["mean"] is None or not most:
        return None
    return {name: 100 * max(0.0, figure[name]) / most for name in ("mean", "low", "high")}
