"""What the command line shows: answers and figures as lines of text."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recommender.ranking.results import Recommendation, Recommendations

Product = Callable[[str], Mapping[str, Any]]
_LISTED = 8  # longer lists, such as a curve, are told by their ends


def show_answer(answer: "Recommendations", product: Product) -> str:
    """Return an answer as a table, each product followed by its explanation where there is one.

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
    items = [_item_line(item, product(item.item_id)) for item in answer.items]
    columns = align([line for line, _ in items], right={0, 1})
    body = [line + detail for line, (_, detail) in zip(columns, items, strict=True)]
    return "\n".join([head, *body, *(f"note: {warning}" for warning in answer.warnings)])


def _item_line(item: "Recommendation", fields: Mapping[str, Any]) -> tuple[list[str], str]:
    cells = [str(item.rank), f"{item.score:.4f}", item.item_id, _clip(fields.get("title") or "")]
    price = fields.get("price")
    cells.append("" if price is None else f"{price:.2f}")
    if item.parts is None:
        return cells, ""
    parts = sorted(item.parts.items(), key=lambda part: -abs(part[1]))
    total = "  ".join(f"{name} {value:+.4f}" for name, value in parts if value)
    return cells, "".join(f"\n      {line}" for line in (total, item.text) if line)


def _clip(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def show_figures(figures: Mapping[str, Any]) -> str:
    """Return a manifest's metrics as text: the evaluation as a table, all else as lines of `name.name  value`."""
    from recommender.evaluation import table

    rest = {name: value for name, value in figures.items() if name != "evaluation"}
    measured = [table(figures["evaluation"]), ""] if figures.get("evaluation") else []
    return "\n".join([*measured, *_figure_lines(rest, "")])


def _figure_lines(figures: Mapping[str, Any], path: str) -> list[str]:
    """Lay out leaves as lines and descend into the rest; alike and flat mappings become one table."""
    inner = {name: _inner(value) for name, value in figures.items()}
    below = {name: value for name, value in inner.items() if value is not None}
    if len(below) == len(figures) > 1 and not any(_inner(v) for row in below.values() for v in row.values()):
        return ["", *_table(path, below)]
    prefix = f"{path}." if path else ""
    lines = [f"{prefix}{name}  {_cell(value)}" for name, value in figures.items() if inner[name] is None]
    return lines + [line for name, value in below.items() for line in _figure_lines(value, prefix + name)]


def _inner(value: object) -> Mapping[str, Any] | None:
    """Return what is inside a value: a mapping, or a list of mappings by place; None for a leaf."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return {str(place): entry for place, entry in enumerate(value, 1)}
    return value if isinstance(value, Mapping) else None


def _table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    body = [[label, *(_cell(row.get(name, "")) for name in names)] for label, row in rows.items()]
    return align([[title, *names], *body], right=set(range(1, len(names) + 1)))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, list | tuple):
        if len(value) > _LISTED:
            return f"{_cell(value[0])} … {_cell(value[-1])} ({len(value)} values)"
        return " to ".join(map(_cell, value)) if len(value) == 2 else ", ".join(map(_cell, value))
    return "–" if value is None else str(value)


def align(rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    """Return `rows` as lines whose columns are padded to the widest cell, those in `right` from the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
