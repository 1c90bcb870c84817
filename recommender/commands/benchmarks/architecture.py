"""How many files and calls one request passes, and how the modules depend on each other.

A call is a function, generator or comprehension of ours that starts, as `sys.setprofile` reports it; a generator
that resumes is not counted again. (From Python 3.12 on, comprehensions are inlined and do not count.) Frameworks
and numpy count nothing. Each request is made once beforehand, so that caches are warm, and counted twice over: as
a whole, and until the first function that reads vectors or the neighbour table (`KERNELS`) or a method of Annoy
is entered, which is what "before numpy" means here.

The file also runs by itself, to count an older commit: `PYTHONPATH=OLD python PATH/architecture.py BUNDLES`.
"""

import ast
import inspect
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGES = ("recommender", "training", "serving")
# The functions that read vectors, codes or the neighbour table; a leading underscore is ignored.
KERNELS = {"neighbours", "from_neighbours", "estimate", "estimated", "parts", "scores", "exact", "walk"}
FILTER, SHARE = "price < 100", 0.5  # of the second request: its filter, and the weight of its second block


@dataclass
class Calls:
    """What a piece of work has entered of our code."""

    files: set[str] = field(default_factory=set)
    calls: int = 0
    changes: int = 0  # from one file to another
    latest: str = ""

    def enter(self, file: str) -> None:
        """Count a call."""
        self.files.add(file)
        self.calls += 1
        self.changes += file != self.latest
        self.latest = file

    def to_dict(self) -> dict[str, int]:
        """Return the counts."""
        return {"files": len(self.files), "calls": self.calls, "changes of file": self.changes}


def count_calls(work: Callable[[], object], root: Path) -> dict[str, Any]:
    """Count the calls of `work` in the packages below `root`, as a whole and until the first kernel."""
    whole, before = Calls(), Calls()
    path: list[str] = []  # the functions entered before the kernel, in order
    kernel = ""
    generators: set[FrameType] = set()  # kept alive, so that no id is used twice
    folders = tuple(f"{root / package}/" for package in PACKAGES)

    def profile(frame: FrameType, event: str, callee: Any) -> None:
        nonlocal kernel
        code = frame.f_code
        if not code.co_filename.startswith(folders):
            return
        if event == "c_call" and not kernel and type(getattr(callee, "__self__", None)).__module__ == "annoy":
            kernel = f"annoy.{callee.__name__}"
        if event != "call" or frame in generators:
            return
        if code.co_flags & inspect.CO_GENERATOR:
            generators.add(frame)
        file = code.co_filename.removeprefix(f"{root}/")
        whole.enter(file)
        if not kernel and code.co_name.lstrip("_") in KERNELS:
            kernel = f"{file}: {code.co_qualname}"
        if not kernel:
            before.enter(file)
            path.append(f"{file}: {code.co_qualname}")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return {"whole": whole.to_dict(), "before numpy": before.to_dict(), "kernel": kernel, "path": path}


def count_requests(bundles: Path) -> dict[str, dict[str, Any]]:
    """Count `similar` by id, plain and with weights and a filter, through HTTP and through Python."""
    import tempfile
    from urllib.parse import quote, urlencode

    import recommender
    from serving.app import create_app
    from serving.settings import Settings

    root = Path(str(recommender.__file__)).parent.parent
    rec = recommender.load(bundles)
    weights = dict.fromkeys(list(rec.layout.names)[:2], SHARE)
    query = urlencode(
        {"weights": ",".join(f"{name}={weight}" for name, weight in weights.items()), "filter": FILTER}
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(store=f"sqlite:///{folder}/store.sqlite")
        client = create_app(bundles, settings, watch_seconds=None).test_client()

        def get(item_id: str, query: str = "") -> None:
            path = f"/v1/items/{quote(item_id, safe='')}/similar?{query}"
            answer = client.get(path)
            if answer.status_code != 200:
                raise RuntimeError(f"{path}: {answer.get_data(as_text=True)}")

        requests: dict[str, Callable[[str], object]] = {
            "HTTP, by id": get,
            "HTTP, weights and filter": lambda item_id: get(item_id, query),
            "Python, by id": rec.similar,
            "Python, weights and filter": lambda item_id: rec.similar(item_id, filter=FILTER, weights=weights),
        }
        counted, other = rec.ids[:2]
        for work in requests.values():
            work(other)  # warms up; the answer about `counted` is not remembered yet
        return {name: count_calls(partial(work, counted), root) for name, work in requests.items()}


def sources(root: Path) -> dict[str, ast.Module]:
    """Return the parsed modules of our packages by their dotted name; a package by the name of its folder."""
    return {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            file.read_text()
        )
        for package in PACKAGES
        for file in sorted((root / package).rglob("*.py"))
    }


def root_modules(root: Path) -> list[str]:
    """Return the modules at the root of `recommender/`, `__init__` included."""
    return sorted(file.stem for file in (root / "recommender").glob("*.py"))


def duplicate_classes(modules: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Return the public class names that more than one module defines, with the modules."""
    owners = defaultdict(list)
    for name, tree in modules.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                owners[node.name].append(name)
    return {name: names for name, names in sorted(owners.items()) if len(names) > 1}


def imports(modules: Mapping[str, ast.Module], lazy: bool = False) -> dict[str, set[str]]:
    """Return what each module imports when it is loaded; with `lazy` what it imports anywhere."""
    return {
        name: _imported(ast.walk(tree) if lazy else _loaded(tree), modules) - {name}
        for name, tree in modules.items()
    }


def by_package(edges: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return the imports between packages such as `recommender.core`; a file beside them counts as one."""
    packages: dict[str, set[str]] = defaultdict(set)
    for name, imported in edges.items():
        packages[_package(name)] |= {_package(other) for other in imported} - {_package(name)}
    return packages


def _package(name: str) -> str:
    return ".".join(name.split(".")[:2])


def cycles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the groups whose members import each other, directly or through others."""
    reach = {name: _reachable(name, edges) for name in edges}
    groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in edges}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reachable(start: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            waiting.extend(edges[name])
    return seen


def _imported(nodes: Iterable[ast.AST], modules: Mapping[str, object]) -> set[str]:
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in modules else str(node.module))
    return names & set(modules)


def _loaded(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when a module is loaded: not the bodies of functions, nor what is for type checkers."""
    for child in ast.iter_child_nodes(node):
        checker = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not checker and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _loaded(child)


def measure(bundles: Path) -> dict[str, Any]:
    """Return the calls of each request, and the counts of modules, class names and import cycles."""
    import recommender

    root = Path(str(recommender.__file__)).parent.parent
    modules = sources(root)
    return {
        "requests": count_requests(bundles),
        "modules at the root": root_modules(root),
        "class names defined twice": duplicate_classes(modules),
        "import cycles when loaded": cycles(imports(modules)),
        "import cycles, lazy and type-only imports included": cycles(imports(modules, lazy=True)),
        "import cycles between packages": cycles(by_package(imports(modules))),
    }


def show(figures: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    lines = [f"{'':28}{'the whole request':>30}{'before numpy':>30}"]
    lines.append(" " * 28 + "".join(f"{name:>10}" for name in ("files", "calls", "changes") * 2))
    for name, counted in figures["requests"].items():
        numbers = [*counted["whole"].values(), *counted["before numpy"].values()]
        lines.append(f"{name:28}" + "".join(f"{number:>10}" for number in numbers) + f"  {counted['kernel']}")
    lines.append("")
    for name, entries in figures.items():
        if name != "requests":
            lines.append(f"{len(entries)} {name}: {', '.join(map(_text, entries))}".rstrip(": "))
    return "\n".join(lines)


def _text(entry: str | list[str]) -> str:
    return entry if isinstance(entry, str) else f"({' ↔ '.join(entry)})"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1])), indent=2) + "\n")
