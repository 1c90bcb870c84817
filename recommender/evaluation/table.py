"""Format an evaluation as a text table, from its JSON form."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

CANDIDATES = {"all": "", "cold": " among new", "warm": " among known"}
OTHER_METRICS = ("ndcg", "hit_rate")  # beside the requested metric, over all candidates
GROUPS = {"recommender": "", "baseline": "baselines", "component": "parts alone"}
WIDTH = 80  # columns of a terminal
IN_SAMPLE = "IN-SAMPLE: the recommender has learned from some of the held-out events; the figures are too high."
LEGEND = "< worse than the hybrid, > better, ~ no significant difference (95 %, paired by user); ± standard error"
# Two figures of new products that are read as opposites without these sentences.
OF_NEW = "of new products: all products are ranked; counted are choices of products without earlier events."
AMONG_NEW = "among new products: only products without earlier events are ranked, against each other."
_SLICE_OF_NEW = "new products"
_NAME, _MAX_DETAIL = 29, 16


def table(figures: Mapping[str, Any], metric: str = "recall") -> str:
    """Return one line per ranker: `metric` among all, new and known products, then other metrics among all.

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
        *(f"{metric}@{k}{among}" for among in CANDIDATES.values()),
        *(f"{name}@{k}" for name in others),
        "coverage",
        "s",
    ]
    lines = [_line(name, ranker, metric, others) for name, ranker in figures["rankers"].items()]
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    body = ["  ".join(_padded(line, widths)).rstrip() for line in [header, *lines]]
    return "\n".join([*_verdict(figures, metric), _summary(figures), *body, LEGEND, AMONG_NEW, *_details(figures)])


def short_table(figures: Mapping[str, Any]) -> str:
    """Return recall and hit rate of each ranker in lines of 80 columns, baselines first, then parts alone.

    The two figures of new products stand last, each with the sentence that says what is ranked.

    Parameters
    ----------
    figures
        See `table`.
    """
    k = figures["k"]
    lines = [f"{'':{_NAME}} {f'recall@{k}':>9}  {'95 % interval':14}  {f'hit_rate@{k}':>11}  hybrid is"]
    for group, title in GROUPS.items():
        rankers = {name: each for name, each in figures["rankers"].items() if each["group"] == group}
        lines += [title] if title and rankers else []
        lines += [_short_line(name, each) for name, each in rankers.items()]
    head = [*_in_sample(figures), *wrapped(_summary(figures))]
    notes = [*new_product_lines(figures), *_details(figures)]
    return "\n".join([*head, *lines, *(part for note in notes for part in wrapped(note))])


def new_product_lines(figures: Mapping[str, Any], metric: str = "recall") -> list[str]:
    """Return the two figures of new products, each with the sentence that says what is ranked; [] without any.

    Parameters
    ----------
    figures, metric
        See `table`; of new products only recall is measured.
    """
    if not figures.get("queries"):
        return []
    start = f"{metric}@{figures['k']}"
    among = figures["rankers"].get("hybrid", {}).get("cold", {}).get(metric) or {}
    of = figures.get("ablation", {}).get(_SLICE_OF_NEW, {}).get("recall") or {}
    rows = [(of, OF_NEW), (among, AMONG_NEW)]
    return [f"{start} {row['mean']:.4f} {text}" for row, text in rows if row.get("mean") is not None]


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
        if ranker.get("group") in ("component", "baseline") and metric in ranker["all"]
    }
    behind = {name: lead for name, lead in leads.items() if lead["mean"] is not None and lead["mean"] < 0}
    if not behind:
        return ""
    phrases = [
        f"{name} by {-lead['mean']:.4f} ({'significant' if lead['high'] < 0 else 'not significant'})"
        for name, lead in sorted(behind.items(), key=lambda pair: pair[1]["mean"])
    ]
    return f"Ahead of the hybrid in {metric}@{figures['k']}: {', '.join(phrases)}."


def all_ahead(figures: Mapping[str, Any]) -> list[str]:
    """Return `ahead` in recall and in hit rate, without empty sentences."""
    return [line for metric in ("recall", "hit_rate") if (line := ahead(figures, metric))]


def full_name(name: str, ranker: Mapping[str, Any]) -> str:
    """Return a ranker's name with its parameters where these are short, so that no two rows look the same."""
    detail = ranker.get("detail") or ""
    return f"{name} ({detail})" if detail and len(detail) <= _MAX_DETAIL else name


def _verdict(figures: Mapping[str, Any], metric: str) -> list[str]:
    verdict = [ahead(figures, metric) or f"Nothing is ahead of the hybrid in {metric}@{figures['k']}."]
    return [*_in_sample(figures), *(verdict if figures["queries"] else [])]


def _in_sample(figures: Mapping[str, Any]) -> list[str]:
    return [IN_SAMPLE] if figures.get("in_sample") else []


def _short_line(name: str, ranker: Mapping[str, Any]) -> str:
    recall, found = ranker["all"]["recall"], ranker["all"]["hit_rate"]
    if recall["mean"] is None:
        return name
    lead = recall["hybrid_lead"]
    verdict = "better" if lead["low"] > 0 else "WORSE" if lead["high"] < 0 else "unclear"
    same = ranker["group"] == "recommender"
    start = f"{'' if same else '  '}{full_name(name, ranker)}"
    interval = f"{recall['low']:.4f}–{recall['high']:.4f}"
    values = f"{recall['mean']:9.4f}  {interval:14}  {found['mean']:11.4f}"
    return f"{start:{_NAME}} {values}  {'' if same else verdict}".rstrip()


def wrapped(line: str) -> list[str]:
    """Return a sentence in lines of at most 80 columns."""
    return wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _details(figures: Mapping[str, Any]) -> list[str]:
    details = [f"{name} {each['detail']}" for name, each in figures["rankers"].items() if each.get("detail")]
    return [f"chosen on validation: {'; '.join(details)}"] if details else []


def _summary(figures: Mapping[str, Any]) -> str:
    reading = "repeats included" if figures.get("include_history") else "of products new to the user"
    return (
        f"{figures['queries']:,} queries of {figures['users']:,} users, {figures['n']:,} products ranked; "
        f"{figures['interactions']:,} held-out interactions {reading}, "
        f"{figures['cold_share']:.0%} with new products"
    )


def _line(name: str, ranker: Mapping[str, Any], metric: str, others: Sequence[str]) -> list[str]:
    values = [_cell(ranker.get(candidates, {}).get(metric)) for candidates in CANDIDATES]
    rest = [f"{ranker['all'][name]['mean'] or 0:.4f}" for name in others]
    return [full_name(name, ranker), *values, *rest, f"{ranker['coverage']:.3f}", f"{ranker['seconds']:.1f}"]


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
