"""The storefront: what its pages answer, and a visit by clicks and keys in a browser."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

import recommender
from recommender.demo.drawing import draw_product
from recommender.recommender import Recommender
from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from serving.storefront.catalogue import facets, form_filter
from tests.browser import listening, quiet_page


@pytest.fixture(scope="module")
def rec(demo_bundles: Path) -> Recommender:
    return recommender.load(demo_bundles)


@pytest.fixture(scope="module")
def app(demo_bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[APIFlask]:
    store = f"sqlite:///{tmp_path_factory.mktemp('storefront')}/store.db"
    app = create_app(demo_bundles, Settings(store=store, storefront=True), watch_seconds=None)
    yield app
    app.extensions[KEY].close()


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    """A visitor of their own: cookies are not shared."""
    return app.test_client()


def post(client: FlaskClient, event_name: str, *item_ids: str) -> Any:
    return client.post("/shop/events", data={"event_name": event_name, "item_id": list(item_ids)})


def test_it_is_off_by_default(demo_bundles: Path, tmp_path: Path) -> None:
    app = create_app(demo_bundles, Settings(store=f"sqlite:///{tmp_path}/s.db"), watch_seconds=None)
    assert app.test_client().get("/shop/").status_code == 404
    app.extensions[KEY].close()


def test_facets_count_listed_products(rec: Recommender) -> None:
    found = {facet.name: dict(facet.values) for facet in facets(rec.attributes)}
    assert list(found) == ["product_type", "brand", "color"]
    assert sum(found["brand"].values()) == rec.n
    (brand, count), *_ = found["brand"].items()
    answer = rec.recommend(
        k=rec.n,
        strategy="popular",
        filter=form_filter(rec.attributes, {"brand": brand}),
        variants="all",
        stock="all",
    )
    assert len(answer) == count
    assert form_filter(rec.attributes, {"brand": "", "price": "cheap"}) is None


def test_search_finds_titles_and_ids(client: FlaskClient, rec: Recommender) -> None:
    page = client.get("/shop/?words=DOTTED dress").text
    found = set(re.findall(r"/shop/product\?id=(\w+)", page.partition('id="results"')[2]))
    titles = {item_id: str(rec.product(item_id)["title"]).lower() for item_id in rec.ids}
    both = {item_id for item_id, title in titles.items() if "dotted" in title and "dress" in title}
    assert both
    products = {item_id: rec.product(item_id) for item_id in both | found}
    buyable = {item_id for item_id in both if products[item_id].get("availability") != "out_of_stock"}
    group = {item_id: product.get("item_group_id") or item_id for item_id, product in products.items()}
    assert {group[item_id] for item_id in buyable} <= {group[item_id] for item_id in found}
    by_id = client.get("/shop/", query_string={"words": rec.ids[7]}).text
    assert re.findall(r"/shop/product\?id=(\w+)", by_id.partition('id="results"')[2])[0] == rec.ids[7]


def test_a_search_without_a_match_shows_other_products_and_says_so(client: FlaskClient) -> None:
    results = client.get("/shop/?words=qwxz blorf").text.partition('id="results"')[2]
    assert "No product matches" in results
    assert results.index("No product matches") < results.index('class="card"')


def test_the_page_of_a_product_shows_no_other_in_two_lists(client: FlaskClient, rec: Recommender) -> None:
    for item_id in rec.ids[:12]:
        page = client.get("/shop/product", query_string={"id": item_id}).text
        similar, _, together = page.partition('id="similar"')[2].partition("<h2>Bought together</h2>")
        assert together
        assert not [each for each in rec.ids if f"id={each}" in similar and f"id={each}" in together]


def test_pages_show_the_librarys_results(client: FlaskClient, rec: Recommender) -> None:
    page = client.get("/shop/?price=20").text
    expected = rec.recommend(k=24, strategy="popular", filter="price <= 20").item_ids
    assert [item_id for item_id in rec.ids if f"id={item_id}" in page] == sorted(expected)
    second = client.get("/shop/?page=2").text
    assert f"id={rec.recommend(k=25, strategy='popular')[24].item_id}" in second
    weights = {name: float(name == "image") for name in rec.weights["item"]}
    params = {f"w_{name}": value for name, value in weights.items()}
    shown = client.get("/shop/product", query_string={"id": rec.ids[0], **params}).text.partition('id="similar"')[
        2
    ]
    places = [shown.index(f"id={item_id}") for item_id in rec.similar(rec.ids[0], 12, weights=weights).item_ids]
    assert places == sorted(places)


def test_events_of_a_shopper_have_the_shoppers_name(app: APIFlask, rec: Recommender) -> None:
    client = app.test_client()
    client.post("/shop/shopper", data={"name": "Ada"})
    first, second = rec.ids[:2]
    answer = post(client, "add_to_cart", first)
    assert answer.headers["HX-Trigger"] == "shopped"
    post(client, "add_to_cart", second)
    assert client.get("/shop/count").text == "2"
    post(client, "remove_from_cart", second)
    basket = client.get("/shop/basket").text
    assert str(rec.product(first)["title"]) in basket
    post(client, "purchase", first)
    assert client.get("/shop/count").text == "0"
    events = app.extensions[KEY].store.events
    assert len(events.history("storefront:Ada")) == 4
    assert "after 4 events" in client.get("/shop/for-you").text
    assert "after" not in app.test_client().get("/shop/for-you").text  # another visitor is another shopper
    client.post("/shop/forget")
    assert events.history("storefront:Ada") == []


def test_errors_are_shown_on_the_page(client: FlaskClient) -> None:
    page = client.get("/shop/product?id=nothing")
    assert page.status_code == 404
    assert "unknown item" in page.text
    part = client.get("/shop/product?id=nothing", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Retarget"]) == (200, "#trouble")
    assert post(client, "steal", "x").status_code == 422
    assert client.post("/shop/photo", data={}).status_code == 422
    odd = client.get("/shop/", headers={"Cookie": "shopper=<script>"})
    assert "<script>\n" not in odd.text
    assert "guest-" in odd.text


class Stub:
    """Reads every text and photo as the same thing."""

    aligned = False

    def encode_texts(self, texts: list[str]) -> Any:
        return np.ones((len(texts), 384), np.float32)

    def encode_images(self, images: list[Any]) -> Any:
        return np.ones((len(images), 1280), np.float32)


def test_text_and_image_queries_use_the_encoder(demo_bundles: Path, tmp_path: Path) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path}/s.db", storefront=True)
    app = create_app(demo_bundles, settings, watch_seconds=None, encoder=tmp_path / "none")
    service = app.extensions[KEY]
    down = app.test_client().get("/shop/?words=dress").text
    assert "does not answer" in down  # and words stand in
    assert "dress" in down.partition('id="results"')[2].lower()
    service.live.recommender = recommender.load(demo_bundles, service.live.overlay, Stub())
    client = app.test_client()
    assert "by words alone" not in client.get("/shop/?words=dress").text
    drawn = BytesIO(draw_product("dress", "red", "plain"))
    photo = client.post("/shop/photo", data={"photo": (drawn, "p.jpg", "image/jpeg")})
    assert "looks like your photo" in photo.text
    assert photo.text.count('class="card"') > 10
    service.close()


@pytest.fixture
def address(app: APIFlask) -> Iterator[str]:
    with listening(app) as address:
        yield address


def test_a_visit(address: str, rec: Recommender, browser: Any) -> None:
    with quiet_page(browser, f"{address}/shop/", viewport={"width": 1200, "height": 900}) as page:
        page.wait_for_selector(".welcome")
        page.select_option("[name=brand]", index=1)
        page.wait_for_url("**brand=*")
        brand = page.locator("[name=brand]").input_value()
        page.wait_for_function(
            "brand => [...document.querySelectorAll('#results .row')].every(e => e.innerText.startsWith(brand))",
            arg=brand,
        )
        page.locator("#results .card a").first.click()
        page.wait_for_selector(".product h1")
        title = page.locator(".product h1").inner_text()
        page.wait_for_selector("#for-you .card")  # a look is an event

        before = page.locator("#similar .title").all_inner_texts()
        for name in rec.weights["item"]:
            slider = page.locator(f"[name=w_{name}]")
            with page.expect_response(lambda answer: "w_image" in answer.url):
                slider.fill("1" if name == "image" else "0")
        page.wait_for_function(
            "titles => titles != [...document.querySelectorAll('#similar .title')].map(e => e.innerText)+''",
            arg=",".join(before),
        )
        page.locator("#similar .why summary").first.click()
        assert "Similar look to" in page.locator("#similar .why ul").first.inner_text()

        page.get_by_role("button", name="Add to basket").first.click()
        page.wait_for_selector(".badge >> text=1")
        page.get_by_role("link", name="Basket").click()
        page.wait_for_selector(".lines li")
        assert title in page.locator(".lines").inner_text()
        page.get_by_role("button", name="Buy").click()
        page.wait_for_selector("#basket >> text=It is empty")

        page.get_by_role("link", name="Figures").click()
        page.wait_for_selector(".tiles")
        assert "popularity" in page.locator("table").inner_text()
        page.keyboard.press("/")  # keys alone: search, and go to the first product
        page.keyboard.type("dotted")
        page.keyboard.press("Enter")
        page.wait_for_selector("#results h2 >> text=dotted")
        assert all("dotted" in each.lower() for each in page.locator("#results .title").all_inner_texts())
        page.locator("#results .card a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(".product h1")
    with quiet_page(browser, f"{address}/shop/", viewport={"width": 360, "height": 700}) as phone:
        phone.wait_for_selector("#results .card")
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
        phone.goto(f"{address}/shop/product?id={rec.ids[0]}")
        phone.wait_for_selector("#similar .card")
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
