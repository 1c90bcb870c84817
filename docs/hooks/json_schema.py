"""Render JSON schemas as cells of Markdown tables."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

Json = dict[str, Any]
_LIMITS = {
    "minimum": "≥ {}",
    "maximum": "≤ {}",
    "exclusiveMinimum": "> {}",
    "exclusiveMaximum": "< {}",
    "minLength": "length ≥ {}",
    "maxLength": "length ≤ {}",
    "minItems": "entries ≥ {}",
    "maxItems": "entries ≤ {}",
}


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    for row in (heads, ["---"] * len(heads), *rows):
        yield "| " + " | ".join(row) + " |"


def kind(schema: Json) -> str:
    """Return the type of a schema, linked where it is one of the page's own."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(kind(each) for each in options if each.get("type") != "null"))
    if values := schema.get("enum"):
        return ", ".join(f"`{value}`" for value in values)
    if "const" in schema:
        return f"`{schema['const']}`"
    name = schema.get("type", "any")
    if name == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if name == "object" and isinstance(extra := schema.get("additionalProperties"), dict):
        return f"object of {kind(extra)}"
    return str(schema.get("format", name))


def remarks(schema: Json, required: bool) -> str:
    """Return description, limits, default and examples of a schema."""
    parts = ["required"] if required else []
    parts += [text.format(schema[limit]) for limit, text in _LIMITS.items() if limit in schema]
    if schema.get("default") not in (None, [], {}):
        parts.append(f"default `{json.dumps(schema['default'], ensure_ascii=False)}`")
    parts += [f"such as `{json.dumps(example, ensure_ascii=False)}`" for example in schema.get("examples", ())]
    limits = "; ".join(parts)
    sentences = (" ".join(schema.get("description", "").split()), limits and f"{limits[0].upper()}{limits[1:]}.")
    return " ".join(filter(None, sentences))
