"""Render the keys of the shop's TOML and the settings of the service as Markdown tables."""

import re
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any, get_args

from json_schema import kind, remarks, table
from pydantic import BaseModel


def shop_page() -> str:
    """Return a section for each table of the shop's TOML, with its keys; tables of the same keys share one."""
    from recommender.config import Config

    sections: dict[tuple[str, ...], list[tuple[str, type[BaseModel]]]] = {}
    for name, model in _tables(Config):
        sections.setdefault(tuple(_properties(model)), []).append((name, model))
    return "\n".join(line for tables in sections.values() for line in _section(tables)) + "\n"


def service_page() -> str:
    """Return a line for each setting of the service: its name, variable, default and meaning."""
    from serving.settings import Settings

    rows = [
        (f"`{name}`", f"`RECOMMENDER_{name.upper()}`", _default(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(table(("setting", "environment variable", "default", ""), rows)) + "\n"


def _tables(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the tables under a model with their dotted names."""
    for name, field in model.model_fields.items():
        for each in (field.annotation, *get_args(field.annotation)):
            if isinstance(each, type) and issubclass(each, BaseModel):
                yield f"{prefix}{name}", each
                yield from _tables(each, f"{prefix}{name}.")


def _properties(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schemas of a table's keys, without those that are tables of their own."""
    properties = model.model_json_schema(by_alias=False)["properties"]
    return {key: schema for key, schema in properties.items() if "$ref" not in str(schema)}


def _section(tables: list[tuple[str, type[BaseModel]]]) -> Iterator[str]:
    name, model = tables[0]
    names = ", ".join(f"\\[{each}\\]" for each, _ in tables)
    yield from (f"## {names} {{ #{name.replace('.', '-')} }}", "", _text(model), "")
    required = model.model_json_schema(by_alias=False).get("required", ())
    described = _descriptions(model)
    rows = [
        (f"`{key}`", kind(schema), remarks({"description": described.get(key, ""), **schema}, key in required))
        for key, schema in _properties(model).items()
    ]
    yield from table(("key", "type", ""), rows)
    yield ""


def _text(model: type[BaseModel]) -> str:
    return cleandoc(model.__doc__ or "").partition("Attributes\n---")[0].replace("``", "`").strip()


def _descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return what the numpydoc docstrings of a model and its bases say of each key."""
    described: dict[str, str] = {}
    for base in reversed(model.__mro__):
        attributes = cleandoc(base.__doc__ or "").partition("Attributes\n----------\n")[2].replace("``", "`")
        for keys, text in re.findall(r"^(\w[\w, ]*)\n((?: {4}.*\n?|\n)+)", attributes, re.MULTILINE):
            described |= dict.fromkeys(re.split(r", *", keys), " ".join(text.split()))
    return described


def _default(value: Any) -> str:
    return "" if value in (None, (), {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"
