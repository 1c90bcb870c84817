"""The documentation site builds without a warning, has every public name, and loads nothing from other hosts."""

import inspect
import os
import re
import subprocess
import sys
import zlib
from importlib import import_module
from pathlib import Path

import pytest

import recommender
from recommender.config import Config, ConfigSection
from serving.settings import Settings

ROOT = Path(__file__).parent.parent
# Modules whose every public class and function is in the reference.
DOCUMENTED = (
    *("recommender", "recommender.batch", "recommender.bundle", "recommender.catalog", "recommender.client"),
    *("recommender.encoders", "recommender.errors", "recommender.evaluation", "recommender.evaluation.frames"),
    *("recommender.pages", "recommender.stores"),
)


def public_names(module_name: str) -> set[str]:
    """Return the full names, by definition, of a module's public classes and functions."""
    module = import_module(module_name)
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    values = [getattr(module, name) for name in names]
    ours = [
        value
        for value in values
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("recommender")
    ]
    return {f"{value.__module__}.{value.__qualname__}" for value in ours}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", (ROOT / name).read_text("utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site: Path) -> None:
    inventory = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    documented = {line.split()[0] for line in inventory.splitlines()}
    assert {f"recommender.{name}" for name in recommender.__all__ if name != "__version__"} <= documented
    assert set().union(*map(public_names, DOCUMENTED)) - documented == set()


@pytest.mark.slow
def test_pages_made_from_the_code_have_all_of_it(site: Path) -> None:
    from recommender.cli import app

    keys = (site / "reference/configuration/index.html").read_text("utf-8")
    tables = [table for table in ConfigSection.__subclasses__() if table is not Config]
    names = {name for table in tables for name in table.model_fields}
    assert [name for name in names if f"<code>{name}</code>" not in keys and f".{name}]" not in keys] == []
    settings = (site / "reference/settings/index.html").read_text("utf-8")
    assert all(f"RECOMMENDER_{name.upper()}" in settings for name in Settings.model_fields)
    commands = (site / "reference/command-line/index.html").read_text("utf-8")
    assert all(f'id="recommender-{command.name}"' in commands for command in app.registered_commands)
    assert "/v1/items/{item_id}/similar" in (site / "reference/http-api/index.html").read_text("utf-8")


@pytest.mark.slow
def test_pages_ask_no_other_host(site: Path) -> None:
    pages = [page.read_text("utf-8") for page in site.rglob("*.html")]
    assert len(pages) > 20
    external = re.compile(r"""<(?:script|img|iframe)[^>]+src="?https?:|<link[^>]+href="?https?:|url\("?https?:""")
    assert not [match[0] for page in pages for match in external.finditer(page)]
