"""Events are stored once and count at once; without the store requests are still answered."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.errors import StoreError
from recommender.ranking.request import Request
from serving.hot_reload import LiveRecommender
from serving.schemas.events import MAX_LINES
from serving.service import KEY
from tests.contract.test_problems import check_problem
from tests.serving_fakes import EVENT, NOW, ids


def test_the_next_request_uses_the_event(client: FlaskClient, requests: list[Request]) -> None:
    assert client.get("/v1/users/u 1/recommendations").json["strategy"] == "popular"
    receipt = client.post("/v1/events", json=EVENT)
    assert receipt.json == {"event_id": "e-1", "status": "stored", "warnings": []}
    answer = client.get("/v1/users/u 1/recommendations")
    assert (ids(answer), answer.json["strategy"]) == (["B", "C/1", "D", "E"], "for_you")
    (event,) = requests[-1].events
    assert (event.item_id, event.price, event.timestamp) == ("A", 9.5, NOW)
    assert ids(client.get("/v1/recommendations?user_id=u%201")) == ids(answer)


def test_an_event_sent_twice_is_stored_once(client: FlaskClient, requests: list[Request]) -> None:
    basket = {**EVENT, "items": [{"item_id": "A"}, {"item_id": "nowhere"}, {"item_id": "A", "quantity": 7}]}
    receipts = [client.post("/v1/events", json=basket).json for _ in range(2)]
    assert [receipt["status"] for receipt in receipts] == ["stored", "known"]
    assert receipts[0]["warnings"] == ["item 'nowhere' is not in the bundle"]
    client.get("/v1/users/u 1/recommendations")
    assert [event.item_id for event in requests[-1].events] == ["A", "nowhere"]


def test_an_event_of_a_wrong_clock_is_refused_alone(client: FlaskClient, app: APIFlask) -> None:
    times = ["2099-01-01T00:00:00Z", (datetime.now(UTC) + timedelta(hours=14)).isoformat(), "1989-12-31T00:00:00Z"]
    events = [{**EVENT, "event_id": str(n), "timestamp": time} for n, time in enumerate(times)]
    receipts = client.post("/v1/events:batch", json={"events": events}).json["events"]
    assert [receipt["status"] for receipt in receipts] == ["invalid", "stored", "invalid"]
    assert "from 1990 until now; check the sender's clock" in receipts[0]["errors"][0]["detail"]
    (event,) = app.extensions[KEY].store.events.scan()
    assert event.event_id == "1"


def test_the_products_of_a_batch_are_bounded(client: FlaskClient) -> None:
    items = [{"item_id": "A"}] * 200
    events = [{**EVENT, "event_id": str(number), "items": items} for number in range(MAX_LINES // 200)]
    assert client.post("/v1/events:batch", json={"events": events}).status_code == 200
    problem = check_problem(
        client.post("/v1/events:batch", json={"events": [*events, EVENT]}), 422, "invalid-request"
    )
    assert "at most 2,000" in problem["detail"]
    assert problem["errors"][0]["pointer"] == "/events"


def test_many_wrong_events_are_described_until_there_are_enough_errors(client: FlaskClient) -> None:
    wrong = {**EVENT, "event_id": ""} | {f"user_i{number}": "" for number in range(50)}
    events = [wrong, wrong, wrong, {**EVENT, "event_nam": "purchase"}, EVENT]
    receipts = client.post("/v1/events:batch", json={"events": events}).json["events"]
    assert [receipt["status"] for receipt in receipts] == ["invalid"] * 4 + ["stored"]
    assert [len(receipt.get("errors", ())) for receipt in receipts] == [51, 1, 1, 1, 0]
    assert "51 errors" in receipts[1]["errors"][0]["detail"]
    assert receipts[3]["errors"][0]["suggestion"] == "event_name"


def test_an_id_in_another_form_is_pointed_out(client: FlaskClient) -> None:
    receipt = client.post("/v1/events", json={**EVENT, "items": [{"item_id": "a"}]}).json
    assert receipt["warnings"] == ["item 'a' is not in the bundle; did you mean 'A'?"]


def test_fewer_than_none_bought_are_returned(client: FlaskClient, app: APIFlask) -> None:
    items = [{"item_id": "A", "quantity": -1}, {"item_id": "B", "quantity": 2}]
    client.post("/v1/events", json={**EVENT, "event_name": "purchase", "items": items})
    stored = {event.item_id: event.event_name for event in app.extensions[KEY].store.events.scan()}
    assert stored == {"A": "refund", "B": "purchase"}


def test_a_session_without_a_user_is_stored(client: FlaskClient, app: APIFlask) -> None:
    assert client.post("/v1/events", json={**EVENT, "user_id": None, "session_id": "s-1"}).status_code == 200
    (event,) = app.extensions[KEY].store.events.scan()
    assert (event.user_id, event.session_id) == ("", "s-1")


def test_without_the_store_requests_are_answered_and_events_refused(
    client: FlaskClient, engine: LiveRecommender, app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StoreError("the store postgresql://u:***@h/d refuses: connection refused")

    events = app.extensions[KEY].store.events
    monkeypatch.setattr(events, "history", down)
    monkeypatch.setattr(events, "add", down)
    monkeypatch.setattr(engine.overlay._source, "revision", down)
    engine.refresh()
    answer = client.get("/v1/users/u/recommendations")
    assert ids(answer) == ["A", "B", "C/1", "D", "E"]
    assert "event store does not answer" in answer.json["warnings"][0]
    refused = client.post("/v1/events", json=EVENT)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert b"postgresql" not in refused.data
    ready = client.get("/healthz/ready").json
    assert ready["status"] == "degraded"
    assert ready["components"]["store"]["status"] == "down"
    assert "connection refused" in engine.problems["store"]
    assert "connection refused" not in str(ready)


@given(user_id=st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_user_ids_may_hold_any_character(client: FlaskClient, user_id: str) -> None:
    event = {**EVENT, "event_id": f"e {user_id}", "user_id": user_id}
    assert client.post("/v1/events", json=event).json["status"] in {"stored", "known"}
    assert client.get(f"/v1/recommendations?user_id={quote(user_id, safe='')}").json["strategy"] == "for_you"
