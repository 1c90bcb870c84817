"""Routes of reports: what recommendations sold."""

from apiflask import APIBlueprint
from flask import Response

from recommender.stores import deadline
from serving.access import needs
from serving.json_codec import json_response
from serving.order_report import AMOUNTS, attributed, rule, shop_totals
from serving.paging import page_of
from serving.routes.placements import REPORT_SECONDS
from serving.schemas.events import OrderPeriod
from serving.schemas.responses import OrderReport
from serving.service import service
from serving.tables import csv_response, wants_csv

bp = APIBlueprint("reports", __name__, url_prefix="/v1/reports")


@bp.get("/orders")
@bp.input(OrderPeriod, location="query", arg_name="period")
@bp.output(OrderReport)
@bp.doc(responses={503: "The store does not answer"})
@needs("admin")
def orders(period: OrderPeriod) -> Response:
    """Return orders, units, revenue, average order value and users by placement, strategy, arm and day.

    The table `attribution` of the settings says which recommendation a product of an order is credited to. `shop`
    has all orders, for comparison. With `format=csv` or `Accept: text/csv`, the lines as CSV.
    """
    here = service()
    windows = here.settings.attribution.click_days, here.settings.attribution.view_days
    with deadline(REPORT_SECONDS):
        bought = here.store.events.orders(*period.bounds, max(windows))
    lines, names = attributed(bought, period.by, *windows), (*period.by, "currency")
    if wants_csv(period.format):
        return csv_response(lines, (*names, *AMOUNTS))
    page, cursor = page_of(lines, names, period.limit, period.cursor)
    return json_response(
        {
            "from": period.from_,
            "to": period.to,
            "attribution": {"click_days": windows[0], "view_days": windows[1], "rule": rule(*windows)},
            "shop": shop_totals(bought, *windows),
            "lines": page,
            "next_cursor": cursor,
        }
    )
