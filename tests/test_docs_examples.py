"""Examples in the documentation: commands and options exist, TOML and Python parse, and the README runs."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from recommender.cli import app
from recommender.config import Config
from recommender.demo.shop import Shop
from serving.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each `recommender` command of a page."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("recommender "):
                yield shlex.split(line, comments=True)[1:]


def named(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=named(PAGES))
def test_commands_and_options_exist(page: Path) -> None:
    for arguments in commands(page):
        command = typer.main.get_command(app)
        words = iter(arguments)
        while isinstance(command, click.Group) or hasattr(command, "commands"):
            word = next(words, "--help")
            if word == "--help":
                break
            assert word in command.commands, arguments
            command = command.commands[word]
        options = {name for parameter in command.params for name in parameter.opts}
        given = {word.partition("=")[0] for word in words if re.match(r"-{1,2}[a-zA-Z]", word)}
        assert given - {"--help", "COMMAND"} <= options, (arguments, given - options)


@pytest.mark.parametrize("page", PAGES, ids=named(PAGES))
def test_python_and_toml_are_well_formed(page: Path) -> None:
    for source in blocks(page, "python"):
        ast.parse(source)
    for text in blocks(page, "toml"):
        tables = tomllib.loads(text)
        if {"placements", "port", "keys", "attribution"} & set(tables):
            Settings(**tables)
        else:
            Config.model_validate({"catalog": {"path": "products.csv"}, **tables})


@pytest.fixture(scope="module")
def shop(demo_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README names; its first command writes shop.toml."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("products.csv", "events.csv", "photos.zip"):
        shutil.copy(demo_shop.config.parent / name, folder / name)
    shutil.copy(folder / "events.csv", folder / "purchases.csv")
    columns, *_, last = (folder / "events.csv").read_text("utf-8").splitlines()
    (folder / "today.csv").write_text(f"{columns}\n{last}\n", "utf-8")
    head, first, *_ = (folder / "products.csv").read_text("utf-8").splitlines()
    (folder / "changed.csv").write_text(f"{head}\nnew-{first}\n", "utf-8")
    return folder


def run(command: list[str], shop: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RECOMMENDER_CACHE": str(shop / "cache")}
    done = subprocess.run(command, cwd=shop, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])


def with_ids(text: str, shop: Shop) -> str:
    """Put products and a user of the demo shop in the place of those that the README names."""
    ids = {f"SKU-{number}": product.id for number, product in enumerate(shop.products[:3], start=1)}
    known = ids | {"U17": next(iter(shop.tastes))}
    return re.sub("|".join(known), lambda name: known[name[0]], text)


@pytest.mark.slow
def test_the_python_of_the_readme_runs(shop: Path, demo_shop: Shop) -> None:
    (source,) = blocks(ROOT / "README.md", "python")
    run([sys.executable, "-c", with_ids(source, demo_shop)], shop)


@pytest.mark.slow
def test_the_commands_of_the_readme_run(shop: Path, demo_shop: Shop) -> None:
    for arguments in commands(ROOT / "README.md"):
        if arguments[0] != "serve":
            run(
                [sys.executable, "-m", "recommender.cli", *(with_ids(word, demo_shop) for word in arguments)], shop
            )
