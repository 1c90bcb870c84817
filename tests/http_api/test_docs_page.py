"""/docs in a browser: it loads from the service alone, and a call can be tried there."""

from typing import Any

from tests.browser import listening, quiet_page
from tests.http_api.helpers import Start, rec_of


def test_a_call_can_be_tried_on_the_docs_page(start: Start, browser: Any) -> None:
    client = start()
    item_id = rec_of(client).ids[0]
    with listening(client.application) as address, quiet_page(browser, f"{address}/docs") as page:
        call = page.locator(".opblock", has=page.locator("[data-path='/v1/items/{item_id}/similar']"))
        call.locator(".opblock-summary").click()
        assert "Return the products most similar to one" in call.inner_text()
        call.get_by_role("button", name="Try it out").click()
        call.locator("tr[data-param-name=item_id] input").fill(item_id)
        call.get_by_role("button", name="Execute").click()
        answer = call.locator(".live-responses-table .response").first
        assert answer.locator(".response-col_status").inner_text().strip() == "200"
        assert "recommendation_id" in answer.inner_text()
