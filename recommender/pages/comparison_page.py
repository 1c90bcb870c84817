"""The comparison of two generations as an HTML page, and as a part of a notebook."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.evaluation.comparison import Comparison, verdict
from recommender.evaluation.stored import PairedDifference
from recommender.pages import charts
from recommender.pages.examples import product_card
from recommender.pages.render import render, write_page

if TYPE_CHECKING:
    from recommender.recommender import Recommender

_SHOWN = 6  # products of a list
_TITLES = {
    "product": "Products whose similar items changed most",
    "user": "Users whose recommendations changed most",
}


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write a comparison to a self-contained HTML file: metrics with intervals, and what changed, in pictures."""
    write_page(out, "comparison_page.html", **_data(comparison))


def comparison_html(comparison: Comparison) -> str:
    """Return a comparison as HTML for a notebook."""
    return render("comparison.html", **_data(comparison))


def difference_rows(metrics: Mapping[str, PairedDifference]) -> list[dict[str, Any]]:
    """Return one row per metric, its difference as percentages of an axis that all rows of its size share."""
    bounds = {name: (abs(row.difference.low), abs(row.difference.high)) for name, row in metrics.items()}
    extent = max((bound for pair in bounds.values() for bound in pair), default=0)
    return [
        {
            "name": name,
            "queries": row.queries,
            "before": row.first,
            "after": row.second,
            **{part: getattr(row.difference, part) for part in ("mean", "low", "high")},
            "bar": charts.difference(vars(row.difference), extent),
            "verdict": verdict(row.difference),
        }
        for name, row in metrics.items()
    ]


def _data(comparison: Comparison) -> dict[str, Any]:
    groups = {
        title: [
            {
                "name": answer.name,
                "overlap": answer.overlap,
                "seeds": _cards(comparison.after, answer.seeds[:3]),
                "before": _cards(comparison.before, answer.before[:_SHOWN], answer.after),
                "after": _cards(comparison.after, answer.after[:_SHOWN], answer.before),
            }
            for answer in comparison.changed
            if answer.kind == kind
        ]
        for kind, title in _TITLES.items()
    }
    return {"comparison": comparison, "differences": difference_rows(comparison.metrics), "groups": groups}


def _cards(recommender: "Recommender", ids: Iterable[str], others: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return products as cards; those that the other list lacks are marked."""
    return [product_card(recommender, item_id) | {"only_here": item_id not in others} for item_id in ids]
