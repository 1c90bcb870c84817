"""Rules that are edited while serving: what they do, revisions, undo, two editors, and what is wrong with them."""

import sqlite3
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from recommender.cli import app
from recommender.recommender import Recommender
from serving.app import create_app
from serving.recommending import run_with_rules
from serving.rules import CompiledRules
from serving.schemas.placements import Placement
from serving.schemas.requests import RecommendationParams
from serving.service import KEY
from serving.settings import Key, Settings
from tests.http_api.helpers import Start, ids, post, rec_of

QUESTION = {"strategy": "similar", "limit": 8}


def put(
    client: FlaskClient, name: str, revision: int = 0, kind: str = "placements", **value: Any
) -> dict[str, Any]:
    answer = client.put(f"/v1/{kind}/{name}", json=value, headers={"If-Match": f'"{revision}"'})
    assert answer.status_code == 200, answer.json
    assert answer.headers["ETag"] == f'"{answer.json["revision"]}"'
    result: dict[str, Any] = answer.json
    return result


def similar(client: FlaskClient, item_id: str, name: str = "pdp", **more: Any) -> dict[str, Any]:
    return post(client, f"placements/{name}/recommendations", seeds={"items": [{"item_id": item_id}]}, **more)


def rule(name: str, action: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "action": action, **more}


def brand_of(client: FlaskClient, item_id: str) -> Any:
    return rec_of(client).product(item_id)["brand"]


def test_each_action_does_what_it_says(client: FlaskClient) -> None:
    rec = rec_of(client)
    seed = rec.ids[0]
    plain = put(client, "pdp", question=QUESTION)
    before = ids(similar(client, seed, limit=30))
    brand = brand_of(client, before[0])
    rest = [item_id for item_id in before if brand_of(client, item_id) != brand]
    mine = f'brand: ANY("{brand}")'
    pinned = before[20]
    cases: dict[str, dict[str, Any]] = {
        "block": {"products": mine},
        "bury": {"products": mine},
        "filter": {"products": mine},
        "boost": {"products": mine, "add": 5.0},
        "pin": {"item_id": pinned, "position": 3},
        "fill": {"products": mine, "position": 2, "count": 2},
    }
    after, revision = {}, plain["revision"]
    for action, options in cases.items():
        revision = put(client, "pdp", revision, question=QUESTION, rules=[rule("r", action, **options)])[
            "revision"
        ]
        after[action] = ids(similar(client, seed))
    assert after["block"] == after["bury"] == rest[:8]
    own = [item_id for item_id in before if brand_of(client, item_id) == brand]
    for action in ("filter", "boost"):  # the brand's first, then the others: a list is never short
        assert after[action] == (own + rest)[:8]
    assert after["pin"] == [*before[:2], pinned, *before[2:7]]
    others = [item_id for item_id in before if item_id not in own[:2]]
    assert after["fill"] == [others[0], *own[:2], *others[1:6]]


def test_a_rule_with_a_condition_holds_for_some_seeds_in_its_period(client: FlaskClient) -> None:
    rec = rec_of(client)
    first = rec.ids[0]
    kind = rec.product(first)["product_type"]
    other = next(item_id for item_id in rec.ids if rec.product(item_id)["product_type"] != kind)
    shown = put(client, "pdp", question=QUESTION)
    before = {seed: ids(similar(client, seed)) for seed in (first, other)}
    when = f'product_type = "{kind}"'
    blocked = {seed: before[seed][0] for seed in before}
    products = {"ids": [*blocked.values()]}
    now = datetime.now(UTC)
    held = rule("r", "block", when=when, products=products)
    ended = rule("old", "block", products=products, until=(now - timedelta(1)).isoformat())
    coming = rule("new", "block", products=products, **{"from": (now + timedelta(1)).isoformat()})
    put(client, "pdp", shown["revision"], question=QUESTION, rules=[held, ended, coming])
    assert blocked[first] not in ids(similar(client, first))
    assert ids(similar(client, other)) == before[other]
    popular = post(client, "placements/pdp/recommendations", strategy="popular")
    assert len(popular["items"]) == 8  # without a seed, no condition holds


def test_pins_follow_their_priority_and_need_not_be_available(client: FlaskClient) -> None:
    rec = rec_of(client)
    seed = rec.ids[0]
    plain = put(client, "pdp", question=QUESTION)
    ranked = ids(similar(client, seed, limit=40))
    low, high, away = ranked[12], ranked[15], ranked[18]
    rules = [
        rule("low", "pin", item_id=low, position=1),
        rule("away", "pin", item_id=away, position=1, priority=9),
        rule("high", "pin", item_id=high, position=1, priority=5),
        rule("unknown", "pin", item_id="no such", position=2),
    ]
    client.patch(f"/v1/items/{away}", json={"availability": "out_of_stock"})
    shown = put(client, "pdp", plain["revision"], question=QUESTION, rules=rules)
    told = {each["rule"]: each["detail"] for each in shown["warnings"]}
    assert told.keys() == {"away", "unknown"}
    assert "cannot be bought" in told["away"]
    assert "no such" in told["unknown"]
    answer = similar(client, seed)
    assert away not in ids(answer)
    assert set(ids(answer)[:3]) >= {high, low}
    assert len(answer["items"]) == 8
    assert any("no such" in warning for warning in answer["warnings"])


def test_rules_never_open_a_request(client: FlaskClient) -> None:
    """Neither a filter of the request nor the stock gives way to rules, and no list is short."""
    rec = rec_of(client)
    seed = rec.ids[0]
    gone = [item_id for item_id in rec.ids if item_id != seed][:3]
    for item_id in gone:
        client.patch(f"/v1/items/{item_id}", json={"availability": "out_of_stock"})
    rules = [
        rule("f", "filter", products='availability = "out_of_stock" OR price < 1'),
        rule("b", "block", products='availability = "preorder"'),
        rule("l", "fill", products={"ids": gone}),
    ]
    put(client, "pdp", question=QUESTION, rules=rules)
    answer = similar(client, seed, filter="price > 20", fields=["price"])
    assert not {*gone} & {*ids(answer)}
    assert len(answer["items"]) == 8
    assert all(item["fields"]["price"] > 20 for item in answer["items"])
    assert any("relaxed" in warning for warning in answer["warnings"])


def test_undo_restores_equal_answers(start: Start) -> None:
    toml = {"placements": {"pdp": {"question": {**QUESTION, "explain": "summary"}}}}
    client = start(**toml)
    seeds = rec_of(client).ids[:5]

    def answers() -> list[Any]:
        found = [
            client.post("/v1/placements/pdp/recommendations", json={"seeds": {"items": [{"item_id": s}]}})
            for s in seeds
        ]
        return [(each.status_code, [{**each.json, "recommendation_id": ""}]) for each in found]

    states, revision = [answers()], 0
    brand = brand_of(client, seeds[0])
    for rules in (
        [rule("a", "bury", products=f'brand: ANY("{brand}")')],
        [rule("a", "boost", products="price < 30", add=0.3), rule("b", "pin", item_id=seeds[4], position=2)],
        [rule("c", "filter", products="price < 30", when="price > 10")],
    ):
        revision = put(client, "pdp", revision, question={**QUESTION, "explain": "summary"}, rules=rules)[
            "revision"
        ]
        states.append(answers())
    assert len({str(state) for state in states}) == 4
    for expected in reversed(states[:-1]):
        undone = client.post("/v1/placements/pdp:undo", headers={"If-Match": str(revision)})
        assert undone.status_code == 200, undone.json
        revision = undone.json["revision"]
        assert answers() == expected
    assert client.get("/v1/placements/pdp").json["source"] == "toml"
    again = client.post("/v1/placements/pdp:undo", headers={"If-Match": str(revision)})
    assert (again.status_code, "undone" in again.json["detail"]) == (409, True)
    listed = client.get("/v1/placements/pdp/revisions?limit=2").json
    assert listed["revisions"][0]["restores"] == 0
    rest = client.get(f"/v1/placements/pdp/revisions?cursor={listed['next_cursor']}").json["revisions"]
    assert len(rest) == 4
    assert rest[-1]["author"] == "local"


def test_the_later_of_two_editors_is_told_what_changed(start: Start) -> None:
    secret = "a" * 40
    keys = {"ann": Key(sha256=Key.hash(secret), scopes=("admin",))}
    client = start(keys=keys)
    both = {"Authorization": f"Bearer {secret}"}
    url, mine = "/v1/placements/home", {"question": {"strategy": "popular"}}
    first = client.put(url, json=mine, headers={**both, "If-Match": "0"})
    tag = {**both, "If-Match": first.headers["ETag"]}
    theirs = {**mine, "rules": [rule("no-toys", "block", products='product_type = "Toys"')]}
    assert client.put(url, json=theirs, headers=tag).status_code == 200
    late = client.put(url, json={**mine, "note": "mine"}, headers=tag)
    assert late.status_code == 409
    assert "ann changed" in late.json["detail"]
    assert [each["detail"] for each in late.json["errors"]] == ["rule no-toys was added"]
    for method in (client.put, client.delete):
        assert method(url, json=mine, headers=both).status_code == 428
    assert client.get(url, headers=both).json["placement"] == theirs
    assert client.get(url).status_code == 401


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            {"rules": [rule("a", "pin", item_id="ID", position=1), rule("b", "block", products={"ids": ["ID"]})]},
            "pins",
        ),
        (
            {"rules": [rule("a", "bury", products="price < 5", **{"from": "2026-02-01", "until": "2026-01-01"})]},
            "until",
        ),
        ({"rules": [rule("a", "bury", products={"must": []})]}, "empty"),
        ({"rules": [rule("a", "bury", products="price < 5", when={})]}, "empty"),
        ({"rules": [rule("a", "bury", products="price < 5", when="brand: SAME_AS_SEED")]}, "seed itself"),
        ({"rules": [rule("a", "bury", products="price <")]}, "rule 'a'"),
        ({"rules": [rule("a", "bury")]}, "products or collection"),
        ({"rules": [rule("a", "fill", collection="no-such")]}, "no collection 'no-such'"),
        ({"rules": [rule("a", "pin", item_id="ID", position=1, add=1)]}, "leave out add"),
        ({"rules": [rule("a", "boost", products="price < 5")]}, "needs add"),
        ({"rules": [rule("a", "bury", products="price < 5")] * 2}, "two rules are named 'a'"),
        ({"rules": [rule("a", "burry", products="price < 5")]}, "bury"),
        (
            {"experiment": {"name": "x", "arms": [{"name": "a", "share": 0}, {"name": "b", "share": 0}]}},
            "sum to 0",
        ),
        ({"question": {"strategy": "similr"}}, "similar"),
    ],
)
def test_what_cannot_be_is_refused_clearly(client: FlaskClient, value: dict[str, Any], words: str) -> None:
    text = str(value).replace("'ID'", repr(rec_of(client).ids[0]))
    answer = client.put("/v1/placements/pdp", json=eval(text), headers={"If-Match": "0"})
    assert answer.status_code == 422
    assert words in str(answer.json)
    assert client.get("/v1/placements/pdp").status_code == 404


def test_collections_are_edited_and_stay_while_rules_use_them(client: FlaskClient) -> None:
    rec = rec_of(client)
    picked = [rec.ids[5], rec.ids[3], "gone"]
    made = put(client, "picks", kind="collections", item_ids=picked)
    assert "gone" in made["warnings"][0]["detail"]
    fill = rule("fill", "fill", collection="picks", position=1, count=2)
    put(client, "pdp", question={"strategy": "popular", "limit": 6}, rules=[fill])
    answer = post(client, "placements/pdp/recommendations")
    assert ids(answer)[:2] == picked[:2]
    head = {"If-Match": str(made["revision"])}
    used = client.delete("/v1/collections/picks", headers=head)
    assert (used.status_code, "pdp" in used.json["detail"]) == (409, True)
    saved = put(client, "picks", made["revision"], kind="collections", filter=f'id: ANY("{rec.ids[7]}")')
    assert ids(post(client, "placements/pdp/recommendations"))[0] == rec.ids[7]
    client.delete(
        "/v1/placements/pdp", headers={"If-Match": str(client.get("/v1/placements/pdp").json["revision"])}
    )
    assert client.delete("/v1/collections/picks", headers={"If-Match": str(saved["revision"])}).status_code == 200
    assert client.get("/v1/collections").json["collections"] == []
    assert len(client.get("/v1/collections/picks/revisions").json["revisions"]) == 3


def test_a_field_that_the_bundle_lacks_leaves_its_rule_out(start: Start) -> None:
    rules = [rule("cheap", "bury", products="price < 1"), rule("lost", "bury", products="colour_code = 7")]
    client = start(placements={"pdp": {"question": QUESTION, "rules": rules, "block": "old_column > 3"}})
    seed = rec_of(client).ids[0]
    answer = similar(client, seed)
    assert len(answer["items"]) == 8
    assert {warning.partition(":")[0] for warning in answer["warnings"]} == {"rule lost", "rule block"}
    shown = client.get("/v1/placements/pdp").json
    assert {each["rule"] for each in shown["warnings"]} == {"lost", "block"}
    assert [each["name"] for each in shown["placement"]["rules"]] == ["cheap", "lost"]  # nothing is lost


def test_a_store_that_is_locked_stops_no_answer(start: Start, tmp_path: Path) -> None:
    client = start(store_timeout_ms=100)
    item_id = rec_of(client).ids[3]
    pin = rule("p", "pin", item_id=item_id, position=1)
    shown = put(client, "home", question={"strategy": "popular"}, rules=[pin])
    with sqlite3.connect(tmp_path / "store.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused = client.put("/v1/placements/home", json={}, headers={"If-Match": str(shown["revision"])})
        assert refused.status_code == 503
        assert ids(post(client, "placements/home/recommendations"))[0] == item_id
        other.execute("ROLLBACK")
    assert client.get("/v1/placements/home").json["revision"] == shown["revision"]


def test_placements_are_exported_and_imported(start: Start, tmp_path: Path) -> None:
    client = start()
    rules = [
        rule("a", "bury", products='brand = "Ä \\"x\\" 😀"', note="why\nnot", **{"from": "2026-01-01"}),
        rule("b", "fill", collection="picks", when={"must_not": [{"field": "price", "range": {"lt": 5}}]}),
    ]
    put(client, "picks", kind="collections", item_ids=["1", "2"])
    arms = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "weights": {"image": 1.0}}]
    put(client, "home", question={"limit": 3}, rules=rules, experiment={"name": "x", "arms": arms})
    file, other = tmp_path / "out.toml", f"sqlite:///{tmp_path}/other.db"
    runner = CliRunner()
    exported = runner.invoke(
        app, ["placements", "export", "--store", f"sqlite:///{tmp_path}/store.db", "--out", str(file)]
    )
    assert exported.exit_code == 0, exported.output
    for words in ("2 changed, 0 as", "0 changed, 2 as"):
        done = runner.invoke(app, ["placements", "import", str(file), "--store", other])
        assert words in done.output
    second = start(store=other)
    for path in ("placements/home", "collections/picks"):
        first = client.get(f"/v1/{path}").json
        imported = second.get(f"/v1/{path}").json
        assert imported["author"] == "import"
        assert imported[path.split("s/")[0]] == first[path.split("s/")[0]]
    by_toml = start(**tomllib.loads(file.read_text()), store=f"sqlite:///{tmp_path}/third.db")
    assert by_toml.get("/v1/placements/home").json["placement"] == first_of(client, "placements/home", "placement")


def first_of(client: FlaskClient, path: str, member: str) -> Any:
    return client.get(f"/v1/{path}").json[member]


@pytest.fixture(scope="module")
def module_client(demo_bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    store = f"sqlite:///{tmp_path_factory.mktemp('rules')}/store.db"
    app = create_app(demo_bundles, Settings(store=store, rate=1e6, burst=10**6), watch_seconds=None)
    yield app.test_client()
    app.extensions[KEY].close()


def conditions(rec: Recommender) -> st.SearchStrategy[str]:
    brands = sorted({str(rec.product(item_id)["brand"]) for item_id in rec.ids})
    of_brand = st.sampled_from(brands).map(lambda brand: f'brand = "{brand}"')
    return st.one_of(of_brand, st.integers(5, 80).map(lambda price: f"price < {price}"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_rules_equal_a_plain_reading_of_them(module_client: FlaskClient, data: st.DataObject) -> None:
    """The order of a list under rules, from that of all products without them and each rule read one by one."""
    client, rec = module_client, rec_of(module_client)
    filters = conditions(rec)
    drawn = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(["block", "bury", "filter", "pin"]),
                filters,
                st.none() | filters,
                st.integers(1, 6),
                st.sampled_from(rec.ids),
                st.integers(-2, 2),
            ),
            max_size=6,
        )
    )
    rules = []
    for number, (action, products, when, position, item_id, priority) in enumerate(drawn):
        pin = {"item_id": item_id, "position": position} if action == "pin" else {"products": products}
        rules.append(rule(f"r{number}", action, **pin, when=when, priority=priority))
    rules = [{name: value for name, value in each.items() if value is not None} for each in rules]
    seed = data.draw(st.sampled_from(rec.ids))
    state = client.application.extensions[KEY].placements.state
    model = Placement.model_validate({"question": QUESTION, "rules": rules})
    compiled = CompiledRules(model, state.collection_models, rec.attributes, datetime.now(UTC))
    effect = compiled.effect([rec.attributes.row_of(seed)], rec.live_attributes)
    params = RecommendationParams.model_validate({**QUESTION, "seeds": {"items": [{"item_id": seed}]}})
    result, _ = run_with_rules(rec, params, model, compiled, {"items": [seed]})
    assert [*result.item_ids] == expected(rec, seed, rules, 8), effect


def matches(rec: Recommender, item_id: str, condition: str) -> bool:
    value = rec.product(item_id)
    if condition.startswith("brand"):
        return str(value["brand"]) == condition.split('"')[1]
    return value["price"] is not None and value["price"] < int(condition.split()[-1])


def pinned(held: list[dict[str, Any]]) -> dict[int, str]:
    pins: dict[int, str] = {}
    for each in held:
        if each["action"] == "pin" and each["item_id"] not in pins.values():
            position = each["position"]
            while position in pins:
                position += 1
            pins[position] = each["item_id"]
    return pins


def expected(rec: Recommender, seed: str, rules: list[dict[str, Any]], k: int) -> list[str]:
    """Read rules aloud: block, then rank what is outside a filter after the rest, buried last, then pins."""
    variants = {item_id: rec.product(item_id)["item_group_id"] or item_id for item_id in rec.ids}
    every = [*rec.similar(seed, rec.n, variants="all").item_ids]
    held = [each for each in rules if "when" not in each or matches(rec, seed, each["when"])]
    held.sort(key=lambda each: -each.get("priority", 0))

    def allowed(item_id: str) -> bool:
        return not any(each["action"] == "block" and matches(rec, item_id, each["products"]) for each in held)

    def broken(item_id: str) -> int:
        buried = [matches(rec, item_id, each["products"]) for each in held if each["action"] == "bury"]
        outside = [not matches(rec, item_id, each["products"]) for each in held if each["action"] == "filter"]
        return 2 * any(buried) + any(outside)

    pins = pinned(held)
    eligible = [item_id for item_id in every if allowed(item_id)]
    pins = {at: item_id for at, item_id in pins.items() if at <= k and item_id in eligible}
    taken = {variants[item_id] for item_id in pins.values()}
    rest = []
    for item_id in sorted(eligible, key=broken):
        if variants[item_id] not in taken:
            taken.add(variants[item_id])
            rest.append(item_id)
    result: list[str] = []
    for position in range(1, k + 1):
        if position in pins:
            result.append(pins[position])
        elif rest:
            result.append(rest.pop(0))
    return result
