"""Report of placements: impressions, clicks, carts and purchases, by the `recommendation_id` of events."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from recommender.stores.attribution import Attribution
from recommender.stores.base import AttributionCount

# The count of a report that each event adds to; other events do not count.
KINDS = {
    "view_item_list": "impressions",
    "select_item": "clicks",
    "add_to_cart": "carts",
    "purchase": "purchases",
}


def rates(counts: Iterable[AttributionCount]) -> list[dict[str, Any]]:
    """Return a line per attribution: its counts, and each as a share of the impressions.

    A product counts once per answer. Without impressions (`view_item_list` is not sent) the shares are None.
    """
    lines: dict[Attribution, dict[str, int]] = defaultdict(lambda: dict.fromkeys(KINDS.values(), 0))
    for attribution, event_name, items in counts:
        if event_name in KINDS:
            lines[attribution][KINDS[event_name]] += items
    return [{**attribution._asdict(), **line, **_shares(line)} for attribution, line in sorted(lines.items())]


def _shares(line: dict[str, int]) -> dict[str, float | None]:
    shown = line["impressions"]
    return {
        f"{name.removesuffix('s')}_rate": line[name] / shown if shown else None
        for name in ("clicks", "carts", "purchases")
    }
