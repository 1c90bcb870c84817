"""The counts of calls, class names and import cycles, and how many the project may have."""

import ast
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recommender.cli import app
from recommender.commands.benchmarks.architecture import (
    count_calls,
    cycles,
    duplicate_classes,
    imports,
    root_modules,
    sources,
)

ROOT = Path(__file__).parent.parent
MAX_ROOT_MODULES = 12


def parsed(**modules: str) -> dict[str, ast.Module]:
    return {name: ast.parse(source) for name, source in modules.items()}


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    return sources(ROOT)


def test_the_root_of_the_library_is_small() -> None:
    assert len(root_modules(ROOT)) <= MAX_ROOT_MODULES


def test_no_public_class_name_is_defined_twice(modules: dict[str, ast.Module]) -> None:
    assert duplicate_classes(modules) == {}


def test_no_module_imports_itself_through_others(modules: dict[str, ast.Module]) -> None:
    assert cycles(imports(modules)) == []


def test_cycles_are_found_when_loaded_and_when_lazy() -> None:
    made = parsed(
        a="import b", b="def f():\n    import c", c="from a import x", d="if TYPE_CHECKING:\n    import d"
    )
    assert cycles(imports(made)) == []
    assert cycles(imports(made, lazy=True)) == [["a", "b", "c"]]


def test_public_class_names_defined_twice_are_found() -> None:
    made = parsed(a="class A: ...\nclass _B: ...", b="class A: ...\nclass _B: ...\nclass C: ...")
    assert duplicate_classes(made) == {"A": ["a", "b"]}


def test_calls_files_and_changes_of_file_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "recommender"
    folder.mkdir()
    codes = {
        "door.py": "def door():\n    list(numbers())\n    return estimate()",
        "inner.py": "def numbers():\n    yield 1\n    yield 2\ndef estimate():\n    after()\ndef after(): ...",
    }
    scope: dict = {}
    for name, code in codes.items():
        exec(compile(code, str(folder / name), "exec"), scope)
    counted = count_calls(scope["door"], tmp_path)
    assert counted["before numpy"] == {"files": 2, "calls": 2, "changes of file": 2}
    assert counted["whole"] == {"files": 2, "calls": 4, "changes of file": 2}
    assert counted["kernel"] == "recommender/inner.py: estimate"


def test_the_command_counts_requests(demo_bundles: Path) -> None:
    ran = CliRunner().invoke(app, ["benchmark", "architecture", str(demo_bundles), "--json"])
    assert ran.exit_code == 0, ran.output
    for counted in json.loads(ran.stdout)["requests"].values():
        assert counted["kernel"], "no function of KERNELS was entered"
        assert 0 < counted["before numpy"]["calls"] < counted["whole"]["calls"]
