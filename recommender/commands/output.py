"""Recommendations and metrics as text: rich tables in a terminal, plain columns elsewhere."""

import sys
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from recommender.catalog.report import DataReport
    from recommender.catalog.summary import ColumnSummary
    from recommender.evaluation.comparison import Comparison
    from recommender.ranking.results import Recommendation, Recommendations

Product = Callable[[str], Mapping[str, Any]]
_PLAIN_WIDTH = 100_000  # of a file or a pipe, where no line is wrapped
_MAX_TITLE = 60
_MAX_VALUES = 8  # of longer lists, such as a learning curve, the ends alone are shown


def show_answer(answer: "Recommendations", product: Product) -> str:
    """Return recommendations as a table, each product with its explanation where there is one.

    Parameters
    ----------
    answer
        From a `Recommender`.
    product
        Returns the fields of a product by id: `Recommender.product`.
    """
    head = (
        f"{answer.strategy} · {len(answer.items)} of {answer.eligible:,} eligible"
        f" · {answer.plan}, {answer.candidates:,} candidates · {answer.generation}"
    )
    table = _table("", "score", "id", "title", "price", right={0, 1, 4})
    for item in answer.items:
        fields = product(item.item_id)
        price = fields.get("price")
        cells = (str(item.rank), f"{item.score:.4f}", item.item_id)
        table.add_row(*map(Text, cells), _title(item, fields), "" if price is None else f"{price:.2f}")
    notes = (Text(f"note: {warning}", "yellow") for warning in answer.warnings)
    return _render(Text(head, "dim"), *([table] if answer.items else []), *notes)


def show_search(answer: "Recommendations", product: Product) -> str:
    """Return what a search found as a table, its facets, and where it found nothing what there is instead."""
    parts: list[Text | Table] = []
    for name, values in answer.facets.items():
        parts.append(Text(f"{name}: " + ", ".join(f"{value} ({count:,})" for value, count in values)))
    for each in answer.alternatives:
        table = _table("", "id", "title", right={0})
        for item in each.items:
            table.add_row(str(item.rank), Text(item.item_id), Text(str(product(item.item_id).get("title") or "")))
        parts += [Text(each.reason, "bold"), table]
    return "\n".join([show_answer(answer, product), *([_render(*parts)] if parts else [])])


def _title(item: "Recommendation", fields: Mapping[str, Any]) -> Group:
    """Return the title, and below it the parts of the score, largest first, and the reason."""
    title = fields.get("title") or ""
    lines = [Text(title if len(title) <= _MAX_TITLE else f"{title[: _MAX_TITLE - 1]}…")]
    if item.parts is not None:
        parts = sorted(item.parts.items(), key=lambda part: -abs(part[1]))
        lines.append(Text("  ".join(f"{name} {value:+.4f}" for name, value in parts if value), "dim"))
        lines.append(Text(item.text or "", "italic"))
    return Group(*(line for line in lines if line.plain or line is lines[0]))


def show_data(report: "DataReport") -> str:
    """Return a report of a shop's files: a table of each file's columns, then counts and problems."""
    files: dict[str, list[ColumnSummary]] = {}
    for column in report.columns:
        files.setdefault(column.file, []).append(column)
    tables = [part for file, columns in files.items() for part in (_columns(file, columns), Text(""))]
    return _render(*tables, *map(Text, report.lines()))


def _columns(file: str, columns: "list[ColumnSummary]") -> Table:
    table = _table(file, "read as", "kind", "used for", "filled", "distinct", "such as", right={4, 5})
    for column in columns:
        name = "" if column.name == column.heading else column.name
        filled = f"{column.filled:.1%}" if column.filled < 1 else "all"
        cells = (column.heading, name, column.kind, column.use, filled, f"{column.distinct:,}")
        table.add_row(*map(Text, cells), Text(" | ".join(column.examples)))
    return table


def show_figures(figures: Mapping[str, Any]) -> str:
    """Return a manifest's metrics as text: the evaluation as a table, the others as lines `name.name  value`."""
    from recommender.evaluation import table

    names = ("evaluation", "evaluation_with_history")
    others = {name: value for name, value in figures.items() if name not in names}
    if pairs := (figures.get("evaluation") or {}).get("pairs"):
        others["pairs"] = pairs
    measured = [figures[name] for name in names if figures.get(name)]
    evaluation = [part for each in measured for part in (Text(table(each)), Text(""))]
    return _render(*evaluation, *_figures(others, ""))


def show_evaluation(figures: Mapping[str, Any], verbose: bool = False) -> str:
    """Return the metrics of a bundle in 80 columns: three answers, then recall and hit rate of each ranker.

    Parameters
    ----------
    figures
        From `recommender.evaluation.headline.with_headline`.
    verbose
        All metrics of the manifest instead of the short table.
    """
    from recommender.evaluation.headline import label_lines
    from recommender.evaluation.table import all_ahead, short_table, wrapped

    measured = [figures[name] for name in ("evaluation", "evaluation_with_history") if figures.get(name)]
    measured = [each for each in measured if each["queries"]]
    first = [line for each in measured[:1] for line in all_ahead(each)]
    answers = [f"{answer['question']} {answer['sentence']}" for answer in figures["headline"]]
    lines = [short for line in [*first, *answers] for short in wrapped(line)]
    if verbose:
        rest = {name: value for name, value in figures.items() if name != "headline"}
        return "\n".join([*lines, "", show_figures(rest)])
    tables = [part for each in measured[:1] for part in ("", short_table(each))]
    for each in measured[1:]:
        tables += ["", *(short for line in all_ahead(each) for short in wrapped(line)), short_table(each)]
    labels = [] if measured else label_lines(figures)
    lost = [*wrapped(figures["lost"])] if figures.get("lost") else []
    return "\n".join([*lines, *labels, *tables, *lost, "", "--verbose shows all metrics; report draws them"])


def show_comparison(comparison: "Comparison") -> str:
    """Return two generations in lines of 80 columns: differences of metrics, overlap, and what changed most."""
    from recommender.evaluation.comparison import verdict
    from recommender.evaluation.table import wrapped

    lines = [f"before {comparison.before.generation}, after {comparison.after.generation}"]
    if comparison.metrics:
        lines.append(f"{'':32} {'before':>7} {'after':>7}  difference, 95 % interval")
    for name, row in comparison.metrics.items():
        change, mark = row.difference, {"higher": "  higher", "lower": "  LOWER"}.get(verdict(row.difference), "")
        interval = f"{change.mean:+.4f} {change.low:+.4f} {change.high:+.4f}{mark}"
        lines.append(f"{name:32} {row.first:7.4f} {row.second:7.4f}  {interval}")
    lines += wrapped(f"Not measured: {comparison.unmeasured}.") if comparison.unmeasured else []
    for kind, share in comparison.overlap.items():
        people = "synthetic users" if comparison.synthetic else "users"
        named = "similar products of" if kind == "product" else "recommendations for"
        count = f"{comparison.compared[kind]:,} {'products' if kind == 'product' else people}"
        lines += ["", f"{named} {count}: {share:.1%} of 12 in common; least"]
        changed = [answer for answer in comparison.changed if answer.kind == kind]
        lines += [f"  {answer.overlap:6.1%}  {answer.name[:68]}" for answer in changed] or [
            "  all lists are equal"
        ]
    return "\n".join(lines)


def _figures(figures: Mapping[str, Any], path: str) -> "Iterator[Text | Table]":
    """Yield a line for each value, and what is below it; mappings of values alone become one table."""
    inner = {name: _inner(value) for name, value in figures.items()}
    below = {name: value for name, value in inner.items() if value is not None}
    if len(below) == len(figures) > 1 and not any(_inner(v) for row in below.values() for v in row.values()):
        yield Text("")
        yield _table_of(path, below)
        return
    prefix = f"{path}." if path else ""
    for name, value in figures.items():
        if inner[name] is None:
            yield Text(f"{prefix}{name}  {_cell(value)}")
    for name, mapping in below.items():
        yield from _figures(mapping, prefix + name)


def _inner(value: object) -> Mapping[str, Any] | None:
    """Return a mapping, or a list of mappings as a mapping from their number; None for a value."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return {str(number): entry for number, entry in enumerate(value, 1)}
    return value if isinstance(value, Mapping) else None


def _table_of(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = _table(title, *names, right=set(range(1, len(names) + 1)))
    for label, row in rows.items():
        table.add_row(Text(label), *(Text(_cell(row.get(name, ""))) for name in names))
    return table


def _table(*headers: str, right: set[int]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, header in enumerate(headers):
        table.add_column(Text(header), justify="right" if number in right else "left")
    return table


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, list | tuple):
        if len(value) > _MAX_VALUES:
            return f"{_cell(value[0])} … {_cell(value[-1])} ({len(value)} values)"
        return " to ".join(map(_cell, value)) if len(value) == 2 else ", ".join(map(_cell, value))
    return "–" if value is None else str(value)


def _render(*parts: Text | Table) -> str:
    """Return the parts below each other, with styles and wrapped lines where stdout is a terminal."""
    buffer = StringIO()
    if sys.stdout.isatty():
        console = Console(file=buffer, force_terminal=True)
    else:
        console = Console(file=buffer, force_terminal=False, color_system=None, width=_PLAIN_WIDTH)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
