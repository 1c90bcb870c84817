"""The studio: who may sign in and edit, what its pages answer, and a change by keys alone in a browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from recommender.recommender import Recommender
from serving.app import create_app
from serving.service import KEY
from serving.settings import Key, Settings
from tests.browser import listening, quiet_page

SECRETS = {name: f"{name}-" + "k" * 40 for name in ("anna", "ben", "viewer", "shop")}
SCOPES: dict[str, Any] = {
    "anna": ("admin",),
    "ben": ("admin",),
    "viewer": ("server",),
    "shop": ("public",),
}
QUESTION = {"strategy": "popular", "limit": 6}


@pytest.fixture
def app(demo_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[APIFlask]:
    monkeypatch.setattr("serving.app.START_SECONDS", 60.0)
    keys = {name: Key(sha256=Key.hash(secret), scopes=SCOPES[name]) for name, secret in SECRETS.items()}
    app = create_app(
        demo_bundles,
        Settings(
            store=f"sqlite:///{tmp_path}/store.db",
            studio=True,
            keys=keys,
            rate=1e6,
            burst=10**6,
            placements={"home": {"question": QUESTION}},  # type: ignore[dict-item]
        ),
        watch_seconds=None,
    )
    yield app
    app.extensions[KEY].close()


def rec_of(app: APIFlask) -> Recommender:
    rec: Recommender = app.extensions[KEY].live.recommender
    return rec


def token_of(page: str) -> str:
    found = re.search('name="token" value="([0-9a-f]+)"', page)
    assert found is not None, page
    return found[1]


def signed_in(app: APIFlask, name: str = "anna") -> FlaskClient:
    client = app.test_client()
    token = token_of(client.get("/studio/sign-in").text)
    answer = client.post("/studio/sign-in", data={"token": token, "key": SECRETS[name]})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/studio/")
    return client


def send(client: FlaskClient, path: str, page: str = "/studio/", **data: Any) -> Any:
    return client.post(f"/studio{path}", data={"token": token_of(client.get(page).text), **data})


def revision(app: APIFlask, name: str = "home") -> int:
    found: int = app.extensions[KEY].placements.find(name).revision
    return found


def test_it_is_off_by_default(demo_bundles: Path, tmp_path: Path) -> None:
    app = create_app(demo_bundles, Settings(store=f"sqlite:///{tmp_path}/s.db"), watch_seconds=None)
    assert app.test_client().get("/studio/").status_code == 404
    app.extensions[KEY].close()


def test_only_keys_of_the_scopes_server_and_admin_sign_in(app: APIFlask) -> None:
    stranger = app.test_client()
    assert stranger.get("/studio/placements/home").headers["Location"] == "/studio/sign-in"
    page = stranger.get("/studio/sign-in").text
    for key in ("", "no key", SECRETS["shop"]):
        refused = stranger.post("/studio/sign-in", data={"token": token_of(page), "key": key})
        assert refused.status_code == 401
        assert "No valid key" in refused.text
        assert "studio_session" not in str(refused.headers)
    for path in ("/studio/", "/studio/collections", "/studio/picture?id=A", "/studio/seeds"):
        assert stranger.get(path).status_code == 302
    with stranger.get("/static/studio/studio.css") as style:
        assert style.status_code == 200


def test_the_session_is_a_cookie_that_scripts_and_other_sites_do_not_have(app: APIFlask) -> None:
    for url, is_secure in (("http://localhost", False), ("https://localhost", True)):
        client = app.test_client()
        token = token_of(client.get("/studio/sign-in", base_url=url).text)
        data = {"token": token, "key": SECRETS["anna"]}
        answer = client.post("/studio/sign-in", base_url=url, data=data)
        (cookie,) = [each for each in answer.headers.getlist("Set-Cookie") if each.startswith("studio_session")]
        assert {"HttpOnly", "SameSite=Strict", "Path=/studio"} <= {*cookie.split("; ")}
        assert ("Secure" in cookie) is is_secure
        assert SECRETS["anna"] not in cookie
    forged = app.test_client()
    forged.set_cookie("studio_session", "anna.9999999999.x." + "0" * 64, path="/studio")
    assert forged.get("/studio/").status_code == 302
    client = signed_in(app)
    value = client.get_cookie("studio_session", path="/studio")
    assert value is not None
    client.set_cookie("studio_session", value.value.replace("anna", "ben"), path="/studio")
    assert client.get("/studio/").status_code == 302


def test_a_form_without_its_token_or_the_scope_changes_nothing(app: APIFlask) -> None:
    client, viewer, other = signed_in(app), signed_in(app, "viewer"), signed_in(app, "ben")
    pin = {"action": "pin", "name": "p", "item_id": rec_of(app).ids[0], "position": 1, "revision": 0}
    stolen = token_of(other.get("/studio/").text)
    for token in ("", "x", stolen):
        assert client.post("/studio/placements/home/rule", data={**pin, "token": token}).status_code == 403
    assert send(viewer, "/placements/home/rule", **pin).status_code == 403
    cross = {"Origin": "https://evil.example"}
    own = token_of(client.get("/studio/").text)
    answer = client.post("/studio/placements/home/rule", data={**pin, "token": own}, headers=cross)
    assert answer.status_code == 403
    assert revision(app) == 0
    page = viewer.get("/studio/placements/home").text
    assert "can look" in page
    assert "rule?action=pin" not in page
    assert send(viewer, "/placements/home/preview", form="rule", **pin).status_code == 200


def test_a_rule_is_previewed_saved_and_undone(app: APIFlask) -> None:
    client, rec = signed_in(app), rec_of(app)
    before = [*rec.recommend(k=6, strategy="popular").item_ids]
    pinned = next(item_id for item_id in rec.ids if item_id not in before and rec.is_available(item_id))
    pin = {"action": "pin", "name": "hero", "item_id": pinned, "position": 1, "note": "campaign", "priority": 0}
    shown = send(client, "/placements/home/preview", form="rule", seed="", **pin).text
    assert "1 added, 1 removed, 5 moved" in shown
    assert revision(app) == 0  # a preview stores nothing
    saved = send(client, "/placements/home/rule", revision=0, **pin)
    assert saved.headers["Location"] == "/studio/placements/home"
    page = client.get("/studio/placements/home").text
    assert str(rec.product(pinned)["title"]) in page
    assert "by anna" in page
    history = client.get("/studio/placement/home/history").text
    assert "rule hero was added" in history
    send(client, "/placement/home/undo", revision=revision(app))
    assert app.extensions[KEY].placements.find("home").model.all_rules() == ()
    assert "back to the start" in client.get("/studio/placement/home/history").text


def test_the_later_of_two_editors_keeps_what_was_entered(app: APIFlask) -> None:
    anna, ben = signed_in(app), signed_in(app, "ben")
    rule = {"action": "bury", "products": "price < 5", "when": "", "revision": 0}
    assert send(anna, "/placements/home/rule", name="cheap", **rule).status_code == 303
    late = send(ben, "/placements/home/rule", name="mine", note="kept", **rule)
    assert late.status_code == 409
    assert "anna changed" in late.text
    assert "rule cheap was added" in late.text
    assert 'value="kept"' in late.text
    again = {"name": "mine", "note": "kept", **rule, "revision": revision(app)}
    assert send(ben, "/placements/home/rule", **again).status_code == 303
    names = [each.name for each in app.extensions[KEY].placements.find("home").model.all_rules()]
    assert names == ["cheap", "mine"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"action": "bury", "products": "price <"}, "expected a quoted string or a number"),
        ({"action": "bury", "products": "prise < 5", "when": "{"}, "neither a text nor JSON"),
        (
            {"action": "bury", "products": "price < 5", "from": "2026-02-01T00:00", "until": "2026-01-01T00:00"},
            "until",
        ),
        ({"action": "pin", "item_id": "x", "position": "first"}, "whole number"),
        ({"action": "pin", "item_id": "<b>", "position": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_rule_is_shown_again_with_the_reason(app: APIFlask, fields: dict[str, str], words: str) -> None:
    answer = send(signed_in(app), "/placements/home/rule", name="r", revision=0, **fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert 'role="alert"' in answer.text
    assert "<b>" not in answer.text.partition('name="item_id"')[2][:40]
    assert revision(app) == 0


def test_settings_experiments_and_collections_are_edited(app: APIFlask) -> None:
    client, rec = signed_in(app), rec_of(app)
    arms = {
        "arm-0-name": "a",
        "arm-0-share": "60",
        "arm-1-name": "b",
        "arm-1-share": "40",
        "arm-1-strategy": "new",
    }
    form = {"strategy": "popular", "limit": "4", "filter": "price > 1", "experiment": "x", **arms, "revision": 0}
    broken = send(client, "/placements/home/settings", **{**form, "arm-0-share": "0", "arm-1-share": "0"})
    assert (broken.status_code, "sum to 0" in broken.text) == (422, True)
    assert "price &gt; 1</textarea>" in broken.text  # what was entered is kept
    assert send(client, "/placements/home/settings", **form).status_code == 303
    model = app.extensions[KEY].placements.find("home").model
    assert model.question == {"strategy": "popular", "limit": 4, "filter": "price > 1"}
    assert [(arm.name, arm.share, arm.strategy) for arm in model.experiment.arms] == [
        ("a", 0.6, None),
        ("b", 0.4, "new"),
    ]
    picks = {"name": "picks", "kind": "ids", "item_ids": f"{rec.ids[0]}\n\n{rec.ids[1]}\n{rec.ids[0]}"}
    assert send(client, "/collections", **picks).status_code == 303
    assert app.extensions[KEY].placements.state.collections["picks"].model.item_ids == (rec.ids[0], rec.ids[1])
    assert "2</b> products" in client.get("/studio/collections").text
    shown = send(client, "/collection-preview", kind="filter", filter="price < 30").text
    assert (
        f"{rec.recommend(k=1, strategy='popular', filter='price < 30', stock='all').eligible}</b> product" in shown
    )
    assert send(client, "/placements", name="new-one").status_code == 303
    assert "new-one" in client.get("/studio/").text
    assert send(client, "/placements", name="Not a slug").status_code == 422


@pytest.mark.slow
def test_a_rule_is_made_and_undone_by_keys_alone(app: APIFlask, browser: Any) -> None:
    """No mouse: sign in, add a rule with a live preview, save it, and undo it; every control has a name."""
    with (
        listening(app) as url,
        quiet_page(browser, f"{url}/studio/", viewport={"width": 390, "height": 844}) as page,
    ):
        keys = page.keyboard
        keys.type(SECRETS["anna"])  # the field has the focus
        keys.press("Enter")
        page.wait_for_url("**/studio/")

        def tab_to(name: str) -> None:
            for _ in range(60):
                keys.press("Tab")
                words = "document.activeElement.labels?.[0]?.innerText || document.activeElement.innerText || ''"
                if page.evaluate(words).strip().startswith(name):
                    return
            raise AssertionError(f"the tab key does not come to {name}")

        tab_to("home")
        keys.press("Enter")
        page.wait_for_url("**/placements/home")
        tab_to("Block")
        keys.press("Enter")
        page.wait_for_url("**/rule?action=block")
        page.wait_for_selector(".tiles")
        tab_to("Products")
        keys.type("price < 30")
        page.wait_for_selector(".tile.removed")
        page.wait_for_selector(".tile.added")
        tab_to("Save rule")
        keys.press("Enter")
        page.wait_for_url("**/placements/home")
        assert page.locator(".rule").count() == 1
        tab_to("History")
        keys.press("Enter")
        page.wait_for_url("**/history")
        tab_to("Undo the latest change")
        keys.press("Enter")
        page.wait_for_selector("text=back to the start")
        for path in (
            "",
            "placements/home",
            "placements/home/rule?action=fill",
            "placements/home/settings",
            "new-collection",
        ):
            page.goto(f"{url}/studio/{path}")
            page.wait_for_load_state("networkidle")
            assert page.evaluate(NAMELESS) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


HOME = "placements/home"
PAGES = ("", HOME, f"{HOME}/rule?action=fill", f"{HOME}/settings", "new-collection")
NAMELESS = """
[...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a")].filter((each) => !(
  each.labels?.length || each.getAttribute("aria-label") || each.innerText?.trim() || each.closest("[hidden]")
  || each.closest("details:not([open])"))).map((each) => each.outerHTML)"""
