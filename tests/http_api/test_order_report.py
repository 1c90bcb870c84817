"""The report of orders over HTTP: JSON and CSV, its rule, and bad input."""

import csv
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from recommender.errors import ConfigError
from serving.settings import Key, Settings
from tests.http_api.helpers import NOW, Start, ids, post

DAY = NOW.date()
PERIOD = {"from": str(DAY - timedelta(days=3)), "to": str(DAY)}


def shop(client: FlaskClient) -> str:
    """Show, click and buy a recommendation and buy another product; return the recommended product."""
    answer = post(client, "placements/home/recommendations", session_id="s1")
    shown, other = ids(answer)[:2]
    recommended = {"recommendation_id": answer["recommendation_id"], "items": [{"item_id": shown}]}
    order = {"transaction_id": "T1", "currency": "eur", "value": 64.0}
    items = [{"item_id": shown, "price": 9.5, "quantity": 2}, {"item_id": other, "price": 45, "currency": "EUR"}]
    events = [
        {"event_name": "view_item_list", **recommended},
        {"event_name": "select_item", **recommended},
        {"event_name": "purchase", **order, "items": items},
        {"event_name": "purchase", **order, "items": items},
    ]
    for n, event in enumerate(events):
        moment = (NOW - timedelta(minutes=30 - n)).isoformat()
        post(client, "events", event_id=f"e{n}", timestamp=moment, session_id="s1", **event)
    return shown


def test_orders_of_a_placement(start: Start) -> None:
    client = start(placements={"home": {"question": {"strategy": "popular"}}}, attribution={"click_days": 3})
    shop(client)
    report = client.get("/v1/reports/orders", query_string=PERIOD).json
    (line,) = report["lines"]
    assert line.pop("day") in (str(DAY), str(DAY - timedelta(days=1)))
    key = {"placement": "home", "strategy": "popular", "arm": "", "currency": "EUR"}
    amounts = {"orders": 1, "units": 2.0, "revenue": 19.0, "average_order_value": 19.0, "users": 1}
    assert line == {**key, **amounts, "unpriced_units": 0.0}
    (total,) = report["shop"]
    assert (total["orders"], total["revenue"], total["attributed_revenue"]) == (1, 64.0, 19.0)
    rule = report["attribution"]
    assert (rule["click_days"], rule["view_days"]) == (3, 1)
    assert "in the 3 days before" in rule["rule"]


def test_the_report_as_csv_has_the_same_lines(start: Start) -> None:
    client = start(placements={"home": {"question": {"strategy": "popular"}}})
    shop(client)
    json_lines = client.get("/v1/reports/orders", query_string={**PERIOD, "by": "placement"}).json["lines"]
    by_parameter = client.get("/v1/reports/orders", query_string={**PERIOD, "by": "placement", "format": "csv"})
    by_header = client.get(
        "/v1/reports/orders", query_string={**PERIOD, "by": "placement"}, headers={"Accept": "text/csv"}
    )
    assert by_parameter.content_type == by_header.content_type == "text/csv; charset=utf-8"
    assert by_parameter.text == by_header.text
    (row,) = csv.DictReader(StringIO(by_parameter.text))
    assert row == {name: str(value) for name, value in json_lines[0].items()}
    counts = client.get("/v1/reports/placements", query_string={**PERIOD, "format": "csv"})
    (row,) = csv.DictReader(StringIO(counts.text))
    assert (row["placement"], row["impressions"], row["clicks"]) == ("home", "1", "1")


def test_pages_of_the_report_have_every_line_once(start: Start) -> None:
    client = start(placements={"home": {}, "more": {}})
    for n, placement in enumerate(["home", "more"]):
        answer = post(client, f"placements/{placement}/recommendations", session_id=f"s{n}", limit=1)
        for name in ("select_item", "purchase"):
            moment = (NOW - timedelta(minutes=30)).isoformat()
            event = {"event_id": f"{name}{n}", "event_name": name, "timestamp": moment, "session_id": f"s{n}"}
            items = [{"item_id": ids(answer)[0], "price": 5}]
            post(client, "events", **event, items=items, recommendation_id=answer["recommendation_id"])
    query = {**PERIOD, "by": "placement", "limit": 1}
    first = client.get("/v1/reports/orders", query_string=query).json
    second = client.get("/v1/reports/orders", query_string={**query, "cursor": first["next_cursor"]}).json
    assert [line["placement"] for page in (first, second) for line in page["lines"]] == ["home", "more"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"from": "2026-09-02", "to": "2026-09-01"}, "from 2026-09-02 is after to 2026-09-01"),
        ({"from": "2026-09-02"}, "to is missing"),
        ({"from": "yesterday", "to": "2026-09-01"}, "from"),
        ({**PERIOD, "by": "country"}, "by"),
        ({**PERIOD, "by": "day,day"}, "each once"),
        ({**PERIOD, "format": "xml"}, "format"),
        ({**PERIOD, "cursor": "AAAA"}, "cursor"),
    ],
)
def test_bad_periods_are_refused(client: FlaskClient, query: dict[str, str], message: str) -> None:
    answer = client.get("/v1/reports/orders", query_string=query)
    assert answer.status_code == 422
    assert message in answer.json["detail"]


def test_the_longest_period_is_answered(client: FlaskClient) -> None:
    for by in ("", "day"):
        whole = client.get("/v1/reports/orders", query_string={"from": "0001-01-01", "to": "9999-12-31", "by": by})
        assert whole.json["lines"] == whole.json["shop"] == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [({"click_days": 0}, "click_days"), ({"click_days": 2, "view_days": 3}, "no more days for a view")],
)
def test_windows_that_make_no_sense_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings.load(attribution=rule)


def test_the_report_is_for_administrators(start: Start) -> None:
    keys = {"shop": {"sha256": Key.hash("secret"), "scopes": ["public", "server"]}}
    client = start(keys=keys)
    answer = client.get("/v1/reports/orders", query_string=PERIOD, headers={"Authorization": "Bearer secret"})
    assert answer.status_code == 403


@pytest.mark.parametrize(("currency", "stored"), [("€", "EUR"), ("usd", "USD"), ("", None), (None, None)])
def test_currencies_of_events_are_codes(client: FlaskClient, currency: str | None, stored: str | None) -> None:
    moment = (NOW - timedelta(minutes=30)).isoformat()
    event = {"event_id": "e", "event_name": "purchase", "timestamp": moment, "user_id": "u", "transaction_id": 17}
    post(client, "events", **event, items=[{"item_id": "x"}], currency=currency)
    (found,) = client.get("/v1/users/u/events").json["events"]
    assert (found["currency"], found["transaction_id"]) == (stored, "17")


def test_a_currency_that_is_none_is_refused(client: FlaskClient) -> None:
    event = {"event_id": "e", "event_name": "purchase", "timestamp": NOW.isoformat(), "user_id": "u"}
    answer = client.post("/v1/events", json={**event, "items": [{"item_id": "x"}], "currency": "gold coins"})
    assert answer.status_code == 422
    assert "ISO 4217" in answer.json["detail"]
