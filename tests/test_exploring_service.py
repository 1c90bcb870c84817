"""The loop closed: a placement explores, logs its propensities, and other policies are estimated from the log."""

import json
import multiprocessing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import recommender
from recommender.cli import app
from recommender.errors import StoreUnavailableError
from recommender.evaluation.answer_log import read_frame
from recommender.ranking.exploration import Exploration
from recommender.ranking.request import Request
from recommender.stores import open_store
from recommender.stores.attribution import seed_of
from serving.server import serve
from serving.service import KEY
from tests.http_api.conftest import start  # noqa: F401
from tests.http_api.helpers import Start, ids, post, rec_of, send
from tests.test_serving_server import await_live, free_port

K, ANSWERS = 5, 250
HOME = {"question": {"strategy": "popular", "limit": K}, "exploration": {"share": 0.5}}
CONFIG = """
[placements.home]
question = {strategy = "popular", limit = 5, filter = "price < PRICE"}
exploration = {share = 0.5}
"""


def few_products(bundles: Path) -> float:
    """Return a price below which about fifteen products are: each is shown at each position now and then."""
    rec = recommender.load(bundles)
    prices = sorted(rec.product(item_id)["price"] for item_id in rec.recommend(k=80, strategy="popular").item_ids)
    return float(prices[15])


@pytest.fixture
def server(demo_bundles: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """A service in a process of its own, with a placement that explores."""
    (tmp_path / "service.toml").write_text(CONFIG.replace("PRICE", str(few_products(demo_bundles))))
    options = {"port": free_port(), "store": f"sqlite:///{tmp_path}/store.db", "rate": 1e6, "burst": 10**6}
    options["log_level"] = "error"
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(demo_bundles, tmp_path / "service.toml"), kwargs=options
    )
    process.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{options['port']}", timeout=30) as client:
        try:
            await_live(client, process)
            yield client
        finally:
            process.terminate()
            process.join(30)


def run(*args: object) -> Any:
    ran = CliRunner().invoke(app, [*map(str, args), "--json"], catch_exceptions=False)
    return json.loads(ran.stdout)


def click_rate(item_id: str, position: int, popular: list[str]) -> float:
    """The planted model: the placement's own products are clicked most, and the first positions."""
    return (0.9 if item_id in popular else 0.3) * 0.9 ** (position - 1)


def test_the_truth_of_planted_clicks_is_estimated_from_the_log(
    server: httpx.Client, demo_bundles: Path, tmp_path: Path
) -> None:
    rec, rng = recommender.load(demo_bundles), np.random.default_rng(0)
    filter = f"price < {few_products(demo_bundles)}"
    lists = {name: rec.recommend(k=K, strategy=name, filter=filter).item_ids for name in ("popular", "new")}
    events: list[dict[str, Any]] = []
    for number in range(ANSWERS):
        session = f"s{number // 3}"
        answer = server.post("/v1/placements/home/recommendations", json={"session_id": session}).json()
        common = {"session_id": session, "recommendation_id": answer["recommendation_id"]}
        for item in answer["items"]:
            if rng.random() < click_rate(item["item_id"], item["rank"], lists["popular"]):
                event = {"event_name": "select_item", "items": [{"item_id": item["item_id"]}]}
                events.append({"event_id": f"e{len(events)}", **event, **common})
    for event in events:  # after the answers, so that each was for somebody without a history
        event["timestamp"] = datetime.now(UTC).isoformat()
    forged = {**events[0], "event_id": "forged", "recommendation_id": events[0]["recommendation_id"][:-1] + "!"}
    sent = [server.post("/v1/events:batch", json={"events": events[at : at + 500]}) for at in range(0, 3000, 500)]
    assert {each["status"] for answer in sent for each in answer.json().get("events", [])} == {"stored"}
    receipt = server.post("/v1/events", json=forged).json()
    assert "not from this service" in receipt["warnings"][0]

    store, log = f"sqlite:///{tmp_path}/store.db", tmp_path / "log.parquet"
    counts = run("events", "answers", log, "--store", store)
    assert (counts["answers"], counts["rows"]) == (ANSWERS, K * ANSWERS)
    frame = read_frame(log)
    assert frame["click"].sum() == len(events)
    assert {*frame["placement"]} == {"home"}
    assert 0.4 < frame["explored"].mean() < 0.6
    for options, name, shown in (
        ([], "without exploration", lists["popular"]),
        (["--strategy", "new"], "strategy new", lists["new"]),
    ):
        # a variant of a product of the list is never shown beside it: what is estimated is the rest
        supported = [(at, item) for at, item in enumerate(shown, start=1) if item in {*frame["item_id"]}]
        assert len(supported) > 2
        truth = np.mean([click_rate(item, at, lists["popular"]) for at, item in supported])
        report = run("evaluate", demo_bundles, "--off-policy", log, "--store", store, *options)
        assert report["estimates"][1]["mean_weight"] == pytest.approx(len(supported) / K, abs=0.5)
        assert {estimate["policy"] for estimate in report["estimates"][1:]} == {name}
        for estimate in report["estimates"][
            1 : 3 if len(supported) == K else 2
        ]:  # DR takes the rest from its model
            width = max(estimate["high"] - estimate["value"], 0.01)
            assert abs(estimate["value"] - truth) < 2 * width  # of one draw, the interval may just miss it
    logged, own = frame["click"].mean(), run("evaluate", demo_bundles, "--off-policy", log)["estimates"][1]
    assert own["low"] > logged + 0.05
    reverse = lists["popular"][::-1]
    policy = pd.DataFrame({"position": range(1, K + 1), "item_id": reverse, "probability": 1.0})
    policy.to_csv(tmp_path / "reverse.csv", index=False)
    turned = run("evaluate", "--off-policy", log, "--policy", tmp_path / "reverse.csv")
    truth = np.mean([click_rate(item, at, lists["popular"]) for at, item in enumerate(reverse, start=1)])
    value, high = turned["estimates"][1]["value"], turned["estimates"][1]["high"]
    assert abs(value - truth) < 2 * (high - value)
    assert turned["estimates"][1]["mean_weight"] == pytest.approx(1, abs=0.5)
    policy = policy.assign(item_id=lists["popular"])
    policy.to_csv(tmp_path / "own.csv", index=False)
    given = run("evaluate", "--off-policy", log, "--policy", tmp_path / "own.csv")["estimates"][1]
    assert given["value"] == pytest.approx(own["value"])


def test_an_answer_is_drawn_again_by_its_id(start: Start) -> None:  # noqa: F811
    client = start(placements={"home": HOME})
    for _ in range(5):
        answer = post(client, "placements/home/recommendations", session_id="s")
        again = rec_of(client).run(
            Request(strategy="popular", k=K, exploration=Exploration(0.5, seed_of(answer["recommendation_id"])))
        )
        assert again.item_ids == ids(answer)
        assert [item.explored for item in again] == [item.get("explored", False) for item in answer["items"]]


def test_without_exploration_nothing_is_logged(start: Start, tmp_path: Path) -> None:  # noqa: F811
    client = start(placements={"home": {"question": {"limit": 4}}})
    post(client, "placements/home/recommendations")
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        assert [*store.answers.read(datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC))] == []


def test_what_cannot_be_logged_is_not_explored(start: Start) -> None:  # noqa: F811
    client = start(placements={"home": HOME})

    def down(answer: object) -> None:
        raise StoreUnavailableError("down")

    plain = rec_of(client).recommend(k=K, strategy="popular").item_ids
    store = client.application.extensions[KEY].store.answers._store._store
    store.answers.add = down
    for _ in range(3):
        answer = post(client, "placements/home/recommendations")
        assert ids(answer) == plain
        assert "nothing is explored" in answer["warnings"][0]


def test_erasure_and_expiry_delete_logged_answers(start: Start, tmp_path: Path) -> None:  # noqa: F811
    client = start(placements={"home": HOME})
    for user in ("erased", "kept"):
        send(client, user, [("view_item", rec_of(client).ids[0])])
        post(client, "placements/home/recommendations", seeds={"user_id": user})
    post(client, "placements/home/recommendations", session_id="gone")
    post(client, "placements/home/recommendations", session_id="merged")
    post(client, "users:merge", session_id="merged", user_id="kept")
    period = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        assert [answer.user_id for answer in store.answers.read(*period)] == ["erased", "kept", "", "kept"]
        assert "erased" not in str([answer.request for answer in store.answers.read(*period)])
        assert client.delete("/v1/users/erased").status_code == 200
        store.events.erase_session("gone")
        assert [answer.user_id for answer in store.answers.read(*period)] == ["kept", "kept"]
        store.events.expire(datetime.now(UTC) + timedelta(hours=1))
        assert [*store.answers.read(*period)] == []


def test_reports_count_impressions_by_age(start: Start) -> None:  # noqa: F811
    client = start(placements={"home": {"question": {"limit": 3, "strategy": "popular"}}})
    answer = post(client, "placements/home/recommendations", session_id="s")
    shown = [("view_item_list", item_id) for item_id in ids(answer)]
    send(
        client,
        "u",
        [*shown, *shown[:1], ("select_item", ids(answer)[0])],
        recommendation_id=answer["recommendation_id"],
    )
    day = datetime.now(UTC).date()
    query = {"from": day - timedelta(days=2), "to": day}
    (line,) = client.get("/v1/reports/placements", query_string=query).json["placements"]
    ages = [
        (datetime.now(UTC) - datetime.fromisoformat(rec_of(client).product(item_id)["published_at"])).days
        for item_id in ids(answer)
    ]
    assert line["impressions"] == sum(line["ages"].values()) == 3
    assert line["ages"]["older"] == sum(age > 90 for age in ages)
