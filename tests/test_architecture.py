"""The arrows of the house: which room may import which, read from the source itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("recommender", "training", "serving")
ARROWS = {"recommender": set(), "training": {"recommender"}, "serving": {"recommender"}}
# What a worker of the service must not pay for, and the parts of the library that it therefore never loads.
HEAVY = {"torch", "torchvision", "open_clip", "timm", "transformers", "pandas", "sklearn", "scipy", "pyarrow"}
OFFLINE = {
    "recommender." + name
    for name in ("batch", "catalog", "commands.benchmarks", "demo", "encoders", "evaluation", "pages", "testing")
}

SOURCES = [path.relative_to(ROOT).as_posix() for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
# For `recommender mcp` alone.
AGENTS = {"serving.agents", "serving.tool_calls", "serving.schemas.tools"}
# The composition roots import the other rooms, lazily, inside their functions.
ROOTS = ("recommender/cli.py", "recommender/fitting.py", "recommender/commands/")
COMPOSES = [path for path in SOURCES if path.startswith(ROOTS)]


def imports(source: str, top_level_only: bool = False) -> set[str]:
    """Dotted names of the modules that a source imports; what only a type checker imports does not count."""
    return set(_imports(ast.parse(source), top_level_only))


def _imports(node: ast.AST, top_level_only: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not (_for_type_checkers(child) or (top_level_only and isinstance(child, ast.FunctionDef))):
            yield from _imports(child, top_level_only)


def _for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def within(name: str, parts: set[str]) -> bool:
    return any(f"{name}.".startswith(f"{part}.") for part in parts)


def is_offline(path: str) -> bool:
    return path.startswith("training/") or within(path.removesuffix(".py").replace("/", "."), OFFLINE)


@pytest.mark.parametrize("path", SOURCES)
def test_packages_import_only_along_the_arrows(path: str) -> None:
    room = path.split("/")[0]
    others = tops(imports((ROOT / path).read_text())) & set(ROOMS) - {room}
    allowed = {"training", "serving"} if path in COMPOSES else ARROWS[room]
    assert others <= allowed, f"{path} imports {sorted(others - allowed)}"


def test_the_command_line_composes_lazily() -> None:
    sources = [(ROOT / path).read_text() for path in COMPOSES]
    assert {"training", "serving"} <= set.union(*(tops(imports(source)) for source in sources))
    for source in sources:
        assert not {"training", "serving"} & tops(imports(source, top_level_only=True))


@pytest.mark.parametrize("path", [path for path in SOURCES if not is_offline(path)])
def test_the_service_imports_nothing_heavy(path: str) -> None:
    names = imports((ROOT / path).read_text(), top_level_only=True)
    heavy = {name for name in names if within(name, HEAVY | OFFLINE)}
    assert not heavy, f"{path} imports {sorted(heavy)} at its top"


@pytest.mark.parametrize("path", [path for path in SOURCES if path.startswith("serving/")])
def test_the_service_imports_nothing_of_the_tools_for_assistants(path: str) -> None:
    names = imports((ROOT / path).read_text())
    if path.removesuffix(".py").replace("/", ".") not in AGENTS:
        assert not {name for name in names if within(name, AGENTS | {"mcp", "mcp_types"})}


@pytest.mark.parametrize("path", [path for path in SOURCES if path not in COMPOSES])
def test_nothing_but_the_command_line_prints(path: str) -> None:
    called = {
        ast.unparse(n.func) for n in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(n, ast.Call)
    }
    assert not called & {"print", "sys.stdout.write", "typer.echo"}, f"{path}: use recommender.progress"


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = f"import sys, recommender, recommender.cli; print({HEAVY | {'numpy', 'flask'}!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_the_import_walk_finds_every_import() -> None:
    source = """
import a.b
if TYPE_CHECKING:
    import c
try:
    from d import e
except ImportError:
    pass
class F:
    def g(self):
        import h
"""
    assert imports(source) == {"a.b", "d.e", "h"}
    assert imports(source, top_level_only=True) == {"a.b", "d.e"}
    assert within("pandas.api", HEAVY)
    assert not within("pandas_like", HEAVY)
