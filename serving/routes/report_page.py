"""The page of reports: does it pay, by placement, and by arm of an experiment."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import Blueprint, render_template, request
from flask.wrappers import Response

from recommender.stores import deadline
from serving import report_page
from serving.access import needs
from serving.order_report import attributed, rule, shop_totals
from serving.pages import page_response
from serving.problems import Problem
from serving.routes.placements import REPORT_SECONDS
from serving.routes.reports import experiment_of
from serving.schemas.events import ExperimentPeriod
from serving.service import service

bp = Blueprint("report_page", __name__)
DEFAULT_DAYS, MAX_DAYS = 28, 366


@bp.get("/reports")
@needs("admin")
def page() -> Response:
    """Show what recommendations sold, and an experiment, in a period."""
    return report_response("reports/base.html", "/reports", csv=True)


def report_response(frame: str, path: str, **values: Any) -> Response:
    """Return the page within a frame, a template with the block `main`; `path` is where it is."""
    try:
        period, message = _period(), ""
    except Problem as problem:
        period, message = _last(DEFAULT_DAYS), problem.detail
    data = {**_orders(period), **_experiment(period)}
    today = datetime.now(UTC).date()
    shortcuts = [(days, today - timedelta(days=days - 1), today) for days in (7, 28, 90)]
    shared = {"period": period, "message": message, "shortcuts": shortcuts}
    values |= {"frame": frame, "path": path, "view": report_page, **shared, **data}
    return page_response(lambda nonce: render_template("reports/report.html", nonce=nonce, **values), forms=True)


def _last(days: int) -> ExperimentPeriod:
    today = datetime.now(UTC).date()
    return ExperimentPeriod.model_validate({"from": today - timedelta(days=days - 1), "to": today})


def _period() -> ExperimentPeriod:
    """Return the period of the request; raises a `Problem` (422) if it is none."""
    given = {name: request.args[name] for name in ("from", "to") if request.args.get(name)}
    if not given:
        return _last(DEFAULT_DAYS)
    if "from" not in given:
        given["from"] = str(date.min)
    period = ExperimentPeriod.model_validate(given)
    if (days := (period.to - period.from_).days + 1) > MAX_DAYS:
        raise Problem(422, "invalid-request", f"the period has {days:,} days; at most {MAX_DAYS} are drawn")
    return period


def _orders(period: ExperimentPeriod) -> dict[str, Any]:
    here = service()
    windows = here.settings.attribution.click_days, here.settings.attribution.view_days
    with deadline(REPORT_SECONDS):
        lines = here.store.events.orders(*period.bounds, max(windows))
    by_day = attributed(lines, ("placement", "day"), *windows)
    days = report_page.days_of(period.from_, period.to)
    shop = shop_totals(lines, *windows)
    by_placement = attributed(lines, ("placement",), *windows)
    colors = report_page.colors_of(by_placement)
    return {
        "rule": rule(*windows),
        "shop": sorted(shop, key=lambda total: -total["revenue"]),
        "charts": {
            each["currency"]: report_page.revenue_chart(by_day, days, each["currency"], colors) for each in shop
        },
        "placements": sorted(by_placement, key=lambda line: -line["revenue"]),
        "by_day": by_day,
    }


def _experiment(period: ExperimentPeriod) -> dict[str, Any]:
    """Return the experiment that is named, or the first of all; None without one."""
    running = {
        each.experiment.name for each in service().placements.state.placement_models.values() if each.experiment
    }
    name = request.args.get("experiment") or min(running, default="")
    if name not in running:
        return {"experiments": sorted(running), "name": name, "experiment": None}
    return {"experiments": sorted(running), "name": name, "experiment": experiment_of(name, period)}
