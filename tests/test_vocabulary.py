"""Identifiers are in the field's words: no private word of the first versions comes back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [
    path.relative_to(ROOT).as_posix()
    for package in ("recommender", "training", "serving")
    for path in sorted((ROOT / package).rglob("*.py"))
]

INSTEAD = {
    "said": "value or text",
    "told": "body, record or what the value is",
    "asked": "request, query or requested",
    "struck": "masked or excluded",
    "kept": "retained, mask or result",
    "gone": "removed",
    "grown": "delta or overlay",
    "liken": "compute_similarity",
    "likeness": "similarity",
    "alike": "similar or equal",
    "lately": "recent",
    "foretell": "predict",
    "foretold": "predicted",
    "foresight": "validation_score",
    "looks": "validation_checks",
    "contender": "ranker",
    "contenders": "rankers",
    "rival": "baseline",
    "rivals": "baselines",
    "exam": "task",
    "exams": "tasks",
    "shrinks": "Quantizable",
}
PREFIXES = {"LEAST": "MIN_", "MOST": "MAX_"}  # of constants
MODULES = {"clip": "alignment"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and name of every function, class, argument, attribute and variable."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.keyword(arg=str(name)) | ast.Attribute(attr=name) | ast.Name(id=name):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


def replacement(name: str) -> str | None:
    """Return what to write instead of a private word in an identifier; None if it has none."""
    if name.isupper() and (prefix := name.lstrip("_").partition("_")[0]) in PREFIXES:
        return PREFIXES[prefix]
    return next((INSTEAD[word] for word in map(str.lower, _WORD.findall(name)) if word in INSTEAD), None)


@pytest.mark.parametrize("path", SOURCES)
def test_identifiers_have_no_private_words(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    wrong = sorted({(line, name) for line, name in identifiers(tree) if replacement(name)})
    assert not wrong, "\n".join(f"{path}:{line}: {name}; say {replacement(name)}" for line, name in wrong)
    stem = Path(path).stem
    assert stem not in MODULES, f"{path}: a module {stem}; name it {MODULES[stem]}"


def test_private_words_are_found() -> None:
    tree = ast.parse(
        "class AskedTwice:\n    LEAST_SHARE = 1\n\n\ndef f(said, *, x=None):\n    return g(told=said.gone)\n"
    )
    found = [(line, name) for line, name in identifiers(tree) if replacement(name)]
    assert sorted(found) == [
        (1, "AskedTwice"),
        (2, "LEAST_SHARE"),
        (5, "said"),
        (6, "gone"),
        (6, "said"),
        (6, "told"),
    ]
    assert replacement("most_common") is replacement("ALMOST") is replacement("task") is None
