"""docs/guides/batch.md: its commands have options that there are, and its schedules can be read."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer

from recommender.cli import app

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "batch.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for language, text in BLOCKS if language == kind]


def commands() -> list[list[str]]:
    """Return the calls of the command line in shell, cron and Airflow."""
    lines = "\n".join([*blocks("sh"), *blocks("cron")]).replace("\\\n", " ").splitlines()
    found = [line[line.index("recommender ") :] for line in lines if re.search(r"(^|\s)recommender \w", line)]
    for text in blocks("python"):
        strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
        found += [each for each in strings if isinstance(each, str) and each.startswith("recommender ")]
    return [shlex.split(line.replace("{{ ds }}", "2026-11-24"), comments=True) for line in found]


def test_there_are_examples_of_both_schedules() -> None:
    assert any(line.startswith("recommender update") for line in map(" ".join, commands()))
    (cron,) = (line for text in blocks("cron") for line in text.splitlines() if not line.startswith("#"))
    minute, hour, *days = cron.split()[:5]
    assert int(minute) < 60
    assert int(hour) < 24
    assert days == ["*"] * 3
    dag = next(text for text in blocks("python") if "airflow" in text)
    compile(dag, "dag.py", "exec")


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_each_command_is_one_of_ours(command: list[str]) -> None:
    group = typer.main.get_command(app)
    assert group.commands[command[1]].make_context(command[1], command[2:]) is not None
