"""The figures of a report as lines of text, from its JSON form, so that published figures print alike."""

from collections.abc import Mapping, Sequence
from typing import Any

KINDS = ("all", "cold", "warm")
WHOLE = ("ndcg", "hit_rate")  # beside the metric asked for, over all candidates
LEGEND = (
    "< the hybrid beats it, > it beats the hybrid, ~ neither is shown (95 %, paired by customer); ± standard error"
)


def table(figures: Mapping[str, Any], metric: str = "recall") -> str:
    """Lay out one line per ranker: `metric` among all, cold and warm candidates, then other measures of all.

    A figure stands with its standard error and a mark: ``<`` the hybrid beats it (the paired 95 % interval of
    the difference excludes 0), ``>`` it beats the hybrid, ``~`` neither is shown.
    """
    k, others = figures["k"], [name for name in WHOLE if name != metric]
    header = [
        "",
        *(f"{metric}@{k} {kind}" for kind in KINDS),
        *(f"{name}@{k}" for name in others),
        "coverage",
        "s",
    ]
    lines = [_line(name, ranker, metric, others) for name, ranker in figures["rankers"].items()]
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    body = ["  ".join(_padded(line, widths)).rstrip() for line in [header, *lines]]
    return "\n".join([_setting(figures), *body, LEGEND])


def _setting(figures: Mapping[str, Any]) -> str:
    return (
        f"{figures['queries']:,} queries of {figures['customers']:,} customers, {figures['n']:,} products ranked; "
        f"{figures['choices']:,} choices new to them, {figures['cold_share']:.0%} of products nobody chose before"
    )


def _line(name: str, ranker: Mapping[str, Any], metric: str, others: Sequence[str]) -> list[str]:
    kinds = [_cell(ranker.get(kind, {}).get(metric)) for kind in KINDS]
    whole = [f"{ranker['all'][name]['mean'] or 0:.4f}" for name in others]
    return [name, *kinds, *whole, f"{ranker['coverage']:.3f}", f"{ranker['seconds']:.1f}"]


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["mean"] is None:
        return "-"
    ahead = figure["hybrid_lead"]
    mark = "<" if ahead["low"] > 0 else ">" if ahead["high"] < 0 else "~"
    same = ahead["low"] == ahead["high"] == 0
    return f"{figure['mean']:.4f} ±{figure['error']:.4f} {' ' if same else mark}"


def _padded(line: list[str], widths: list[int]) -> list[str]:
    first, *others = widths
    return [line[0].ljust(first), *(cell.rjust(width) for cell, width in zip(line[1:], others, strict=True))]
