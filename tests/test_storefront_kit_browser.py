"""The storefront kit in a browser, against the service: attribution, impressions, consent, lost events."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import recommender
from tests.browser import listening
from tests.kit_shop import Shop, awaited

pytestmark = pytest.mark.slow
CAROUSEL = (
    '<product-recommendations placement="pdp-similar" item="{item}" currency="EUR"></product-recommendations>'
)
SHARES_IN_VIEW = """
  [...document.querySelector("product-recommendations").shadowRoot.querySelectorAll("a")].map((card) => {
    const box = card.getBoundingClientRect();
    const edge = card.closest("ul").getBoundingClientRect().right;
    const share = (Math.min(box.right, edge) - box.left) / box.width;
    return [new URL(card.href).searchParams.get("item_id"), share];
  })
"""
PUSHES = """
  (item) => {
    gtag("js", new Date());
    const line = {item_id: item, item_name: "Mug", quantity: 2, index: 1};
    gtag("event", "add_to_cart", {currency: "EUR", items: [line]});
    dataLayer.push({ecommerce: null}, {event: "begin_checkout", ecommerce: {items: [line]}}, null, "text");
    const lines = [{item_id: item, quantity: 1, custom: "x"}, {item_name: "without an id"}];
    dataLayer.push({event: "purchase", ecommerce: {transaction_id: 7, items: lines}});
  }
"""


@pytest.fixture
def shop(demo_bundles: Path, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(demo_bundles, tmp_path / "store.db")
    with listening(shop.site) as shop.url:
        yield shop


@pytest.fixture(scope="module")
def item(demo_bundles: Path) -> str:
    return recommender.load(demo_bundles).ids[0]


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a visitor of their own, with no failed script."""
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(30_000)
    yield page
    page.close()
    assert errors == []


def track(page: Any, name: str, *ids: str) -> None:
    page.evaluate("([name, ids]) => recommender.track(name, ids)", [name, ids])


def stored(page: Any) -> list[str]:
    found: list[str] = page.evaluate("Object.keys(localStorage)")
    return found


def test_a_click_is_attributed_until_the_purchase(shop: Shop, page: Any, item: str) -> None:
    carousel = CAROUSEL.format(item=item).replace(" currency", ' product-url="/product?id={item_id}" currency')
    with shop.serving():
        shop.pages |= {"/": shop.script() + carousel, "/product": shop.script()}
        page.goto(shop.url)
        cards = page.locator("product-recommendations a[href]")
        cards.nth(1).wait_for()
        request = {
            "placement": "pdp-similar",
            "seeds": {"items": [{"item_id": item}]},
            "fields": ["title", "price"],
        }
        answer = page.evaluate("request => recommender.recommend(request)", request)
        shown = [card["item_id"] for card in answer["items"]]
        titles = page.locator("product-recommendations [part=title]").all_inner_texts()
        assert titles == [card["fields"]["title"] for card in answer["items"]]
        price = f"€{answer['items'][1]['fields']['price']:.2f}"
        assert page.locator("product-recommendations [part=price]").nth(1).inner_text() == price
        cards.nth(1).click()
        page.wait_for_url(f"**/product?id={shown[1]}")
        line = {"item_id": shown[1], "quantity": 2, "price": 9.5}
        page.evaluate("line => recommender.track('add_to_cart', [line])", line)
        lines = [line, {"item_id": item, "quantity": 1, "price": 3}]
        for _ in range(2):  # the page of an order that is loaded again
            page.evaluate("lines => recommender.track('purchase', lines, {transaction_id: 'T-1'})", lines)
            shop.await_events(4, "select_item", "add_to_cart", "purchase")
            page.reload()
            page.wait_for_function("window.recommender")
        events = shop.events("select_item", "add_to_cart", "purchase")
        clicked = [event for event in events if event[1] == shown[1]]
        assert [event[0] for event in clicked] == ["select_item", "add_to_cart", "purchase"]
        (recommendation,) = {event[2] for event in clicked}
        assert recommendation.split("~")[1] == "pdp-similar"
        assert [event[4:] for event in clicked[1:]] == [(2, 9.5), (2, 9.5)]
        assert [event for event in events if event[1] == item] == [("purchase", item, "", clicked[0][3], 1, 3)]
        assert len(events) == 4
        (session,) = {event[3] for event in events}
        assert len(session) >= 20


def test_an_impression_is_of_what_was_in_view_for_a_second(shop: Shop, page: Any, item: str) -> None:
    with shop.serving():
        shop.pages["/"] = shop.script() + '<div style="height: 3000px"></div>' + CAROUSEL.format(item=item)
        page.set_viewport_size({"width": 1064, "height": 700})  # a quarter of the sixth product is in view
        page.goto(shop.url)
        page.locator("product-recommendations a[href]").first.wait_for()
        page.wait_for_timeout(2500)
        page.evaluate("scrollTo(0, 9999); setTimeout(() => scrollTo(0, 0), 300)")  # a glance
        page.wait_for_timeout(2500)
        track(page, "view_item", item)  # once it has come, so has what was sent before
        shop.await_events(1, "view_item")
        assert shop.events("view_item_list") == []
        page.evaluate("scrollTo(0, 9999)")
        shares = dict(page.evaluate(SHARES_IN_VIEW))
        expected = {item_id for item_id, share in shares.items() if share >= 0.5}
        assert expected
        assert any(0.1 < share < 0.4 for share in shares.values())
        events = shop.await_events(len(expected), "view_item_list")
        page.wait_for_timeout(1500)
        events = shop.events("view_item_list")
        assert sorted(event[1] for event in events) == sorted(expected)
        assert len({event[2] for event in events}) == 1
        next_button = page.locator("product-recommendations [part~=next]")
        next_button.click()
        assert {event[1] for event in shop.await_events(len(shares), "view_item_list")} == set(shares)


def test_nothing_is_stored_or_sent_before_consent_and_after_its_end(shop: Shop, page: Any, item: str) -> None:
    with shop.serving():
        shop.pages["/"] = shop.script("required") + CAROUSEL.format(item=item)
        requests: list[Any] = []
        page.on("request", lambda request: requests.append((request.url, request.post_data or "")))
        page.goto(shop.url)
        page.locator("product-recommendations a[href]").first.wait_for()
        track(page, "view_item", item)
        page.wait_for_timeout(2500)
        assert stored(page) == []
        assert page.evaluate("[document.cookie, recommender.sessionId ?? null]") == ["", None]
        assert not [url for url, body in requests if "events" in url or "session_id" in url + body]
        page.evaluate("localStorage['recommender.click.X'] = JSON.stringify(['before', Date.now() + 1e6])")
        page.evaluate("recommender.select('now', 'X')")
        page.evaluate("recommender.grantConsent()")
        assert page.evaluate("localStorage['recommender.click.X']").startswith('["now",')
        (viewed,) = shop.await_events(1, "view_item")
        shop.await_events(1, "view_item_list")
        assert viewed[3] == page.evaluate("recommender.sessionId")
        assert "recommender.session" in stored(page)
        page.evaluate("recommender.revokeConsent()")
        assert stored(page) == []
        count = len(shop.events())
        track(page, "view_item", item)
        page.locator("product-recommendations a[href]").first.click(modifiers=["Control"])
        page.wait_for_timeout(1500)
        assert stored(page) == []
        assert len(shop.events()) == count
        page.evaluate("recommender.grantConsent()")
        assert page.evaluate("recommender.sessionId") != viewed[3]


def test_events_of_a_service_that_is_down_arrive_once(shop: Shop, page: Any, item: str) -> None:
    with shop.serving():
        pass  # it has an address
    shop.pages["/"] = shop.pages["/other"] = shop.script(source="/kit.js")
    page.goto(shop.url)
    page.wait_for_function("window.recommender")
    for _ in range(3):
        track(page, "view_item", item)
    page.wait_for_timeout(500)
    page.goto(f"{shop.url}/other")
    page.wait_for_function("window.recommender")
    track(page, "add_to_cart", item)
    page.wait_for_timeout(500)
    assert len([key for key in stored(page) if key.startswith("recommender.event.")]) == 4
    with shop.serving():
        events = shop.await_events(4)  # by the retry of that page
        assert sorted(event[0] for event in events) == ["add_to_cart", *3 * ["view_item"]]
        awaited(lambda: [key for key in stored(page) if "event." in key], lambda keys: not keys)
        page.reload()
        page.wait_for_timeout(1000)
        assert len(shop.events()) == 4


def test_an_event_whose_answer_is_lost_is_stored_once(shop: Shop, page: Any, item: str) -> None:
    with shop.serving():
        shop.pages["/"] = shop.script()
        sent: list[str] = []

        def lose_the_first_answer(route: Any) -> None:
            sent.append(route.request.post_data)
            answer = route.fetch()
            route.abort() if len(sent) == 1 else route.fulfill(response=answer)

        page.route("**/v1/events:batch", lose_the_first_answer)
        page.goto(shop.url)
        page.wait_for_function("window.recommender")
        track(page, "add_to_cart", item)
        awaited(lambda: (page.wait_for_timeout(50), sent)[1], lambda sent: len(sent) >= 2)
        awaited(lambda: [key for key in stored(page) if "event." in key], lambda keys: not keys)
        assert sent[0] == sent[1]
        assert len(shop.events()) == 1


def test_events_of_a_page_that_is_left_are_sent(shop: Shop, page: Any, item: str) -> None:
    with shop.serving():
        shop.pages |= {"/": shop.script(), "/other": "another page, without the kit"}
        page.goto(shop.url)
        page.wait_for_function("window.recommender")
        page.evaluate(
            "([item, url]) => { recommender.track('add_to_cart', [item]); location.href = url; }", [item, "/other"]
        )
        page.wait_for_url("**/other")
        assert [event[0] for event in shop.await_events(1)] == ["add_to_cart"]


def test_events_of_the_data_layer_are_reported(shop: Shop, page: Any, item: str) -> None:
    items = f'[{{item_id: "{item}", price: "9.50"}}]'
    before = f"""<script>dataLayer = [{{event: "view_item", ecommerce: {{items: {items}}}}}];
        function gtag() {{ dataLayer.push(arguments); }}</script>"""
    with shop.serving():
        shop.pages["/"] = before + shop.script("required")
        page.goto(shop.url)
        page.wait_for_function("window.recommender")
        page.evaluate(PUSHES, item)
        page.wait_for_timeout(500)
        assert shop.events() == []
        page.evaluate('gtag("consent", "update", {analytics_storage: "granted"})')
        events = shop.await_events(3)
        assert sorted((event[0], *event[4:]) for event in events) == [
            ("add_to_cart", 2, None),
            ("purchase", 1, None),
            ("view_item", None, 9.5),
        ]
        page.evaluate('gtag("consent", "update", {analytics_storage: "denied"})')
        assert stored(page) == []
        assert page.evaluate("dataLayer.length") == 10


def test_calls_return_the_services_answers_and_errors(shop: Shop, page: Any, item: str) -> None:
    with shop.serving():
        shop.pages["/"] = shop.script()
        page.goto(shop.url)
        page.wait_for_function("window.recommender")
        similar = page.evaluate("item => recommender.similar(item, {limit: 3, fields: 'title'})", item)
        assert len(similar["items"]) == 3
        assert similar["items"][0]["fields"].keys() == {"title"}
        session = page.evaluate("recommender.recommend({strategy: 'for_you', limit: 2})")
        assert len(session["items"]) == 2
        refused = page.evaluate(
            "recommender.recommend({limit: 1000}).catch(({status, problem}) => [status, problem])"
        )
        assert (refused[0], refused[1]["errors"][0]["pointer"]) == (422, "/limit")
        title = similar["items"][0]["fields"]["title"]
        found = page.evaluate("title => recommender.search(title, {limit: 3, fields: ['title']})", title)
        assert title in [each["fields"]["title"] for each in found["items"]]
        completed = page.evaluate("title => recommender.autocomplete(title.slice(0, 4))", title)
        queries = [each["text"] for each in completed["queries"]]
        assert queries
        assert all(each.lower().startswith(title[:4].lower()) for each in queries)
        assert completed["items"]


def test_the_content_of_an_element_stands_in_for_a_service_that_fails(shop: Shop, page: Any, item: str) -> None:
    own = '<product-recommendations placement="none" item="X"><p>Our bestsellers</p></product-recommendations>'
    with shop.serving():
        shop.pages["/"] = shop.script() + own
        page.goto(shop.url)
        page.get_by_text("Our bestsellers").wait_for()
        page.evaluate(f"document.querySelector('product-recommendations').setAttribute('item', '{item}')")
        page.evaluate("document.querySelector('product-recommendations').setAttribute('placement', 'pdp-similar')")
        page.locator("product-recommendations a[href]").first.wait_for()
        assert not page.get_by_text("Our bestsellers").is_visible()
