"""Export and import placements and collections between a store and a TOML file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.commands import options
from recommender.commands.shared import emit

if TYPE_CHECKING:
    from collections.abc import Mapping

Store = Annotated[str, typer.Option("--store", help="URL of the service's store.")]


def export(
    store: Store,
    out: Annotated[Path | None, typer.Option("--out", help="TOML file. [default: print it]")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write what was edited while serving as TOML.

    The service's own TOML may take it in: placements of the store go over those there by name.
    """
    from recommender.stores import open_store

    found: dict[str, dict[str, Any]] = {}
    with open_store(store) as opened:
        for each in opened.definitions.read():
            if each.value is not None:
                found.setdefault(f"{each.kind}s", {})[each.name] = each.value
    text = "\n".join(
        _table(kind, name, found[kind][name]) for kind in sorted(found) for name in sorted(found[kind])
    )
    if out is None:
        emit(found, text.rstrip("\n"), as_json)
        return
    out.write_text(text, "utf-8")
    count = sum(map(len, found.values()))
    emit({"exported": count, "file": str(out)}, f"{count} placements and collections written: {out}", as_json)


def import_file(
    file: Annotated[Path, typer.Argument(help="TOML with placements and collections, such as the service's.")],
    store: Store,
    author: Annotated[str, typer.Option("--author", help="Who made the changes, in the history.")] = "import",
    as_json: options.AsJson = False,
) -> None:
    """Store placements and collections of a TOML file.

    Each is a revision that can be undone. Those that the store has already in this form stay; nothing is removed.
    """
    import tomllib

    from recommender.errors import ConfigError
    from recommender.stores import open_store

    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is not TOML in UTF-8: {error}") from error
    values = _checked(tables, file)
    counts = {"changed": 0, "unchanged": 0}
    with open_store(store) as opened:
        known = {(each.kind, each.name): each.value for each in opened.definitions.read()}
        for (kind, name), value in values.items():
            if known.get((kind, name)) == value:
                counts["unchanged"] += 1
            else:
                opened.definitions.put(kind, name, value, author=author)
                counts["changed"] += 1
    emit(counts, f"{counts['changed']} changed, {counts['unchanged']} as they were", as_json)


def _checked(tables: "Mapping[str, Any]", file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the values of a file, the collections first; raises `ConfigError` for the first that is wrong."""
    from recommender.errors import ConfigError
    from serving.settings import DefinitionTables

    if not any(tables.get(kind) for kind in DefinitionTables.model_fields):
        raise ConfigError(f"{file} has neither [placements.NAME] nor [collections.NAME]")
    found = DefinitionTables.of(tables, file)
    values = {("collection", name): model.value() for name, model in found.collections.items()}
    return values | {("placement", name): model.value() for name, model in found.placements.items()}


def _table(kind: str, name: str, value: "Mapping[str, Any]") -> str:
    lines = [f"[{kind}.{name}]"]
    for member, each in value.items():
        if member == "rules":
            lines += ["rules = [", *(f"  {toml(rule)}," for rule in each), "]"]
        else:
            lines.append(f"{member} = {toml(each)}")
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    """Return a JSON value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
