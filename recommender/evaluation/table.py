"""Format an evaluation as a text table, from its JSON form."""

from collections.abc import Mapping, Sequence
from typing import Any

CANDIDATES = ("all", "cold", "warm")
OTHER_METRICS = ("ndcg", "hit_rate")  # beside the requested metric, over all candidates
IN_SAMPLE = "IN-SAMPLE: the recommender has learned from some of the held-out events; the figures are too high."
LEGEND = "< worse than the hybrid, > better, ~ no significant difference (95 %, paired by user); ± standard error"


def table(figures: Mapping[str, Any], metric: str = "recall") -> str:
    """Return one line per ranker: `metric` among all, cold and warm candidates, then other metrics among all.

    The first line says what is `ahead` of the hybrid, the last which parameters the baselines have. A value has
    its standard error and a mark: ``<`` worse than the hybrid (the paired 95 % interval of the difference excludes
    0), ``>`` better, ``~`` no significant difference.

    Parameters
    ----------
    figures
        `EvaluationReport.to_dict`, or ``manifest.metrics["evaluation"]``.
    metric
        recall, ndcg, hit_rate or mrr.
    """
    k, others = figures["k"], [name for name in OTHER_METRICS if name != metric]
    header = [
        "",
        *(f"{metric}@{k} {name}" for name in CANDIDATES),
        *(f"{name}@{k}" for name in others),
        "coverage",
        "s",
    ]
    lines = [_line(name, ranker, metric, others) for name, ranker in figures["rankers"].items()]
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    body = ["  ".join(_padded(line, widths)).rstrip() for line in [header, *lines]]
    warning = [IN_SAMPLE] if figures.get("in_sample") else []
    verdict = [ahead(figures, metric) or f"Nothing is ahead of the hybrid in {metric}@{k}."]
    return "\n".join(
        [*warning, *(verdict if figures["queries"] else []), _summary(figures), *body, LEGEND, *_details(figures)]
    )


def ahead(figures: Mapping[str, Any], metric: str = "recall") -> str:
    """Return a sentence that names what has a higher mean than the hybrid, of components and baselines; or "".

    Parameters
    ----------
    figures, metric
        See `table`.
    """
    leads = {
        name: ranker["all"][metric]["hybrid_lead"]
        for name, ranker in figures.get("rankers", {}).items()
        if ranker.get("group") in ("component", "baseline")
    }
    behind = {name: lead for name, lead in leads.items() if lead["mean"] is not None and lead["mean"] < 0}
    if not behind:
        return ""
    phrases = [
        f"{name} by {-lead['mean']:.4f} ({'significant' if lead['high'] < 0 else 'not significant'})"
        for name, lead in sorted(behind.items(), key=lambda pair: pair[1]["mean"])
    ]
    return f"Ahead of the hybrid in {metric}@{figures['k']}: {', '.join(phrases)}."


def _details(figures: Mapping[str, Any]) -> list[str]:
    details = [f"{name} {each['detail']}" for name, each in figures["rankers"].items() if each.get("detail")]
    return [f"chosen on validation: {'; '.join(details)}"] if details else []


def _summary(figures: Mapping[str, Any]) -> str:
    reading = "repeats included" if figures.get("include_history") else "of products new to the user"
    return (
        f"{figures['queries']:,} queries of {figures['users']:,} users, {figures['n']:,} products ranked; "
        f"{figures['interactions']:,} held-out interactions {reading}, "
        f"{figures['cold_share']:.0%} with cold products"
    )


def _line(name: str, ranker: Mapping[str, Any], metric: str, others: Sequence[str]) -> list[str]:
    values = [_cell(ranker.get(candidates, {}).get(metric)) for candidates in CANDIDATES]
    rest = [f"{ranker['all'][name]['mean'] or 0:.4f}" for name in others]
    return [name, *values, *rest, f"{ranker['coverage']:.3f}", f"{ranker['seconds']:.1f}"]


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["mean"] is None:
        return "-"
    lead = figure["hybrid_lead"]
    mark = "<" if lead["low"] > 0 else ">" if lead["high"] < 0 else "~"
    same = lead["low"] == lead["high"] == 0
    return f"{figure['mean']:.4f} ±{figure['std_error']:.4f} {' ' if same else mark}"


def _padded(line: list[str], widths: list[int]) -> list[str]:
    first, *others = widths
    return [line[0].ljust(first), *(cell.rjust(width) for cell, width in zip(line[1:], others, strict=True))]
