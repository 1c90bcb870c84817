"""The storefront kit: the file that the service serves, its types, and its demo page in a browser."""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import recommender
from serving.app import create_app
from serving.routes.kit import FILE
from serving.service import KEY
from serving.settings import Key, Settings
from tests.browser import listening, quiet_page
from tests.kit_shop import PLACEMENTS, SECRET, awaited

KIT = Path(__file__).parent.parent / "storefront-kit"
MAX_BYTES = 10_000
ELEMENTS = "[...document.querySelectorAll('product-recommendations')]"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("openapi_types", KIT / "openapi_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the kit's folder with its development dependencies."""
    if shutil.which("npm") is None:
        pytest.skip("node is not installed: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("kit") / "storefront-kit"
    shutil.copytree(KIT, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    done = subprocess.run(["npm", "ci", "--no-fund", "--no-audit"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the npm registry does not answer: {done.stderr[-300:]}")
    return folder


def test_the_kit_is_small() -> None:
    assert len(FILE.read_bytes()) < MAX_BYTES


def test_pages_of_any_origin_load_the_kit_without_a_key(demo_bundles: Path, tmp_path: Path) -> None:
    keys = {"shop": Key(sha256=Key.hash(SECRET))}
    app = create_app(demo_bundles, Settings(store=f"sqlite:///{tmp_path}/s.db", keys=keys), watch_seconds=None)
    answer = app.test_client().get("/kit.js", headers={"Origin": "https://shop.example"})
    assert answer.data == FILE.read_bytes()
    assert answer.mimetype == "text/javascript"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    again = app.test_client().get("/kit.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    app.extensions[KEY].close()


def test_the_types_are_those_of_the_openapi_document(generator: ModuleType) -> None:
    made = generator.types(generator.openapi())
    assert (KIT / "src" / "types.ts").read_text("utf-8") == made, "run: python storefront-kit/openapi_types.py"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer"}, "number"),
        ({"enum": ["a", "b"], "type": "string"}, '"a" | "b"'),
        (
            {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "readonly (string | null)[]",
        ),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "Record<string, number>"),
        ({"$ref": "#/components/schemas/Answer"}, "Answer"),
        ({}, "unknown"),
    ],
)
def test_a_schema_becomes_a_type(generator: ModuleType, schema: dict[str, Any], expected: str) -> None:
    assert generator.type_of(schema) == expected


@pytest.mark.slow
def test_the_types_are_checked(tools: Path) -> None:
    done = subprocess.run(["npx", "tsc", "--noEmit"], cwd=tools, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (tools / "src" / "wrong.ts").write_text('import { connect } from "./index.js"; connect().track("bought", []);')
    done = subprocess.run(["npx", "tsc", "--noEmit"], cwd=tools, capture_output=True, text=True)
    assert "wrong.ts" in done.stdout


@pytest.mark.slow
def test_the_served_file_is_what_the_sources_build(tools: Path) -> None:
    subprocess.run(["node", "build.mjs", "out.js"], cwd=tools, check=True, capture_output=True)
    built = (tools / "out.js").read_bytes()
    assert built == FILE.read_bytes(), "run: npm run build, in storefront-kit"


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1440, "dark")])
def test_the_demo_page_is_accessible(
    demo_bundles: Path, tmp_path: Path, browser: Any, tools: Path, width: int, scheme: str
) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path}/store.db", storefront=True, placements=PLACEMENTS)
    app = create_app(demo_bundles, settings, watch_seconds=None)
    rec = recommender.load(demo_bundles)
    item_id = next(name for name in rec.ids if rec.thumbnail(name) is not None)
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "reduced_motion": "reduce"}
    with listening(app) as url, quiet_page(browser, f"{url}/shop/kit?item_id={item_id}", **options) as page:
        page.route("**/v1/thumbnails?**", lambda route: route.fulfill(body=rec.thumbnail(item_id)))
        page.wait_for_function(f"{ELEMENTS}.every((each) => each.shadowRoot.querySelector('a[href]'))")
        page.click("#accept")
        page.click("#add")
        page.get_by_text("add_to_cart").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        axe = (tools / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
        found = page.evaluate(f"() => {{ {axe}; return axe.run(); }}")
        grave = [rule for rule in found["violations"] if rule["impact"] in ("serious", "critical")]
        assert not [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in grave]
        assert len(found["passes"]) > 10
        region = page.get_by_role("region", name="Similar products")
        previous, following = (
            region.get_by_role("button", name=f"{name} products") for name in ("previous", "next")
        )
        assert previous.get_attribute("aria-disabled") == "true"
        following.focus()
        page.keyboard.press("Enter")  # without motion: at once
        page.wait_for_function(f"{ELEMENTS}[0].shadowRoot.querySelector('ul').scrollLeft > 50")
        awaited(lambda: previous.get_attribute("aria-disabled"), lambda value: value == "false")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.shadowRoot.activeElement.matches('li:first-child a')")
        page.unroute_all(behavior="wait")
    app.extensions[KEY].close()
