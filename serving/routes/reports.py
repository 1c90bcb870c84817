"""Routes of reports: what recommendations sold."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from recommender.stores import deadline
from serving.access import needs
from serving.experiment_report import (
    EFFECT_COLUMNS,
    METHOD,
    effect_lines,
    experiment_report,
    find_experiment,
    read_experiment,
)
from serving.json_codec import json_response
from serving.order_report import AMOUNTS, attributed, rule, shop_totals
from serving.paging import page_of
from serving.routes.placements import REPORT_SECONDS
from serving.schemas.events import ExperimentPeriod, OrderPeriod
from serving.schemas.responses import ExperimentReport, OrderReport
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


@bp.get("/experiments/<name>")
@bp.input(ExperimentPeriod, location="query", arg_name="period")
@bp.output(ExperimentReport)
@bp.doc(responses={404: "Unknown experiment", 503: "The store does not answer"})
@needs("admin")
def experiment(name: str, period: ExperimentPeriod) -> Response:
    """Compare the arms of an experiment, named by itself or its placement: conversions and revenue per visitor.

    It may be looked at on any day: intervals and p-values hold on all days together. `from` is the day on which it
    began. With `format=csv` or `Accept: text/csv`, the effects by day as CSV.
    """
    report = experiment_of(name, period)
    if wants_csv(period.format):
        return csv_response(effect_lines(report), EFFECT_COLUMNS)
    return json_response(report)


def experiment_of(name: str, period: ExperimentPeriod) -> dict[str, Any]:
    """Return the report of an experiment; raises a `Problem` (404) if there is none of that name."""
    here = service()
    found, placements = find_experiment(here.placements.state.placement_models, name)
    with deadline(REPORT_SECONDS):
        data = read_experiment(here.store.events, found, placements, *period.bounds)
    return {
        "from": period.from_,
        "to": period.to,
        "experiment": found.name,
        "placements": placements,
        "planned_visitors": found.planned_visitors,
        "method": METHOD,
        **experiment_report(data, found),
    }
