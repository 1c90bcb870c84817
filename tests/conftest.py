"""A small shop and its bundle, made once for all tests that need a real one."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from recommender.demo.shop import Shop, make_shop

if os.environ.get("TEST_NUMBA") == "off":
    sys.modules["numba"] = None  # type: ignore[assignment]  # as where it is not installed
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests share the cores already
# How long an example takes depends on the machine, on what else it does, and on numba compiling in the first one.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")


@pytest.fixture(scope="session")
def demo_shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """80 products, 100 shoppers, 2,000 events: see `recommender.demo` for what is planted."""
    return make_shop(tmp_path_factory.mktemp("demo-shop"), n=80, users=100, events=2000)


@pytest.fixture(scope="session")
def demo_bundles(demo_shop: Shop) -> Path:
    """One published generation, fitted as `recommender fit` does; read only."""
    from recommender.config import Config
    from training.fit import fit

    bundles = demo_shop.config.parent / "bundles"
    fit(Config.load(demo_shop.config), bundles, cache_dir=bundles.parent / "cache")
    return bundles


@pytest.fixture
def bundles(demo_bundles: Path, tmp_path: Path) -> Path:
    """A copy of `demo_bundles` to change."""
    return shutil.copytree(demo_bundles, tmp_path / "bundles")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """An empty store."""
    from recommender.stores import open_store

    with open_store(f"sqlite:///{tmp_path}/shop.sqlite") as store:
        yield store


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; a module's own, since it runs an event loop that notebooks would meet."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
