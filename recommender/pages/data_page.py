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
    """Yield the problems by kind, those that leave something out first."""
    kinds: list[dict[str, Any]] = []
    for kind, count in report.counts.items():
        listed = [problem for problem in report.problems if problem.kind == kind]
        lost = any(problem.severity != "warning" for problem in listed)
        more, advice = count - sum(problem.count for problem in listed), ADVICE.get(kind, "")
        kinds.append(
            {"kind": kind, "count": count, "lost": lost, "listed": listed, "more": more, "advice": advice}
        )
    yield from sorted(kinds, key=lambda kind: (not kind["lost"], -kind["count"]))
