"""Markets: several shops of one service, chosen by the header X-Market."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from flask.testing import FlaskClient

from recommender.bundle import generations
from recommender.client import Client, ServiceError
from recommender.demo.shop import Shop
from recommender.errors import ConfigError
from recommender.stores import open_store
from serving.app import create_app
from serving.service import KEY
from serving.settings import Key, Settings
from tests.http_api.helpers import NOW, ids, post, send
from tests.made_bundles import DemoProduct, draw_product, publish_products

Open = Callable[..., FlaskClient]
AUSTRIA = {"X-Market": "at"}
SWITZERLAND = {"X-Market": "ch"}
ORDERS = f"/v1/reports/orders?from={NOW.date()}&to={NOW.date()}"


def products(letter: str, price: float) -> list[DemoProduct]:
    generator, made = np.random.default_rng(0), []
    for number in range(8):
        product = draw_product(generator, f"{letter}{number}", [each.item_id for each in made])
        product.cells.update(price=price, availability="in_stock", item_group_id="")
        made.append(product)
    return made


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of bundles: own, with products O0 to O7, and at, with A0 to A7 and two generations."""
    folder = tmp_path_factory.mktemp("markets")
    publish_products(folder / "own", products("O", 10.0))
    publish_products(folder / "at", products("A", 20.0)[:7])
    publish_products(folder / "at", products("A", 20.0))
    return folder


@pytest.fixture
def shop(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open the service with the market at, of another bundle, and ch, of the same bundle in francs."""
    monkeypatch.setattr("serving.app.START_SECONDS", 60.0)
    folder, apps = shutil.copytree(published, tmp_path / "shops"), []

    def opened(**given: Any) -> FlaskClient:
        markets = {"at": {"bundles": str(folder / "at"), "currency": "EUR"}, "ch": {"currency": "CHF"}}
        settings = Settings(**{"markets": markets, "rate": 1e6, "burst": 10**6, **given})
        apps.append(create_app(folder / "own", settings, watch_seconds=None))
        return apps[-1].test_client()

    yield opened
    for app in apps:
        app.extensions[KEY].close()


@pytest.fixture
def client(shop: Open) -> FlaskClient:
    return shop()


def item(client: FlaskClient, item_id: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    answer = client.get(f"/v1/items/{item_id}", headers=headers)
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


def listed(client: FlaskClient, path: str, headers: dict[str, str] | None = None) -> set[str]:
    return set(ids(client.get(path, headers=headers).json))


def purchase(event_id: str, item_id: str, **more: Any) -> dict[str, Any]:
    lines = [{"item_id": item_id, "quantity": 1, "price": 10.0}]
    event = {"event_id": event_id, "event_name": "purchase", "timestamp": NOW.isoformat(), "user_id": "u"}
    return {**event, "transaction_id": event_id, "items": lines, **more}


def test_a_market_answers_from_its_own_bundle(client: FlaskClient) -> None:
    assert {each[0] for each in listed(client, "/v1/items/O0/similar")} == {"O"}
    assert {each[0] for each in listed(client, "/v1/items/A0/similar", AUSTRIA)} == {"A"}
    assert {each[0] for each in listed(client, "/v1/new", AUSTRIA)} == {"A"}
    assert client.get("/v1/items/O0", headers=AUSTRIA).status_code == 404
    info = client.get("/v1/info", headers=AUSTRIA).json
    assert (info["market"], info["currency"], info["products"]) == ("at", "EUR", 8)
    assert "market" not in client.get("/v1/info").json


def test_a_cached_answer_of_one_market_is_not_valid_in_another_of_the_same_bundle(client: FlaskClient) -> None:
    path = "/v1/items/O0/similar?fields=price"
    first = client.get(path)
    assert client.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    other = client.get(path, headers={**SWITZERLAND, "If-None-Match": first.headers["ETag"]})
    assert other.status_code == 200
    assert "X-Market" in first.headers["Vary"]
    assert "X-Market" in other.headers["Vary"]


def test_price_and_stock_of_one_market_leave_the_others_as_they_are(client: FlaskClient) -> None:
    change = {"price": 12.5, "availability": "out_of_stock"}
    assert client.patch("/v1/items/O1", json=change, headers=SWITZERLAND).status_code == 200
    assert (item(client, "O1")["price"], item(client, "O1")["availability"]) == (10.0, "in_stock")
    changed = item(client, "O1", SWITZERLAND)
    assert (changed["price"], changed["availability"], changed["currency"]) == (12.5, "out_of_stock", "CHF")
    everything = "/v1/items/O0/similar?limit=50"
    assert "O1" in listed(client, everything)
    assert "O1" not in listed(client, everything, SWITZERLAND)
    assert client.get("/v1/overlay").json["entries"] == []
    assert [each["item_id"] for each in client.get("/v1/overlay", headers=SWITZERLAND).json["entries"]] == ["O1"]


def test_prices_of_a_market_outlive_a_newer_catalogue_of_the_bundle_that_it_shares(
    demo_bundles: Path, demo_shop: Shop, tmp_path: Path
) -> None:
    """A price that is older than the catalogue's row counts in the market, and not in the service's own shop."""
    item_id = demo_shop.products[0].id
    settings = Settings(markets={"ch": {}}, store=f"sqlite:///{tmp_path}/demo.sqlite")
    for store in ("demo.sqlite", "demo.ch.sqlite"):
        with open_store(f"sqlite:///{tmp_path}/{store}") as opened:
            opened.overlay.put({item_id: {"price": 1.25}}, at=1.0)
    app = create_app(demo_bundles, settings, watch_seconds=None)
    assert item(app.test_client(), item_id)["price"] != 1.25
    assert item(app.test_client(), item_id, SWITZERLAND)["price"] == 1.25
    app.extensions[KEY].close()


def test_events_of_one_market_are_in_no_history_trend_or_report_of_another(client: FlaskClient) -> None:
    assert client.post("/v1/events", json=purchase("o-1", "O2"), headers=SWITZERLAND).json["status"] == "stored"
    assert client.post("/v1/events", json=purchase("a-1", "A2"), headers=AUSTRIA).json["status"] == "stored"
    send(client, "u", [("view_item", "O3")])
    services = client.application.extensions[KEY]
    for headers, item_id in (({}, "O3"), (AUSTRIA, "A2"), (SWITZERLAND, "O2")):
        events = client.get("/v1/users/u/events", headers=headers).json["events"]
        assert [event["item_id"] for event in events] == [item_id]
        here = services.markets.find(headers["X-Market"]) if headers else services
        here.trending._count_at = 0.0
        here.live.refresh("events")
        assert ids(client.get("/v1/trending", headers=headers).json)[0] == item_id
    report = client.get(ORDERS, headers=SWITZERLAND).json
    assert [line["currency"] for line in report["shop"]] == ["CHF"]
    assert client.delete("/v1/users/u", headers=AUSTRIA).json["events"] == 1
    assert client.get("/v1/users/u/events", headers=SWITZERLAND).json["events"]


def test_a_currency_that_an_event_or_a_price_names_stays(client: FlaskClient) -> None:
    client.post("/v1/events", json=purchase("o-2", "O2", currency="EUR"), headers=SWITZERLAND)
    assert client.get(ORDERS, headers=SWITZERLAND).json["shop"][0]["currency"] == "EUR"
    client.patch("/v1/items/O2", json={"price": 3, "currency": "EUR"}, headers=SWITZERLAND)
    assert item(client, "O2", SWITZERLAND)["currency"] == "EUR"
    client.patch("/v1/items/O3", json={"availability": "out_of_stock"}, headers=SWITZERLAND)
    assert item(client, "O3", SWITZERLAND).get("currency") is None


def test_an_unknown_market_is_a_404_that_lists_the_known_ones(client: FlaskClient) -> None:
    answer = client.get("/v1/new", headers={"X-Market": "ta"})
    assert (answer.status_code, answer.json["type"]) == (404, "urn:problem:unknown-market")
    assert "known: at, ch" in answer.json["detail"]


def test_a_service_without_markets_refuses_a_request_for_one(shop: Open) -> None:
    answer = shop(markets={}).get("/v1/new", headers=AUSTRIA)
    assert answer.status_code == 404
    assert "known: none" in answer.json["detail"]


def test_a_key_bound_to_a_market_is_refused_elsewhere(shop: Open) -> None:
    names = {"bound": {"markets": ["at"]}, "free": {}}
    scopes = ["public", "server", "admin"]
    client = shop(keys={name: {"sha256": Key.hash(name), "scopes": scopes, **key} for name, key in names.items()})

    def status(key: str, market: str | None, path: str = "/v1/new") -> int:
        headers = {"Authorization": f"Bearer {key}"} | ({} if market is None else {"X-Market": market})
        return client.get(path, headers=headers).status_code

    for path in ("/v1/new", "/v1/users/u", "/v1/bundles", "/metrics"):
        assert [status("bound", market, path) for market in ("at", "ch", None, "xx")] == [200, 403, 403, 403]
        assert [status("free", market, path) for market in ("at", "ch", None, "xx")] == [200, 200, 200, 404]
    refused = client.get("/v1/new", headers={"Authorization": "Bearer bound", **SWITZERLAND}).json
    assert refused["type"] == "urn:problem:forbidden-market"
    assert "'ch'" in refused["detail"]
    admits = client.application.extensions[KEY].access.admits
    for market in ("at", "ch"):  # the body of a refused request is not read
        headers = {"Authorization": "Bearer bound", "X-Market": market}
        with client.application.test_request_context(
            "/v1/events", method="POST", json={}, headers=headers
        ) as made:
            assert admits(made.request.environ) == (market == "at")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"keys": {"page": {"sha256": "0" * 64, "markets": ["de"]}}, "markets": {"at": {}}}, "'de'.* are at"),
        ({"keys": {"page": {"sha256": "0" * 64, "markets": ["de"]}}}, "no table markets"),
        ({"store": "sqlite:///a", "markets": {"at": {"store": "sqlite:///a"}}}, "that of the service"),
        ({"markets": {"at": {"store": "x://"}, "de": {"store": "x://"}}}, "that of at"),
        ({"markets": {"at": {"currency": "euro"}}}, "currency"),
        ({"markets": {"AT": {}}}, "markets"),
    ],
)
def test_wrong_settings_of_markets_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(**settings)


def test_a_market_on_postgresql_needs_a_store_of_its_own(shop: Open) -> None:
    with pytest.raises(ConfigError, match=r"markets\.at\.store is missing.*search_path%3Dat"):
        shop(store="postgresql://shop@db/shop")


def test_a_broken_market_is_named_and_opened_later_while_the_others_answer(
    shop: Open, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = tmp_path / "late"
    client = shop(markets={"at": {"bundles": str(late)}, "ch": {}}, keys={})
    ready = client.get("/healthz/ready")
    assert (ready.status_code, ready.json["status"]) == (200, "degraded")
    assert ready.json["components"]["market at"]["status"] == "down"
    assert ready.json["components"]["market ch"]["status"] == "ok"
    refused = client.get("/v1/new", headers=AUSTRIA)
    assert (refused.status_code, refused.json["type"]) == (503, "urn:problem:market-not-open")
    assert listed(client, "/v1/new") == listed(client, "/v1/new", SWITZERLAND)
    assert 'recommender_problems{concern="market at"} 1.0' in _metrics(client)

    shutil.copytree(published / "at", late)
    live = client.application.extensions[KEY].live
    live.refresh()
    assert client.get("/v1/new", headers=AUSTRIA).status_code == 503  # it is not tried all the time
    monkeypatch.setattr("serving.markets.monotonic", lambda: 1e12)
    live.refresh()
    assert listed(client, "/v1/new", AUSTRIA)
    assert client.get("/healthz/ready").json["status"] == "ready"
    assert 'recommender_problems{concern="market at"} 0.0' in _metrics(client)


def _metrics(client: FlaskClient) -> str:
    client.application.extensions[KEY].live.refresh("metrics")
    return client.get("/metrics").text


def test_a_generation_that_cannot_be_opened_degrades_its_market_alone(client: FlaskClient) -> None:
    services = client.application.extensions[KEY]
    folder = services.markets.find("at").bundles
    (folder / "CURRENT").write_text("nothing")
    services.markets.find("at").live.refresh("bundle")
    services.live.refresh()
    components = client.get("/healthz/ready").json["components"]
    assert [components[name]["status"] for name in ("bundle", "market at", "market ch")] == [
        "ok", "degraded", "ok"
    ]  # fmt: skip
    assert listed(client, "/v1/new", AUSTRIA)


def test_bundles_are_listed_and_rolled_back_by_market(client: FlaskClient) -> None:
    before = client.get("/v1/bundles").json["in_service"]
    listing = client.get("/v1/bundles", headers=AUSTRIA).json
    older, newer = [each["generation"] for each in listing["generations"]]
    assert listing["in_service"] == newer
    assert client.post("/v1/bundles:rollback", headers=AUSTRIA).json == {"generation": older}
    assert client.get("/v1/info", headers=AUSTRIA).json["products"] == 7
    assert client.get("/v1/bundles").json["in_service"] == before
    refused = client.post("/v1/bundles:rollback", headers=SWITZERLAND)
    assert (refused.status_code, "shares its bundle" in refused.json["detail"]) == (409, True)


def test_a_published_generation_is_in_service_in_its_market_alone(client: FlaskClient) -> None:
    services = client.application.extensions[KEY]
    folder = services.markets.find("at").bundles
    publish_products(folder, products("A", 30.0))
    services.markets.find("at").live.refresh()
    assert item(client, "A0", AUSTRIA)["price"] == 30.0
    assert client.get("/v1/info", headers=AUSTRIA).json["bundle"] == generations(folder)[-1].generation
    assert item(client, "O0")["price"] == 10.0


def test_placements_of_the_settings_are_those_of_all_markets_and_edited_ones_those_of_one(shop: Open) -> None:
    client = shop(placements={"home": {"question": {"strategy": "new", "limit": 2}}})
    path = "/v1/placements/home/recommendations"
    three = {"question": {"strategy": "new", "limit": 3}}
    assert client.put("/v1/placements/home", json=three, headers={**AUSTRIA, "If-Match": "0"}).status_code == 200
    client.application.extensions[KEY].markets.find("at").placements.refresh()
    for headers, count in ((AUSTRIA, 3), (SWITZERLAND, 2)):
        assert len(client.post(path, json={}, headers=headers).json["items"]) == count
    assert len(post(client, "placements/home/recommendations")["items"]) == 2


def test_the_document_describes_the_header(client: FlaskClient, shop: Open) -> None:
    document = client.get("/openapi.json").json
    (header,) = document["components"]["parameters"].values()
    assert (header["name"], header["in"], header["schema"]["enum"]) == ("X-Market", "header", ["at", "ch"])
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {"$ref": "#/components/parameters/Market"} in operation["parameters"]
            assert named == path.startswith("/v1/"), path
            assert not named or "404" in operation["responses"]
    assert "X-Market" not in shop(markets={}).get("/openapi.json").text


def test_metrics_have_the_market(client: FlaskClient) -> None:
    client.get("/v1/new", headers=AUSTRIA)
    lines = [line for line in _metrics(client).splitlines() if line.startswith("recommender_answers_total")]
    assert any('market="at"' in line for line in lines)
    assert 'recommender_bundle_published_seconds{market="at"}' in _metrics(client)


def test_the_client_names_its_market(client: FlaskClient) -> None:
    transport = httpx.WSGITransport(app=client.application)
    with Client("http://test", transport=transport, market="at") as austria:
        assert austria.item("A0")["price"] == 20.0
    unknown = Client("http://test", transport=transport, market="xx")
    with unknown, pytest.raises(ServiceError, match="known: at, ch"):
        unknown.new()


def test_stores_lie_where_the_commands_look_for_them(client: FlaskClient, tmp_path: Path) -> None:
    files = {file.name for file in (tmp_path / "shops").glob("*.sqlite")}
    assert files == {"own.sqlite", "at.sqlite", "own.ch.sqlite"}
