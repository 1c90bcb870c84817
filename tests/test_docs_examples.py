"""Examples in the documentation: commands and options exist, TOML and Python are well formed."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from recommender.cli import app
from recommender.config import Config
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
        if {"placements", "port", "keys"} & set(tables):
            Settings(**tables)
        else:
            Config.model_validate({"catalog": {"path": "products.csv"}, **tables})
