"""The report of an experiment on a simulated shop's events, against a plain count and the planted effect."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from recommender.events import Event
from recommender.stores import Store, open_store
from recommender.stores.attribution import DRAWN, Attribution
from serving.app import create_app
from serving.experiment_report import experiment_report, find_experiment, read_experiment
from serving.placements import arm_of
from serving.problems import Problem
from serving.schemas.placements import Experiment, Placement
from serving.service import KEY as SERVICE
from serving.settings import Settings
from tests.serving_fakes import load, publish
from tests.test_stores import postgres, store, url  # noqa: F401

# ruff: noqa: F811  # fixtures
KEY = b"k" * 32
DAYS = 20
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START = TODAY - timedelta(days=DAYS)
ARMS = [{"name": "usual", "share": 0.5}, {"name": "images", "share": 0.5, "weights": {"image": 1}}]
EXPERIMENT = Experiment.model_validate({"name": "pictures", "arms": ARMS, "planned_visitors": 4000})


def rec(arm: str, placement: str = "home") -> str:
    return Attribution("g1", placement, "for_you", arm).new_id(KEY)


def shop_events(n: int = 4000, rate: float = 0.1, lift: float = 0.6, seed: int = 0) -> list[Event]:
    """Return views of `n` visitors, and orders of some: half by session, half by user from the shop's server."""
    rng, events = np.random.default_rng(seed), []
    for i in range(n):
        session, user = f"s{i}", f"u{i}" if rng.random() < 0.5 else ""
        arm = arm_of(EXPERIMENT, session).name
        seen = START + timedelta(days=DAYS * i / n, minutes=1)
        who: dict[str, Any] = {"user_id": user, "session_id": session}
        events.append(Event("A", "view_item_list", seen, event_id=f"v{i}", recommendation_id=rec(arm), **who))
        if rng.random() < rate * (1 + lift * (arm == "images")):
            owner = {"user_id": user} if user and rng.random() < 0.5 else who
            moment = seen + timedelta(hours=float(rng.integers(1, 40)))
            order = {
                "event_id": f"o{i}",
                "transaction_id": f"t{i}",
                "currency": "EUR",
                "price": float(rng.integers(5, 90)),
            }
            events += [Event(item, "purchase", moment, **owner, **order) for item in "AB"[: rng.integers(1, 3)]]
    return events


def totals(events: list[Event]) -> dict[str, tuple[int, int, float]]:
    """Return visitors, orders and revenue of each arm; the number of a visitor ends the ids of its events."""
    found = {}
    for arm in ("usual", "images"):
        mine = {
            e.event_id[1:]
            for e in events
            if e.event_name == "view_item_list" and f"~{arm}~" in e.recommendation_id
        }
        bought = [
            e for e in events if e.event_name == "purchase" and e.event_id[1:] in mine and e.timestamp < TODAY
        ]
        found[arm] = len(mine), len({e.event_id for e in bought}), sum(e.price or 0 for e in bought)
    return found


def report_of(store: Store, experiment: Experiment = EXPERIMENT) -> dict[str, Any]:
    return experiment_report(read_experiment(store.events, experiment, ["home"], START, TODAY), experiment)


def test_the_report_has_the_counts_and_the_effect_that_were_planted(store: Store) -> None:
    events = shop_events()
    store.events.add(events[::-1])
    report = report_of(store)
    expected = totals(events)
    for arm in report["arms"]:
        visitors, orders, revenue = expected[arm["arm"]]
        assert (arm["visitors"], arm["orders"], arm["converted"]) == (visitors, orders, orders)
        assert arm["revenue"] == {"EUR": pytest.approx(revenue)}
        assert arm["revenue_per_visitor"]["EUR"] == pytest.approx(revenue / visitors, abs=1e-6)
        assert arm["conversion_rate"] == pytest.approx(orders / visitors)
    conversion, revenue_metric = report["metrics"]
    (effect,) = conversion["effects"]
    assert effect["is_significant"]
    assert effect["low"] < 0.06 < effect["high"]
    assert effect["effect"] == pytest.approx(
        report["arms"][1]["conversion_rate"] - report["arms"][0]["conversion_rate"]
    )
    assert (revenue_metric["currency"], revenue_metric["effects"][0]["effect"] > 0) == ("EUR", True)
    assert len(report["days"]) == len(effect["days"]) == DAYS
    assert report["days"][-1]["visitors"] == {name: visitors for name, (visitors, _, _) in expected.items()}
    assert (report["sample_ratio"]["is_mismatch"], report["mixed_visitors"], report["warnings"]) == (False, 0, [])


@pytest.fixture
def shop(tmp_path: Any) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/shop.sqlite") as opened:
        yield opened


def view(n: int, arm: str, hours: float = 0, **more: Any) -> Event:
    moment = START + timedelta(hours=hours)
    values = {"session_id": f"s{n}", "event_id": f"v{n}{arm}{hours}", "recommendation_id": rec(arm)}
    return Event("A", "view_item_list", moment, **{**values, **more})


def order(n: int, hours: float, **more: Any) -> Event:
    values = {"session_id": f"s{n}", "event_id": f"o{n}{hours}", "price": 10.0, "currency": "EUR"}
    return Event("A", "purchase", START + timedelta(hours=hours), **{**values, **more})


def test_orders_before_the_first_view_and_of_others_do_not_count(shop: Store) -> None:
    shop.events.add([view(1, "usual", 5), order(1, 4), order(2, 6), order(1, 7), order(1, 8)])
    (usual, images) = report_of(shop)["arms"]
    assert (usual["visitors"], usual["converted"], usual["orders"], usual["revenue"]) == (1, 1, 2, {"EUR": 20.0})
    assert (images["visitors"], images["conversion_rate"], images["revenue"]) == (0, None, {})


def test_an_order_without_a_session_is_of_the_latest_visitor_of_its_user(shop: Store) -> None:
    shop.events.add(
        [view(1, "usual", 1, user_id="u"), view(2, "images", 5, user_id="u"), view(3, "usual", 9, user_id="u")]
    )
    shop.events.add([order(0, 6, session_id="", user_id="u")])
    assert [arm["orders"] for arm in report_of(shop)["arms"]] == [0, 1]


def test_refunds_subtract_and_currencies_stay_apart(shop: Store) -> None:
    shop.events.add([view(1, "usual"), order(1, 1, transaction_id="t1"), order(1, 2, currency="USD")])
    shop.events.add([replace(order(1, 3, transaction_id="t1"), event_name="refund")])
    shop.events.add([view(2, "images"), order(2, 1, quantity=3.0), order(2, 2, currency=None, price=4.0)])
    report = report_of(shop)
    assert [arm["revenue"] for arm in report["arms"]] == [{"USD": 10.0}, {"": 4.0, "EUR": 30.0}]
    assert [metric["currency"] for metric in report["metrics"]] == [None, "", "EUR", "USD"]


def test_visitors_of_several_arms_drawn_arms_and_other_placements_are_left_out(shop: Store) -> None:
    shop.events.add([view(1, "usual"), view(1, "images", 1), view(2, DRAWN), view(3, "usual"), view(4, "old arm")])
    shop.events.add(
        [view(5, "usual", recommendation_id=rec("usual", "else~where")), view(6, "usual", user_id="storefront:x")]
    )
    shop.events.add([view(7, "usual", recommendation_id=rec("usual", "elsewhere"))])
    report = report_of(shop)
    assert [arm["visitors"] for arm in report["arms"]] == [1, 0]
    assert report["mixed_visitors"] == 1
    assert any("several arms" in warning for warning in report["warnings"])
    assert any("no visitors in images" in warning for warning in report["warnings"])


def test_history_before_the_experiment_reduces_the_variance(shop: Store) -> None:
    events = [view(n, "usual" if n % 2 else "images", user_id=f"u{n}") for n in range(400)]
    for n in range(0, 400, 4):
        events += [order(n + n % 8 // 4, 1), order(n + n % 8 // 4, -30 * 24 / 2)]
    shop.events.add(events)
    (effect,) = report_of(shop)["metrics"][0]["effects"]
    assert effect["variance_reduction"] > 0.9
    shop.events.add([order(n + 1, -1) for n in range(0, 400, 4)])
    (effect,) = report_of(shop)["metrics"][0]["effects"]
    assert 0 < effect["variance_reduction"] < 0.9


def test_a_wrong_ratio_of_visitors_is_reported(shop: Store) -> None:
    shop.events.add([view(n, "images" if n % 3 else "usual") for n in range(900)])
    report = report_of(shop)
    assert report["sample_ratio"]["is_mismatch"]
    assert "ratio of their shares" in report["warnings"][0]


def test_an_experiment_of_one_arm_compares_nothing(shop: Store) -> None:
    alone = Experiment.model_validate({"name": "x", "arms": [{"name": "usual", "share": 1}]})
    shop.events.add([view(1, "usual"), order(1, 1)])
    report = report_of(shop, alone)
    assert (report["metrics"], report["arms"][0]["orders"]) == ([], 1)
    assert "one arm" in report["warnings"][0]


def test_experiments_are_found_by_their_name_and_by_their_placement() -> None:
    placements = {name: Placement(experiment=EXPERIMENT) for name in ("home", "basket")} | {"plain": Placement()}
    for name in ("pictures", "home"):
        assert find_experiment(placements, name) == (EXPERIMENT, ["basket", "home"])
    with pytest.raises(Problem, match="'plain' has no experiment; experiments: pictures"):
        find_experiment(placements, "plain")
    with pytest.raises(Problem, match="unknown experiment 'x'; experiments: none"):
        find_experiment({}, "x")


@pytest.fixture
def client(tmp_path: Any) -> Iterator[FlaskClient]:
    publish(tmp_path / "bundles", "g1")
    placements = {"home": Placement(experiment=EXPERIMENT)}
    app = create_app(tmp_path / "bundles", Settings(placements=placements), load=load, watch_seconds=None)
    app.extensions[SERVICE].store.events.add(shop_events(1500))
    yield app.test_client()
    app.extensions[SERVICE].close()


def test_the_report_over_http_as_json_and_csv(client: FlaskClient) -> None:
    url = "/v1/reports/experiments/pictures"
    report = client.get(url, query_string={"from": START.date()}).json
    assert (report["experiment"], report["placements"], report["to"]) == ("pictures", ["home"], str(TODAY.date()))
    rows = [*csv.DictReader(StringIO(client.get(url, query_string={"from": START.date(), "format": "csv"}).text))]
    days = report["metrics"][0]["effects"][0]["days"]
    assert [row["day"] for row in rows if row["metric"] == "conversion_rate"] == [day["day"] for day in days]
    assert float(rows[len(days) - 1]["effect"]) == days[-1]["effect"]


@pytest.mark.parametrize(
    ("url", "status", "message"),
    [
        ("unknown?from=2026-01-01", 404, "experiments: pictures"),
        ("pictures?from=2026-02-01&to=2026-01-01", 422, "is after"),
        ("pictures", 422, "from is missing"),
    ],
)
def test_bad_questions_about_experiments(client: FlaskClient, url: str, status: int, message: str) -> None:
    answer = client.get(f"/v1/reports/experiments/{url}")
    assert answer.status_code == status
    assert message in answer.json["detail"]


def test_a_period_without_visitors_says_what_to_send(client: FlaskClient) -> None:
    report = client.get("/v1/reports/experiments/home?from=2020-01-01&to=2020-01-05").json
    assert report["days"] == []
    assert "send" in report["warnings"][0]
    assert report["metrics"][0]["effects"][0]["p_value"] == 1
