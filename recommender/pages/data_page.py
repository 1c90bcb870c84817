"""The report of a shop's files as a page: what was understood of each column, and every problem."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.catalog.advice import ADVICE
from recommender.catalog.losses import loss_line
from recommender.pages.render import write_page

if TYPE_CHECKING:
    from recommender.catalog.report import DataReport


# What a problem of each severity costs, the dearest first.
_COSTS = {"left_out": "left out", "error": "taken as missing", "warning": "repaired, guessed or worth a look"}


def write_data_page(report: "DataReport", out: Path) -> None:
    """Write what `validate` found in a shop's files as a self-contained HTML page.

    Parameters
    ----------
    report
        From `recommender.catalog.validate`.
    out
        The HTML file.
    """
    files = [(file, list(columns)) for file, columns in groupby(report.columns, lambda column: column.file)]
    problems, lost = list(_problems(report)), loss_line(report.losses)
    write_page(out, "data.html", facts=report.facts, files=files, problems=problems, lost=lost)


def _problems(report: "DataReport") -> Iterator[dict[str, Any]]:
    """Yield the problems by kind, the dearest first."""
    kinds: list[dict[str, Any]] = []
    for kind, count in report.counts.items():
        listed = [problem for problem in report.problems if problem.kind == kind]
        severity = min((problem.severity for problem in listed), key=list(_COSTS).index)
        kinds.append(
            {
                "kind": kind,
                "count": count,
                "severity": severity,
                "cost": _COSTS[severity],
                "listed": listed,
                "more": count - sum(problem.count for problem in listed),
                "advice": ADVICE.get(kind, ""),
            }
        )
    yield from sorted(kinds, key=lambda kind: (list(_COSTS).index(kind["severity"]), -kind["count"]))
