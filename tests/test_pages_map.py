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


def test_titles_cannot_end_the_script(rec: Recommender, tmp_path: Path, browser: Any) -> None:
    tricky = SimpleNamespace(**{name: getattr(rec.attributes, name) for name in dir(rec.attributes)})
    tricky.value = lambda name, row: "</script><img src=x onerror=alert(1)>&"
    sly = SimpleNamespace(**{name: getattr(rec, name) for name in ("bundle", "manifest", "layout", "segment")})
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
