"""The map of all products: where they lie, what the page weighs, and what it does in a browser."""

import json
import shutil
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import recommender
from recommender.cli import main
from recommender.errors import RequestError
from recommender.pages import positions, write_map
from recommender.pages.sprites import SIDE, sheets, tile_size
from recommender.recommender import Recommender
from tests.browser import quiet_page


@pytest.fixture(scope="module")
def rec(demo_bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """On a copy, since coordinates are cached beside the bundle."""
    return recommender.load(shutil.copytree(demo_bundles, tmp_path_factory.mktemp("map") / "bundles"))


def test_similar_products_are_close(rec: Recommender) -> None:
    coordinates = positions(rec, method="pca")
    assert coordinates.shape == (rec.n, 2)
    assert coordinates.min() == 0
    assert coordinates.max() == 1
    away = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=2)
    neighbours = rec.segment.neighbours[:, :3]
    near = np.take_along_axis(away, neighbours.astype(np.intp), axis=1).mean()
    assert near < 0.6 * away[~np.eye(rec.n, dtype=bool)].mean()


def test_each_block_has_a_map(rec: Recommender) -> None:
    image, text = (positions(rec, block, "pca") for block in ("image", "text"))
    assert np.abs(image - text).max() > 0.1


def test_a_layout_is_cached(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class PaCMAP:
        def __init__(self, **options: Any) -> None:
            assert options["random_state"] == 0

        def fit_transform(self, axes: np.ndarray, init: str) -> np.ndarray:
            made.append(axes.shape)
            return axes[:, :2] * [3, 1]

    monkeypatch.setattr("recommender.pages.projection.find_spec", lambda name: name == "pacmap")
    monkeypatch.setitem(sys.modules, "pacmap", SimpleNamespace(PaCMAP=PaCMAP))
    first = positions(rec)
    (rec.bundle.root / "maps" / "0000-all-pca.npy").touch()  # of a generation that is no more
    assert np.array_equal(first, positions(rec))
    assert made == [(rec.n, 50)]
    positions(rec, "text", "pca")
    assert np.array_equal(first, positions(rec, method="pacmap"))


def test_items_without_vectors_are_an_error(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match=r"no block 'imag' to map; .* did you mean 'image'"):
        positions(rec, "imag")
    with pytest.raises(RequestError, match="unknown method 'tsne'; expected one of pacmap, umap, pca"):
        positions(rec, method="tsne")
    monkeypatch.setattr("recommender.pages.projection.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"umap is not installed; `pip install umap-learn`, or choose pca"):
        positions(rec, method="umap")


def test_sprites_hold_every_image_at_its_position() -> None:
    shades = {f"{i:03}": (i, 255 - i, 90) for i in range(200)}

    def picture(item_id: str) -> bytes | None:
        if item_id not in shades:
            return None
        out = BytesIO()
        Image.new("RGB", (80, 80), shades[item_id]).save(out, "JPEG", quality=95)
        return out.getvalue()

    ids = [*shades, *(f"none{i}" for i in range(SIDE**2))]
    first, second = (Image.open(BytesIO(sheet)).convert("RGB") for sheet in sheets(ids, picture))
    size = tile_size(len(ids))[0]
    assert first.size == (SIDE * size, SIDE * size)
    for position, (item_id, shade) in enumerate(shades.items()):
        middle = (position % SIDE * size + size // 2, position // SIDE * size + size // 2)
        assert np.abs(np.subtract(first.getpixel(middle), shade)).max() < 20, item_id
    assert second.getpixel((5, 5)) == (255, 255, 255)


def test_the_page_in_a_browser(rec: Recommender, tmp_path: Path, browser: Any) -> None:
    out = tmp_path / "map.html"
    assert write_map(rec, out, method="pca") == rec.n
    with quiet_page(browser, out.as_uri(), viewport={"width": 1100, "height": 700}) as page:
        assert page.locator("h1").inner_text() == f"{rec.n} products"
        wanted = next(i for i, item_id in enumerate(page.evaluate("data.ids")) if rec.thumbnail(item_id))
        item_id = page.evaluate(f"data.ids[{wanted}]")
        page.fill("#search", item_id)
        assert page.locator("#found").inner_text().startswith("1 found")
        page.press("#search", "Enter")  # flies there, and shows it
        page.wait_for_function("decoded.some((sheet) => sheet.complete)")
        x, y = page.evaluate(f"[screenX({wanted}), screenY({wanted})]")
        page.mouse.move(5 + x, 300 + y)
        page.mouse.move(x + 1, y + 1)
        assert rec.product(item_id)["title"] in page.locator("#tip").inner_text()
        drawn = page.evaluate(
            "[...$('#tip canvas').getContext('2d').getImageData(96, 96, 1, 1).data].slice(3)"
        )  # a photo is there, not an empty canvas
        assert drawn == [255]
        page.press("#search", "Escape")
        assert page.locator("#found").is_hidden()

        page.select_option("#column", label="price")
        assert page.locator("#legend .ends span").count() == 3
        page.select_option("#column", label="brand")
        brand = page.locator("#values button").first
        assert sum(page.evaluate("Array.from({length: n}, (_, i) => +isShown(i))")) == rec.n
        brand.click()
        counted = int(brand.locator("small").inner_text())
        assert sum(page.evaluate("Array.from({length: n}, (_, i) => +isShown(i))")) == counted < rec.n

        page.locator("#map").focus()
        before = page.evaluate("view.scale")
        page.keyboard.press("+")
        assert page.evaluate("view.scale") > before


def test_a_click_opens_a_product_with_its_similar_items(rec: Recommender, tmp_path: Path, browser: Any) -> None:
    out = tmp_path / "map.html"
    write_map(rec, out, method="pca", shop_url="https://shop.example/p?id={id}&from=map")
    with quiet_page(browser, out.as_uri(), viewport={"width": 1100, "height": 700}) as page:
        ids = page.evaluate("data.ids")
        shown = page.evaluate("Array.from({length: n}, (_, i) => neighboursOf(i).map((j) => data.ids[j]))")
        assert {item_id: rec.similar(item_id, 10).item_ids for item_id in ids} == dict(
            zip(ids, shown, strict=True)
        )

        item_id = click_a_product(page)
        fields = dict(zip(texts(page, "#product dt"), texts(page, "#product dd"), strict=True))
        assert page.locator("#product h2").inner_text() == rec.product(item_id)["title"]
        assert (fields["id"], fields["brand"]) == (item_id, rec.product(item_id)["brand"])
        assert page.locator("#product a").get_attribute("href") == f"https://shop.example/p?id={item_id}&from=map"
        neighbours = rec.similar(item_id, 10).item_ids
        assert (
            page.evaluate("[...document.querySelectorAll('#neighbours button')].map((b) => b.dataset.id)")
            == neighbours
        )

        page.locator("#neighbours button").nth(2).click()
        assert page.locator("#product dd").first.inner_text() == neighbours[2]
        page.keyboard.press("Escape")
        assert page.locator("#product").is_hidden()


def test_neighbours_on_the_map_of_a_block_are_by_this_block(rec: Recommender, tmp_path: Path) -> None:
    products = page_data(rec, tmp_path / "text.html", block="text", method="pca")
    ids, k = products["ids"], products["k"]
    only = {name: float(name == "text") for name in rec.weights["item"]}
    for i in range(0, len(ids), 7):
        rows = [j for j in products["neighbours"][i * k : (i + 1) * k] if j >= 0]
        assert [ids[j] for j in rows] == rec.similar(ids[i], k, weights=only).item_ids


def test_a_lasso_exports_the_ids_of_a_planted_cluster(
    rec: Recommender, tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    coordinates = generator.uniform(0.5, 1.0, (rec.n, 2)).astype(np.float32)
    planted = generator.choice(rec.n, 17, replace=False)
    coordinates[planted] = generator.uniform(0.1, 0.25, (17, 2))
    monkeypatch.setattr("recommender.pages.map_page.positions", lambda *_: coordinates)
    write_map(rec, tmp_path / "map.html")
    wanted = {rec.attributes.id_of(int(row)) for row in planted}
    with quiet_page(browser, (tmp_path / "map.html").as_uri(), viewport={"width": 1100, "height": 700}) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.keyboard.press("l")
        around = [(0.08, 0.07), (0.36, 0.08), (0.34, 0.34), (0.07, 0.36)]
        corners = [page.evaluate(f"[{x} * view.scale + view.x, {y} * view.scale + view.y]") for x, y in around]
        page.mouse.move(*corners[0])
        page.mouse.down()
        for corner in corners[1:]:
            page.mouse.move(*corner, steps=3)
        page.mouse.up()
        assert page.locator("#selected").inner_text() == "17 selected"
        with page.expect_download() as download:
            page.click("#download")
        assert set(Path(download.value.path()).read_text().split()) == wanted

        page.click("#copy-ids")
        page.wait_for_function("$('#selected').textContent.startsWith('Copied the ids')")
        assert set(page.evaluate("navigator.clipboard.readText()").split()) == wanted
        page.click("#copy-filter")
        page.wait_for_function("$('#selected').textContent.startsWith('Copied a filter')")
        copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
        answer = rec.similar(min(wanted), 80, filter=copied, variants="all", stock="all")
        assert set(answer.item_ids) == wanted - {min(wanted)}

        page.keyboard.press("Escape")
        assert page.locator("#selection").is_hidden()


def test_the_legend_has_the_colours_of_the_points(rec: Recommender, tmp_path: Path, browser: Any) -> None:
    write_map(rec, tmp_path / "map.html", method="pca")
    with quiet_page(browser, (tmp_path / "map.html").as_uri()) as page:
        page.select_option("#column", label="brand")
        legend = page.evaluate(
            """[...document.querySelectorAll("#values button")]
            .map((button) => [button.title, getComputedStyle(button.firstChild).backgroundColor])"""
        )
        inks = page.evaluate("data.ids.map((id, i) => [id, inks[colours[i]]])")
        for item_id, ink in inks:
            red, green, blue = (int(ink[at : at + 2], 16) for at in (1, 3, 5))
            assert dict(legend)[rec.product(item_id)["brand"]] == f"rgb({red}, {green}, {blue})"
        page.select_option("#column", label="popularity")
        brightest = page.evaluate("data.ids.filter((_, i) => colours[i] === STEPS - 1)")
        assert rec.popular(1).item_ids[0] in brightest
        assert len(brightest) < rec.n / 4


def test_the_keyboard_moves_zooms_searches_and_lists(rec: Recommender, tmp_path: Path, browser: Any) -> None:
    write_map(rec, tmp_path / "map.html", method="pca")
    with quiet_page(browser, (tmp_path / "map.html").as_uri(), viewport={"width": 390, "height": 844}) as page:
        page.locator("#map").focus()
        first = page.evaluate("({...view})")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("view.x") < first["x"]
        page.keyboard.press("-")
        assert page.evaluate("view.scale") < first["scale"]
        page.keyboard.press("0")
        assert page.evaluate("({...view})") == first
        page.keyboard.press("/")
        title = rec.product(rec.ids[0])["title"]
        page.keyboard.type(f"0+l {title}")
        assert page.evaluate("({...view})") == first  # keys are no shortcuts while one types
        page.fill("#search", title)
        page.locator("#listing summary").press("Enter")
        page.locator("#list button").first.press("Enter")
        assert page.locator("#product h2").inner_text() == title
        assert page.evaluate("document.activeElement.id") == "product-title"
        page.keyboard.press("Escape")
        assert page.locator("#product").is_hidden()
        assert page.locator("#search").input_value() == title
        page.keyboard.press("Escape")
        assert page.locator("#search").input_value() == ""


def test_an_address_without_the_id_is_an_error(rec: Recommender, tmp_path: Path) -> None:
    for wrong in ("https://shop.example/", "javascript:alert('{id}')"):
        with pytest.raises(
            RequestError, match=r"expected an address such as https://shop.example/products/\{id\}"
        ):
            write_map(rec, tmp_path / "map.html", method="pca", shop_url=wrong)


def click_a_product(page: Any) -> str:
    """Click a point that no panel hides; returns its id."""
    i, x, y = page.evaluate(
        """(() => { const free = room();
        return [...Array(n).keys()].map((i) => [i, screenX(i), screenY(i)])
            .find(([i, x, y]) => x > free.x && y > free.y && x < free.x + free.w && nearest(x, y) === i) })()"""
    )
    page.mouse.click(x, y)
    return str(page.evaluate(f"data.ids[{i}]"))


def texts(page: Any, selector: str) -> list[str]:
    return list(page.locator(selector).all_inner_texts())


def page_data(rec: Recommender, out: Path, **options: Any) -> dict[str, Any]:
    write_map(rec, out, **options)
    return dict(
        json.loads(out.read_text().split('id="products" type="application/json">')[1].split("</script>")[0])
    )


def test_titles_cannot_end_the_script(rec: Recommender, tmp_path: Path, browser: Any) -> None:
    tricky = SimpleNamespace(**{name: getattr(rec.attributes, name) for name in dir(rec.attributes)})
    tricky.value = lambda name, row: "</script><img src=x onerror=alert(1)>&"
    sly = SimpleNamespace(**{name: getattr(rec, name) for name in ("bundle", "manifest", "layout", "segment")})
    sly.similar_many = rec.similar_many
    sly.attributes, sly.weights, sly.generation, sly.thumbnail = tricky, rec.weights, rec.generation, rec.thumbnail
    write_map(sly, tmp_path / "sly.html", method="pca")
    with quiet_page(browser, (tmp_path / "sly.html").as_uri()) as page:
        assert page.evaluate("data.titles[0]") == tricky.value("title", 0)


def test_the_command(
    demo_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundles = shutil.copytree(demo_bundles, tmp_path / "bundles")
    command = ["recommender", "map", str(bundles), "--out", str(tmp_path / "m.html"), "--method", "pca", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    output = json.loads(capsys.readouterr().out)
    assert output == {
        "out": str(tmp_path / "m.html"),
        "products": 80,
        "bytes": (tmp_path / "m.html").stat().st_size,
    }
