"""Report of placements: impressions by age of the product, clicks, carts and purchases, by `recommendation_id`."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from recommender.items import Attributes
from recommender.ranking.new_products import DAY, published
from recommender.stores.attribution import Attribution
from recommender.stores.base import AttributionCount, Exposure

# The count of a report that each event adds to; other events do not count.
KINDS = {
    "view_item_list": "impressions",
    "select_item": "clicks",
    "add_to_cart": "carts",
    "purchase": "purchases",
}
# Ages of shown products in days since `published_at`: the first band that an age is below.
AGES = {"under_7_days": 7, "under_30_days": 30, "under_90_days": 90, "older": math.inf}


def rates(
    counts: Iterable[AttributionCount], exposures: Iterable[Exposure], attributes: Attributes
) -> list[dict[str, Any]]:
    """Return a line per attribution: its counts, each as a share of the impressions, and impressions by age.

    A product counts once per answer. Without impressions (`view_item_list` is not sent) the shares are None.

    Parameters
    ----------
    attributes
        Of the products: their `published_at` tells their age.
    """
    ages = impressions_by_age(exposures, attributes)
    lines: dict[Attribution, dict[str, int]] = defaultdict(lambda: dict.fromkeys(KINDS.values(), 0))
    for attribution, event_name, items in counts:
        if event_name in KINDS:
            lines[attribution][KINDS[event_name]] += items
    return [
        {**attribution._asdict(), **line, **_shares(line), "ages": ages.get(attribution, no_ages())}
        for attribution, line in sorted(lines.items())
    ]


def no_ages() -> dict[str, int]:
    """Return a count of 0 for each age; "unknown" is that of products without a date."""
    return dict.fromkeys((*AGES, "unknown"), 0)


def impressions_by_age(exposures: Iterable[Exposure], attributes: Attributes) -> dict[Attribution, dict[str, int]]:
    """Return the impressions of each attribution by the age of the product on the day that it was shown."""
    dates = published(attributes)
    counts: dict[Attribution, dict[str, int]] = defaultdict(no_ages)
    for attribution, item_id, day, shown in exposures:
        row = attributes.row_of(item_id)
        since = math.nan if dates is None or row < 0 else (day + DAY - dates.item(row)) / DAY
        age = "unknown" if math.isnan(since) else next(name for name, days in AGES.items() if since <= days)
        counts[attribution][age] += shown
    return counts


def _shares(line: dict[str, int]) -> dict[str, float | None]:
    shown = line["impressions"]
    return {
        f"{name.removesuffix('s')}_rate": line[name] / shown if shown else None
        for name in ("clicks", "carts", "purchases")
    }
