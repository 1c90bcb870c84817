"""Every call of the service on the demo bundle: strategies, placements, users, products, reports, keys."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error, status_code_conformance

from recommender.errors import ConfigError
from recommender.recommender import Recommender
from serving.access import Rates
from serving.app import create_app
from serving.placements import arm_of
from serving.service import KEY
from serving.settings import Experiment, Key, Settings

NOW = datetime.now(UTC)
Start = Callable[..., FlaskClient]


@pytest.fixture
def start(demo_bundles: Path, tmp_path: Path) -> Iterator[Start]:
    apps = []

    def started(**given: Any) -> FlaskClient:
        given = {"store": f"sqlite:///{tmp_path}/store.db", "rate": 1e6, "burst": 10**6, **given}
        apps.append(create_app(demo_bundles, Settings(**given), watch_seconds=None))
        return apps[-1].test_client()

    yield started
    for app in apps:
        app.extensions[KEY].close()


@pytest.fixture
def client(start: Start) -> FlaskClient:
    return start()


def rec_of(client: FlaskClient) -> Recommender:
    rec: Recommender = client.application.extensions[KEY].engine.recommender
    return rec


def ask(client: FlaskClient, path: str = "recommendations", **body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.json
    told: dict[str, Any] = answer.json
    return told


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def send(client: FlaskClient, user: str, told: list[tuple[str, str]], **more: Any) -> None:
    events = [
        {
            "event_id": f"{user}-{place}",
            "event_name": name,
            "timestamp": (NOW - timedelta(hours=len(told) - place)).isoformat(),
            "user_id": user,
            "items": [{"item_id": item_id}],
            **more,
        }
        for place, (name, item_id) in enumerate(told)
    ]
    receipts = ask(client, "events:batch", events=events)["events"]
    assert {receipt["status"] for receipt in receipts} == {"stored"}


# Strategies


def test_visually_similar_goes_by_pictures_alone(client: FlaskClient) -> None:
    rec = rec_of(client)
    seed = next(item_id for item_id in rec.ids if rec.thumbnail(item_id))
    answer = ask(client, seeds={"items": [{"item_id": seed}]}, strategy="visually_similar", explain="summary")
    assert answer["strategy"] == "visually_similar"
    for item in answer["items"]:
        assert item["explanation"]["parts"]["image"] == pytest.approx(item["score"])


def test_complementary_cart_and_twins(client: FlaskClient) -> None:
    seed = rec_of(client).ids[0]
    by_path = client.get(f"/v1/items/{seed}/complementary").json
    assert ids(by_path) == ids(client.get(f"/v1/complementary?item_id={seed}").json)
    assert by_path["strategy"] == "complementary"
    assert client.get("/v1/items/nowhere/complementary").status_code == 404
    other = rec_of(client).ids[30]
    events = [{"event_name": name, "item_id": i} for name, i in [("add_to_cart", seed), ("add_to_cart", other)]]
    gone = [*events, {"event_name": "remove_from_cart", "item_id": other}]
    with_both = ask(client, seeds={"events": events}, strategy="cart")
    assert with_both["strategy"] == "cart"
    question = {"strategy": "cart", "exclude": {"item_ids": [other]}}
    assert ids(ask(client, seeds={"events": gone}, **question)) == ids(
        ask(client, seeds={"events": events[:1]}, **question)
    )


def test_trending_new_and_popular(client: FlaskClient) -> None:
    rec = rec_of(client)
    assert client.get("/v1/trending").json["fallback_used"] == "popular"
    hot = rec.popular(80, variants="all").item_ids[-1]
    send(client, "u", [("purchase", hot)])
    trending = client.application.extensions[KEY].trending
    trending._count_at = 0.0
    trending.refresh()
    told = client.get("/v1/trending?explain=summary").json
    assert (told["strategy"], told["items"][0]["item_id"]) == ("trending", hot)
    assert told["items"][0]["explanation"]["reasons"][0]["code"] == "trending"
    assert ids(client.get("/v1/new?limit=5").json) == rec.newest(5).item_ids


def test_what_somebody_had_comes_again_where_asked_for(client: FlaskClient) -> None:
    a, b, c = rec_of(client).popular(3).item_ids
    send(client, "u", [("view_item", a), ("purchase", b), ("view_item", c), ("view_item", a), ("purchase", b)])
    seeds = {"user_id": "u"}
    assert ids(ask(client, seeds=seeds, strategy="recently_viewed")) == [a, c]
    assert ids(ask(client, seeds=seeds, strategy="buy_again")) == [b]
    assert not {a, b, c} & set(ids(ask(client, seeds=seeds, strategy="for_you")))
    assert ask(client, seeds={"user_id": "nobody"}, strategy="buy_again")["fallback_used"] == "popular"


def test_a_session_leaves_the_stored_events_out(client: FlaskClient) -> None:
    rec = rec_of(client)
    send(client, "u", [("purchase", rec.ids[0])])
    seeds = {"events": [{"item_id": rec.ids[40]}]}
    session = ask(client, seeds={**seeds, "user_id": "u"}, strategy="session", exclude={"seen": False})
    alone = ask(client, seeds=seeds, strategy="session", exclude={"seen": False})
    assert ids(session) == ids(alone)
    assert session["strategy"] == "session"


def test_fallbacks_are_tried_in_turn(client: FlaskClient) -> None:
    rec = rec_of(client)
    kind = rec.product(rec.ids[0])["product_type"]
    client.put("/v1/items/fresh", json={"product_type": kind, "title": "Fresh"})
    chain = ["popular_in_category", "popular"]
    answer = ask(client, seeds={"events": [{"item_id": "fresh"}]}, fallback=chain, limit=3)
    assert answer["fallback_used"] == "popular_in_category"
    assert {rec.product(item_id)["product_type"] for item_id in ids(answer)} == {kind}
    assert ask(client, seeds={"user_id": "nobody"}, fallback=chain)["fallback_used"] == "popular"


def test_negative_and_weighted_seeds(client: FlaskClient) -> None:
    a, b = rec_of(client).ids[0], rec_of(client).ids[40]
    both = [{"item_id": a, "weight": 100}, {"item_id": b, "weight": 0.01}]
    weighted = {"items": [{"item_id": a, "weight": 100}]}
    alone = ask(client, seeds=weighted, strategy="for_you", limit=3, exclude={"item_ids": [b]})
    assert ids(ask(client, seeds={"items": both}, limit=3)) == ids(alone)
    unwanted = ids(alone)[0]
    seeds = {"items": [{"item_id": a}], "negative_items": [{"item_id": unwanted}]}
    assert unwanted not in ids(ask(client, seeds=seeds, limit=100))


def test_boost_and_diversity_reach_the_library(client: FlaskClient) -> None:
    rec, boost = rec_of(client), [{"when": "price < 15", "add": 5}]
    answer = ask(client, boost=boost, explain="summary", limit=3)
    assert all(item["explanation"]["parts"]["boost"] == 5 for item in answer["items"])
    varied = ask(client, diversity={"max_per": {"brand": 1}}, limit=4, fields=["brand"])
    assert len({item["fields"]["brand"] for item in varied["items"]}) == 4
    wrong = client.post("/v1/recommendations", json={"boost": [{"when": "prise <", "add": 1}]}).json
    assert wrong["errors"][0]["pointer"].startswith("/boost/0/when")
    assert rec.n


def test_why_and_why_not(client: FlaskClient) -> None:
    seed = rec_of(client).ids[0]
    best = ids(ask(client, seeds={"items": [{"item_id": seed}]}))[0]
    told = ask(client, "explanations", item_ids=[best, seed, "nowhere"], seeds={"items": [{"item_id": seed}]})
    first, second, third = told["items"]
    assert sum(first["explanation"]["parts"].values()) == pytest.approx(first["score"])
    assert (second["left_out"], third["left_out"]) == (["excluded"], ["unknown"])


def test_words_need_an_encoder(client: FlaskClient) -> None:
    assert client.post("/v1/search", json={"text": "oak"}).status_code == 501
    assert client.post("/v1/search", json={}).status_code == 422


# Placements


def placements(**more: Any) -> dict[str, Any]:
    return {"placements": {"home": {"question": {"strategy": "popular", "limit": 4}, **more}, "more": {}}}


def test_a_placement_has_defaults_rules_and_the_last_word(start: Start) -> None:
    plain = start()
    popular = ids(ask(plain, limit=60))
    blocked = rec_of(plain).product(popular[0])["brand"]
    rules = {
        "block": f'brand: ANY("{blocked}")',
        "bury": ["price < 20"],
        "pin": [{"position": 2, "item_id": popular[-1]}],
    }
    client = start(**placements(**rules))
    answer = ask(client, "placements/home/recommendations", fields=["brand", "price"])
    assert answer["placement"] == "home"
    assert answer["recommendation_id"].split("~")[1] == "home"
    assert len(answer["items"]) == 4
    assert rec_of(client).product(popular[-1])["brand"] == blocked or ids(answer)[1] == popular[-1]
    assert all(item["fields"]["brand"] != blocked for item in answer["items"])
    assert all(item["fields"]["price"] >= 20 for item in answer["items"] if item["item_id"] != popular[-1])
    asked = ask(client, "placements/home/recommendations", limit=2, filter="price > 30")
    assert len(asked["items"]) == 2
    unknown = client.post("/v1/placements/hom/recommendations", json={})
    assert (unknown.status_code, unknown.json["type"]) == (404, "urn:problem:unknown-placement")


def test_a_page_shows_no_product_twice(start: Start) -> None:
    client = start(**placements())
    page = ask(
        client, "pages/recommendations", placements=[{"placement": "home", "limit": 9}, {"placement": "more"}]
    )
    first, second = (ids(answer) for answer in page["placements"])
    groups = [rec_of(client).product(item_id)["item_group_id"] or item_id for item_id in first + second]
    assert len(groups) == len(set(groups)) == 9 + 12


def test_arms_are_stable_and_divide_as_they_say() -> None:
    arms = [{"name": "a", "share": 0.25}, {"name": "b", "share": 0.75}]
    experiment = Experiment.model_validate({"name": "x", "arms": arms})
    names = [arm_of(experiment, f"user {n}").name for n in range(4000)]  # type: ignore[union-attr]
    assert names == [arm_of(experiment, f"user {n}").name for n in range(4000)]  # type: ignore[union-attr]
    assert 0.22 < names.count("a") / 4000 < 0.28
    other = Experiment.model_validate({"name": "y", "arms": arms})
    both = sum(arm_of(other, f"user {n}").name == name == "a" for n, name in enumerate(names))  # type: ignore[union-attr]
    assert 0.04 < both / 4000 < 0.085  # experiments divide independently


def test_an_experiment_is_told_and_reported(start: Start) -> None:
    arms = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "strategy": "new"}]
    client = start(**placements(experiment={"name": "x", "arms": arms}))
    for n in range(20):
        answer = ask(client, "placements/home/recommendations", session_id=f"s{n}")
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


# Users


def test_a_users_events_are_shown_joined_and_erased(client: FlaskClient) -> None:
    a, b = rec_of(client).ids[:2]
    send(client, "u/1", [("view_item", a)])
    event = {"event_id": "s", "event_name": "view_item", "timestamp": NOW.isoformat(), "session_id": "s1"}
    ask(client, "events", **event, items=[{"item_id": b}])
    assert ask(client, "users:merge", session_id="s1", user_id="u/1") == {"merged": 1}
    told = client.get("/v1/events?user_id=u/1").json["events"]
    assert [event["item_id"] for event in told] == [a, b]
    receipt = ask(client, "users:erase", user_id="u/1")
    assert receipt["events"] == 2
    assert client.get("/v1/events?user_id=u/1").json["events"] == []
    again = ask(client, "events", **event, user_id="u/1", items=[{"item_id": b}])
    assert again["status"] == "known"
    assert client.delete("/v1/users/u2").json["events"] == 0


def test_a_batch_keeps_the_right_and_tells_of_the_wrong(client: FlaskClient) -> None:
    right = {"event_id": "e", "event_name": "view_item", "timestamp": NOW.isoformat(), "user_id": "u"}
    events = [{**right, "items": [{"item_id": "x"}]}, {**right, "event_name": "vew_item"}, 7]
    told = ask(client, "events:batch", events=events)["events"]
    assert [each["status"] for each in told] == ["stored", "invalid", "invalid"]
    assert told[1]["errors"][0]["suggestion"] == "view_item"


# Products


def test_changes_of_products_take_effect_at_once_and_new_ones_wait(client: FlaskClient) -> None:
    rec = rec_of(client)
    item_id = rec.popular(1).item_ids[0]
    assert client.patch(f"/v1/items/{item_id}", json={"availability": "out_of_stock"}).json["queued"] == []
    assert item_id not in ids(ask(client, limit=60))
    assert client.get(f"/v1/items/{item_id}").json["availability"] == "out_of_stock"
    assert client.put(f"/v1/items/{item_id}", json={"price": 3}).json["queued"] == []
    assert client.get(f"/v1/items/{item_id}").json["availability"] != "out_of_stock"
    assert client.patch(f"/v1/items/{item_id}", json={"title": "Another"}).json["queued"] == [item_id]
    kind = rec.product(rec.ids[0])["product_type"]
    fresh = [{"id": "fresh/1", "title": "Fresh", "product_type": kind, "price": 5}]
    assert ask(client, "items:batch", items=fresh)["queued"] == ["fresh/1"]
    like = client.get("/v1/similar?item_id=fresh/1").json
    assert like["fallback_used"] == "similar_by_category"
    assert len(like["items"]) == 12
    store = client.application.extensions[KEY].store
    assert {product.item_id for product in store.overlay.queued()} == {item_id, "fresh/1"}
    assert client.delete(f"/v1/items/{item_id}").status_code == 200
    assert client.get(f"/v1/items/{item_id}").status_code == 404
    assert ask(client, "items:delete", item_id="fresh/1")["queued"] == ["fresh/1"]
    assert client.delete("/v1/items/nowhere").status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer", "suggestion"),
    [
        ({"prise": 3}, "/prise", "price"),
        ({"price": "3"}, "/price", None),
        ({"price": True}, "/price", None),
        ({"title": 7}, "/title", None),
        ({"published_at": "yesterday"}, "/published_at", None),
        ({"id": "other"}, "/id", None),
    ],
)
def test_wrong_attributes_are_told(client: FlaskClient, body: Any, pointer: str, suggestion: str | None) -> None:
    answer = client.patch(f"/v1/items/{rec_of(client).ids[0]}", json=body)
    (error,) = answer.json["errors"]
    assert (answer.status_code, error["pointer"], error.get("suggestion")) == (422, pointer, suggestion)


# Keys, rates, health


def test_keys_open_what_their_scopes_say(start: Start) -> None:
    keys = {
        name: {"sha256": Key.hash(f"{name} secret"), "scopes": [name]} for name in ("public", "server", "admin")
    }
    client = start(keys=keys)

    def status(path: str, key: str | None) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key} secret"}
        return client.get(path, headers=headers).status_code

    assert status("/healthz/live", None) == status("/docs", None) == 200
    for path, scope in [("/v1/new", "public"), ("/v1/users/u/recommendations", "server"), ("/metrics", "admin")]:
        assert {key: status(path, key) for key in [None, "wrong", *keys]} == {
            None: 401,
            "wrong": 401,
            **{name: 200 if name == scope else 403 for name in keys},
        }
    of_user = {"json": {"seeds": {"user_id": "u"}}, "headers": {"Authorization": "Bearer public secret"}}
    assert client.post("/v1/recommendations", **of_user).status_code == 403
    document = client.get("/openapi.json", headers={"Authorization": "Bearer public secret"}).json
    assert "`server`" in document["paths"]["/v1/users/{user_id}"]["delete"]["description"]


def test_too_many_requests_are_told_when_to_come_again(start: Start) -> None:
    client = start(rate=0.01, burst=3)
    statuses = [client.get("/v1/new").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert int(client.get("/v1/new").headers["Retry-After"]) > 1
    assert client.get("/healthz/ready").status_code == 200


def test_a_bucket_refills_and_callers_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("serving.access.monotonic", lambda: clock[0])
    rates = Rates(2.0, 2)
    assert [rates.wait(("k", "a")) for _ in range(3)] == [0, 0, 0.5]
    assert rates.wait(("k", "b")) == 0
    clock[0] = 0.5
    assert (rates.wait(("k", "a")), rates.wait(("k", "a"))) == (0, 0.5)


def test_metrics_count_what_happened(client: FlaskClient) -> None:
    def read(name: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and not line.startswith("#"))

    before = read("recommender_answers_total")
    ask(client)
    assert read("recommender_answers_total") == before + 1
    assert read("recommender_short_lists_total") == 0
    assert read("recommender_bundle_published_seconds") > 1e9


def test_a_request_id_comes_back_and_nothing_else_is_logged(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    answer = client.get("/v1/users/secret-user/recommendations", headers={"X-Request-ID": "abc"})
    assert answer.headers["X-Request-ID"] == "abc"
    assert client.get("/v1/new", headers={"X-Request-ID": "a b"}).headers["X-Request-ID"] != "a b"
    told = [record.told for record in caplog.records if hasattr(record, "told")]
    assert told[0]["route"] == "/v1/users/<user_id>/recommendations"
    assert "secret-user" not in str(told) + caplog.text


def test_generations_are_listed_and_a_wrong_one_is_a_conflict(client: FlaskClient) -> None:
    told = client.get("/v1/bundles").json
    assert told["in_service"] == told["generations"][-1]["generation"]
    assert client.post("/v1/bundles/nothing:activate").status_code == 409
    assert client.post("/v1/bundles:rollback").status_code == 409


# Settings


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("prot = 3", "did you mean 'port'"),
        ('[placements.a]\nquestion = {stratgy = "new"}', "did you mean 'strategy'"),
        ('[placements.a]\nblock = "price <"', "filter"),
        ('[placements.a.experiment]\nname = "x"\narms = [{name = "a", share = 0.4}]', "sum to 0.4"),
        ('[keys.a]\nsha256 = "secret"', "sha256"),
        ("x = [", "not TOML"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, toml: str, words: str) -> None:
    (tmp_path / "service.toml").write_text(toml)
    with pytest.raises(ConfigError, match=words):
        Settings.load(tmp_path / "service.toml")


def test_settings_go_over_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "service.toml").write_text("port = 1\nworkers = 2\nrate = 3")
    monkeypatch.setenv("RECOMMENDER_WORKERS", "4")
    monkeypatch.setenv("RECOMMENDER_RATE", "5")
    found = Settings.load(tmp_path / "service.toml", rate=6, store=None)
    assert (found.port, found.workers, found.rate) == (1, 4, 6)


# The document, fuzzed


@pytest.mark.slow
def test_whatever_the_document_allows_is_answered_as_it_says(demo_bundles: Path, tmp_path: Path) -> None:
    said = {"store": f"sqlite:///{tmp_path}/fuzz.db", "rate": 1e6, "burst": 10**6, "log_level": "error"}
    app = create_app(demo_bundles, Settings(**said), watch_seconds=None)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    checks = [not_a_server_error, status_code_conformance]
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in ("/v1/bundles/{generation}:activate", "/v1/bundles:rollback"):
            continue  # they would take the bundle that other tests ask

        @settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            answer = case.call()
            if answer.status_code != 501:  # the document's own way to say that there is no encoder
                case.validate_response(answer, checks=checks)

        check()
    app.extensions[KEY].close()


def test_every_setting_is_documented() -> None:
    table = (Path(__file__).parent.parent / "docs" / "SERVICE.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `{name}` | `RECOMMENDER_{name.upper()}` |" in table
        assert field.description in table
