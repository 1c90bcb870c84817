"""How placements do, from the events that came with a `recommendation_id`."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from recommender.stores.attribution import Attribution
from recommender.stores.base import AttributionCount

# What each kind of event is to a placement; others are nothing.
KINDS = {
    "view_item_list": "impressions",
    "select_item": "clicks",
    "add_to_cart": "carts",
    "purchase": "purchases",
}


def rates(counts: Iterable[AttributionCount]) -> list[dict[str, Any]]:
    """Return a line for each kind of answer: its counts, and each as a share of the impressions.

    Products are counted once in an answer. Without impressions (`view_item_list` is not sent) the shares are None.
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
