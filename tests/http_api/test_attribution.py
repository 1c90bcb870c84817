"""What counts in reports and trending: genuine answers, known products, the past, and not too many visitors."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from serving.attributing import VisitorLimit
from serving.service import KEY, Service
from serving.settings import Key
from tests.http_api.helpers import NOW, Start, ids, post, rec_of, send
from tests.test_serving_rates import url as redis_url  # noqa: F401

KEYS = {
    "public": {"sha256": Key.hash("public secret"), "scopes": ["public"]},
    "server": {"sha256": Key.hash("server secret"), "scopes": ["public", "server"]},
}


def lines(client: FlaskClient, **more: Any) -> list[dict[str, Any]]:
    query = {"from": (NOW - timedelta(days=2)).date(), "to": (NOW + timedelta(days=2)).date(), **more}
    report = client.get("/v1/reports/placements", query_string=query)
    assert report.status_code == 200, report.json
    placements: list[dict[str, Any]] = report.json["placements"]
    return placements


def trending(client: FlaskClient) -> dict[str, float]:
    service: Service = client.application.extensions[KEY]
    service.trending._count_at = 0.0
    service.trending.refresh()
    return dict(service.trending.products)


def buy(client: FlaskClient, n: int, item_id: str, **more: Any) -> dict[str, Any]:
    event = {"event_id": f"e{n}", "event_name": "purchase", "timestamp": (NOW - timedelta(hours=1)).isoformat()}
    return post(client, "events", **{**event, "session_id": f"s{n}", "items": [{"item_id": item_id}], **more})


def test_ids_that_no_answer_had_count_nowhere(client: FlaskClient) -> None:
    answer = post(client)
    genuine, product = answer["recommendation_id"], ids(answer)[0]
    generation = genuine.partition("~")[0]
    forged = [
        f"{generation}~home~for_you~a~AAAAAAAAAAAAAAAA",
        genuine[:-1] + ("A" if genuine[-1] != "A" else "B"),
        "x",
    ]
    forged.append(genuine.replace("~popular~", "~for_you~"))
    for n, recommendation_id in enumerate(forged):
        receipt = buy(client, n, product, recommendation_id=recommendation_id)
        assert receipt["status"] == "stored"
        assert "not from this service" in receipt["warnings"][0]
    assert lines(client) == []
    assert trending(client) == {}
    assert buy(client, 9, product, recommendation_id=genuine)["warnings"] == []
    assert [line["purchases"] for line in lines(client)] == [1]
    assert trending(client) == {product: 5.0}


def test_unknown_products_and_the_future_count_nowhere(client: FlaskClient) -> None:
    answer = post(client)
    genuine, product = answer["recommendation_id"], ids(answer)[0]
    for n in range(30):
        buy(client, n, f"invented {n}", recommendation_id=genuine)
    later = (NOW + timedelta(hours=20)).isoformat()
    assert buy(client, 30, product, recommendation_id=genuine, timestamp=later)["status"] == "stored"
    assert lines(client) == []
    assert trending(client) == {}


def test_workers_and_replicas_share_a_key_and_a_setting_replaces_it(start: Start) -> None:
    first, second, other = start(), start(), start(signing_key="another key of thirty-two bytes!")
    answer = post(first)
    assert buy(second, 1, ids(answer)[0], recommendation_id=answer["recommendation_id"])["warnings"] == []
    assert buy(other, 2, ids(answer)[0], recommendation_id=answer["recommendation_id"])["warnings"]
    assert [line["purchases"] for line in lines(second)] == [1]


def test_one_address_does_not_decide_what_trends_with_invented_sessions(start: Start) -> None:
    client = start(keys=KEYS, visitors_per_address=5)
    first, second = rec_of(client).ids[:2]

    def sold(key: str, item_id: str, n: int) -> None:
        event = {"event_name": "purchase", "timestamp": (NOW - timedelta(hours=1)).isoformat()}
        events = [
            {**event, "event_id": f"{key}{m}", "session_id": f"{key}{m}", "items": [{"item_id": item_id}]}
            for m in range(n)
        ]
        headers = {"Authorization": f"Bearer {key} secret"}
        receipts = client.post("/v1/events:batch", json={"events": events}, headers=headers).json["events"]
        assert {receipt["status"] for receipt in receipts} == {"stored"}

    sold("public", first, 200)
    sold("server", second, 8)  # the shop's own server sends for all its visitors
    assert trending(client) == {first: 25.0, second: 40.0}


def test_replicas_share_the_visitors_of_an_address(
    start: Start,
    redis_url: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.rates.TIMEOUT_SECONDS", 1.0)
    replicas = [start(keys=KEYS, visitors_per_address=3, redis=redis_url) for _ in range(2)]
    address = {"REMOTE_ADDR": uuid4().hex}  # Redis has those of the last hour
    headers = {"Authorization": "Bearer public secret"}
    first = rec_of(replicas[0]).ids[0]
    moment = (NOW - timedelta(hours=1)).isoformat()
    for n in range(10):
        event = {"event_id": f"e{n}", "event_name": "purchase", "timestamp": moment, "session_id": f"s{n}"}
        sent = {**event, "items": [{"item_id": first}]}
        stored = replicas[n % 2].post("/v1/events", json=sent, headers=headers, environ_overrides=address)
        assert stored.json["status"] == "stored"
    assert trending(replicas[0]) == {first: 15.0}  # three purchases


def test_visitors_of_an_address_are_bounded_by_the_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("serving.attributing.monotonic", lambda: clock[0])
    limit = VisitorLimit(2)
    assert limit.admits("a", ["x", "y", "z", "x"]) == [True, True, False, True]
    assert limit.admits("b", ["z"]) == [True]
    clock[0] = 4000.0
    assert limit.admits("a", ["z"]) == [True]
    monkeypatch.setattr("serving.attributing.MAX_ADDRESSES", 1)
    assert limit.admits("c", ["z"]) == [True]
    assert len(limit._addresses) <= 2


ARMS = [{"name": "a", "share": 0.3}, {"name": "b", "share": 0.7, "strategy": "new"}]
EXPERIMENT = {"home": {"question": {"strategy": "popular", "limit": 4}, "experiment": {"name": "x", "arms": ARMS}}}


def arm_of(answer: dict[str, Any]) -> str:
    return str(answer["recommendation_id"].split("~")[3])


def test_a_visitor_stays_in_the_arm_of_the_session_through_a_login(start: Start) -> None:
    client = start(placements=EXPERIMENT)
    arms = []
    for n in range(60):
        before = post(client, "placements/home/recommendations", session_id=f"s{n}")
        post(client, "users:merge", session_id=f"s{n}", user_id=f"u{n}")
        logged_in = {"session_id": f"s{n}", "seeds": {"user_id": f"u{n}"}}
        after = post(client, "placements/home/recommendations", **logged_in)
        page = post(client, "pages/recommendations", **logged_in, placements=[{"placement": "home"}])
        assert arm_of(before) == arm_of(after) == arm_of(page["placements"][0])
        arms.append(arm_of(before))
    assert 6 <= arms.count("a") <= 32  # 18 ± 4 standard deviations
    by_user = [post(client, "placements/home/recommendations", seeds={"user_id": "u"}) for _ in range(3)]
    assert len({arm_of(answer) for answer in by_user}) == 1


def test_a_caller_without_an_id_gets_an_arm_by_its_share_and_is_not_counted(start: Start) -> None:
    client = start(placements=EXPERIMENT)
    answers = [post(client, "placements/home/recommendations") for _ in range(150)]
    strategies = Counter(answer["strategy"] for answer in answers)
    assert 22 <= strategies["popular"] <= 68  # 45 ± 4 standard deviations
    for n, answer in enumerate(answers[:10]):
        shown = [("view_item_list", item_id) for item_id in ids(answer)]
        send(client, f"u{n}", shown, recommendation_id=answer["recommendation_id"])
    assert lines(client) == []
    assert trending(client) == {}  # views of a list weigh nothing
    twice = [{"placement": "home"}, {"placement": "home"}]
    page = post(client, "pages/recommendations", placements=twice)["placements"]
    assert page[0]["strategy"] == page[1]["strategy"]  # one arm for one page


def test_reports_are_paged(start: Start) -> None:
    client = start(placements={name: {} for name in "abcde"})
    for name in "abcde":
        answer = post(client, f"placements/{name}/recommendations")
        send(client, name, [("select_item", ids(answer)[0])], recommendation_id=answer["recommendation_id"])
    query = {"from": (NOW - timedelta(days=2)).date(), "to": NOW.date(), "limit": 2}
    pages, cursor = [], None
    while cursor is not None or not pages:
        report = client.get(
            "/v1/reports/placements", query_string={**query, "cursor": cursor} if cursor else query
        )
        pages.append([line["placement"] for line in report.json["placements"]])
        cursor = report.json["next_cursor"]
    assert pages == [["a", "b"], ["c", "d"], ["e"]]
