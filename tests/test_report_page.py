"""The page of reports: what it says, without orders and with wrong periods, and how it looks in a browser."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask

from recommender.stores.attribution import Attribution
from serving.app import create_app
from serving.charts import HEIGHT, Series, bar_chart, line_chart
from serving.report_page import colors_of, revenue_chart, verdict
from serving.schemas.placements import Placement
from serving.service import KEY as SERVICE
from serving.settings import Key as ApiKey
from serving.settings import Settings
from tests.browser import listening, quiet_page
from tests.serving_fakes import load, publish
from tests.test_experiment_report import DAYS, EXPERIMENT, START, TODAY, order, shop_events
from tests.test_experiment_report import KEY as SIGNING_KEY


@pytest.fixture
def app(tmp_path: Any) -> Iterator[APIFlask]:
    publish(tmp_path / "bundles", "g1")
    placements = {"home": Placement(experiment=EXPERIMENT), "plain": Placement()}
    app = create_app(tmp_path / "bundles", Settings(placements=placements), load=load, watch_seconds=None)
    yield app
    app.extensions[SERVICE].close()


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("\xa0", " ")


def test_the_page_shows_what_was_sold_and_what_the_experiment_has_found(app: APIFlask) -> None:
    app.extensions[SERVICE].store.events.add(shop_events())
    answer = app.test_client().get("/reports")
    shown = text_of(answer.text)
    assert answer.status_code == 200
    assert "images is better than usual" in shown
    assert "sample ratio as planned" in shown
    assert "4,000 of 4,000 planned visitors" in shown
    assert "in the 7 days before" in shown
    assert (
        answer.text.count("<table") == answer.text.count('<svg class="plot"') + 2
    )  # the arms; days of placements
    assert "style=" not in answer.text  # the policy admits none


def test_a_shop_without_orders_is_told_what_to_send(app: APIFlask) -> None:
    shown = text_of(app.test_client().get("/reports").text)
    assert "no orders in this period. Send purchase events" in shown
    assert "No visitors: the period has no view_item_list events" in shown
    other = text_of(app.test_client().get("/reports?experiment=unknown").text)
    assert "There is no experiment “unknown”. There are: pictures" in other


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2026-03-01&to=2026-02-01", "from 2026-03-01 is after to 2026-02-01"),
        ("from=2001-01-01&to=2026-02-01", "at most 366 are drawn"),
        ("from=%3Cb%3E&to=2026-02-01", "from: "),
    ],
)
def test_wrong_periods_are_explained(app: APIFlask, query: str, message: str) -> None:
    answer = app.test_client().get(f"/reports?{query}")
    assert (answer.status_code, message in answer.text, "<b>'" in answer.text) == (200, True, False)


def test_the_page_is_for_administrators(tmp_path: Any) -> None:
    publish(tmp_path / "bundles", "g1")
    keys = {"shop": {"sha256": ApiKey.hash("secret"), "scopes": ["public", "server"]}}
    app = create_app(tmp_path / "bundles", Settings(keys=keys), load=load, watch_seconds=None)
    client = app.test_client()
    assert client.get("/reports").status_code == 401
    assert client.get("/reports", headers={"Authorization": "Bearer secret"}).status_code == 403
    app.extensions[SERVICE].close()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_its_charts_are_drawn(app: APIFlask, browser: Any, width: int, scheme: str) -> None:
    events = [*shop_events(), order(1, 30, currency="CHF", price=7.0)]
    app.extensions[SERVICE].store.events.add(events)
    size = {"width": width, "height": 900}
    with listening(app) as url, quiet_page(browser, f"{url}/reports", viewport=size, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        plots = page.locator("svg.plot").all()
        assert len(plots) == 2 + 3 + 1
        assert all(plot.bounding_box()["width"] > 200 for plot in plots)
        assert all(plot.get_attribute("aria-label") for plot in plots)
        page.locator("summary").first.click()
        assert page.locator("details[open] table").first.is_visible()
        page.get_by_role("link", name="7 days").click()
        assert f"from={(TODAY - timedelta(days=6)).date()}" in page.url


def test_the_form_shows_another_period(app: APIFlask, browser: Any) -> None:
    app.extensions[SERVICE].store.events.add(shop_events(400))
    with listening(app) as url, quiet_page(browser, f"{url}/reports") as page:
        page.get_by_label("From", exact=True).fill(str(START.date()))
        page.get_by_label("To", exact=True).fill(str((START + timedelta(days=4)).date()))
        page.get_by_role("button", name="Show").click()
        page.wait_for_url("**from=*")
        assert page.locator("h2", has_text="pictures").is_visible()
        rows = page.locator("article", has=page.locator("h3", has_text="Visitors")).locator("tbody tr")
        assert rows.count() == 5 < DAYS


def line(placement: str, day: str, revenue: float, currency: str = "EUR") -> dict[str, Any]:
    return {"placement": placement, "day": day, "revenue": revenue, "currency": currency, "orders": 1}


def test_bars_have_the_heights_of_their_amounts() -> None:
    lines = [line("a", "2026-11-01", 30.0), line("b", "2026-11-01", 10.0), line("a", "2026-11-02", 20.0)]
    chart = revenue_chart(
        [*lines, line("a", "2026-11-01", 9.0, "USD")], ["2026-11-01", "2026-11-02"], "EUR", colors_of(lines)
    )
    heights = [bar[3] for bar in chart.bars]
    assert heights[0] == pytest.approx(3 * heights[1], abs=0.5)
    assert heights[2] == pytest.approx(2 * heights[1], abs=0.5)
    assert chart.bars[1][1] + chart.bars[1][3] == chart.bars[0][1]  # one upon the other
    assert "60.00 EUR" in chart.summary


def test_many_placements_share_the_last_color() -> None:
    lines = [line(f"p{n}", "2026-11-01", 10.0) for n in range(9)]
    chart = revenue_chart(lines, ["2026-11-01"], "EUR", colors_of(lines))
    assert [series.name for series in chart.series] == ["p0", "p1", "p2", "p3", "p4", "others"]
    assert chart.series[-1].values == [40.0]


def test_charts_of_one_day_of_nothing_and_of_gaps() -> None:
    def show(value: float) -> str:
        return f"{value:g}"

    assert bar_chart("t", "", [], [], show, []).bars == ()
    empty = line_chart("t", "", ["1 Nov"], [Series("effect", [None])], show, ["-"], ([None], [None]))
    assert empty.shapes[1][0] == ""
    one = line_chart("t", "", ["1 Nov"], [Series("effect", [2.0])], show, ["-"])
    assert "h8" in one.shapes[0][0]
    gap = line_chart(
        "t",
        "",
        ["1", "2", "3"],
        [Series("e", [None, 1.0, 2.0])],
        show,
        ["-"] * 3,
        ([None, -1.0, 0.5], [None, 3.0, 3.5]),
    )
    assert gap.zero == HEIGHT / 2
    assert "None" not in str(gap.shapes)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"effect": None}, "Too few visitors"),
        (
            {"effect": 0.01, "low": -0.01, "high": 0.03, "lift": 0.1, "is_significant": False},
            "No difference from usual",
        ),
        (
            {"effect": -0.02, "low": -0.03, "high": -0.01, "lift": -0.2, "is_significant": True},
            "new is worse than usual",
        ),
    ],
)
def test_verdicts(found: dict[str, Any], expected: str) -> None:
    assert expected in verdict({"arm": "new", **found}, {"currency": None}, "usual")


def test_names_in_the_page_are_escaped(app: APIFlask) -> None:
    rec = Attribution("g1", "<script>x</script>", "for_you", "").new_id(SIGNING_KEY)
    events = [order(1, 1, recommendation_id=rec)]
    app.extensions[SERVICE].store.events.add(events)
    html = app.test_client().get("/reports").text
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
