"""Placements: defaults, rules, pages, experiments, reports."""

from datetime import timedelta
from typing import Any

import pytest

from recommender.ranking.request import Request
from recommender.ranking.results import Recommendations
from serving.placements import arm_of
from serving.schemas.placements import Experiment
from tests.http_api.helpers import NOW, Start, ids, post, rec_of, send


def placements(**more: Any) -> dict[str, Any]:
    return {"placements": {"home": {"question": {"strategy": "popular", "limit": 4}, **more}, "more": {}}}


def test_a_placement_has_defaults_and_overriding_rules(start: Start) -> None:
    plain = start()
    popular = ids(post(plain, limit=60))
    blocked = rec_of(plain).product(popular[0])["brand"]
    rules = {
        "block": f'brand: ANY("{blocked}")',
        "bury": ["price < 20"],
        "pin": [{"position": 2, "item_id": popular[-1]}],
    }
    client = start(**placements(**rules))
    answer = post(client, "placements/home/recommendations", fields=["brand", "price"])
    assert answer["placement"] == "home"
    assert answer["recommendation_id"].split("~")[1] == "home"
    assert len(answer["items"]) == 4
    assert rec_of(client).product(popular[-1])["brand"] == blocked or ids(answer)[1] == popular[-1]
    assert all(item["fields"]["brand"] != blocked for item in answer["items"])
    assert all(item["fields"]["price"] >= 20 for item in answer["items"] if item["item_id"] != popular[-1])
    overridden = post(client, "placements/home/recommendations", limit=2, filter="price > 30")
    assert len(overridden["items"]) == 2
    unknown = client.post("/v1/placements/hom/recommendations", json={})
    assert (unknown.status_code, unknown.json["type"]) == (404, "urn:problem:unknown-placement")


def test_a_page_shows_no_product_twice(start: Start) -> None:
    client = start(**placements())
    page = post(
        client, "pages/recommendations", placements=[{"placement": "home", "limit": 9}, {"placement": "more"}]
    )
    first, second = (ids(answer) for answer in page["placements"])
    groups = [rec_of(client).product(item_id)["item_group_id"] or item_id for item_id in first + second]
    assert len(groups) == len(set(groups)) == 9 + 12


def test_arms_are_stable_and_follow_their_shares() -> None:
    arms = [{"name": "a", "share": 0.25}, {"name": "b", "share": 0.75}]
    experiment = Experiment.model_validate({"name": "x", "arms": arms})
    names = [arm_of(experiment, f"user {n}").name for n in range(4000)]
    assert names == [arm_of(experiment, f"user {n}").name for n in range(4000)]
    assert 0.22 < names.count("a") / 4000 < 0.28
    other = Experiment.model_validate({"name": "y", "arms": arms})
    both = sum(arm_of(other, f"user {n}").name == name == "a" for n, name in enumerate(names))
    assert 0.04 < both / 4000 < 0.085  # experiments divide independently


def test_an_experiment_is_named_and_reported(start: Start) -> None:
    arms = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "strategy": "new"}]
    client = start(**placements(experiment={"name": "x", "arms": arms}))
    for n in range(20):
        answer = post(client, "placements/home/recommendations", session_id=f"s{n}")
        arm = answer["recommendation_id"].split("~")[3]
        assert (arm, answer["strategy"]) in {("a", "popular"), ("b", "new")}
        shown = [("view_item_list", item_id) for item_id in ids(answer)]
        clicked = [("select_item", ids(answer)[0])]
        send(client, f"u{n}", shown + clicked, recommendation_id=answer["recommendation_id"])
    day = NOW.date()
    report = client.get(f"/v1/reports/placements?from={day - timedelta(days=2)}&to={day}").json["placements"]
    assert {line["arm"] for line in report} == {"a", "b"}
    assert sum(line["impressions"] for line in report) == 80
    assert {line["click_rate"] for line in report} == {0.25}


def test_one_failing_placement_does_not_fail_the_page(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(placements={"usual": {"question": {"strategy": "similar"}}, "popular": {}})
    rec = rec_of(client)
    run = rec.run

    def failing(request: Request) -> Recommendations:
        if request.strategy == "similar":
            raise ZeroDivisionError("secret")
        return run(request)

    monkeypatch.setattr(rec, "run", failing)
    body = {"placements": [{"placement": "usual"}, {"placement": "popular"}, {"placement": "populr"}]}
    failed, whole, unknown = post(client, "pages/recommendations", **body)["placements"]
    assert (failed["placement"], failed["error"]["status"]) == ("usual", 500)
    assert failed["error"]["detail"].split()[1] in caplog.text
    assert "secret" not in str(failed)
    assert (whole["placement"], len(whole["items"])) == ("popular", 12)
    assert unknown["error"]["type"] == "urn:problem:unknown-placement"
    alone = client.post("/v1/pages/recommendations", json={"placements": [{"placement": "populr"}]})
    assert (alone.status_code, alone.json) == (404, unknown["error"])
