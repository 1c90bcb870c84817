"""Render the service's OpenAPI document as Markdown: a heading for each call, a table for each schema."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]


def document() -> Json:
    """Return the OpenAPI document that `/openapi.json` serves; no bundle is needed for it."""
    import recommender
    from serving import openapi
    from serving.app import ROUTES, Api

    app = Api("serving", title="Recommender", version=recommender.__version__, docs_path=None)
    openapi.describe(app)
    for module in ROUTES:
        app.register_blueprint(module.bp)
    spec: Json = app.spec
    return spec


def page(spec: Json) -> str:
    """Return the calls, grouped by tag, and the schemas that they name."""
    spec = _with_short_names(spec)
    calls = defaultdict(list)
    for path, methods in sorted(spec["paths"].items()):
        for method, operation in methods.items():
            calls[operation["tags"][0]].append(_call(method.upper(), path, operation))
    tags = [tag["name"] for tag in spec["tags"] if calls[tag["name"]]]
    groups = [f"## {tag}\n\n" + "\n".join(calls[tag]) for tag in tags]
    schemas = [_schema(name, schema) for name, schema in sorted(spec["components"]["schemas"].items())]
    return "\n\n".join([*groups, "## Schemas", *schemas]) + "\n"


def _with_short_names(spec: Json) -> Json:
    """Name each schema by what follows its last dot, where all schemas of that name are equal."""
    schemas = spec["components"]["schemas"]
    short = {name: name.rpartition(".")[2] for name in schemas}
    bodies = defaultdict(set)
    for name, schema in schemas.items():
        bodies[short[name]].add(_with_references(json.dumps(schema, sort_keys=True), short))
    names = {name: last if len(bodies[last]) == 1 else name.replace(".", "") for name, last in short.items()}
    renamed: Json = json.loads(_with_references(json.dumps(spec), names))
    components = renamed["components"]
    components["schemas"] = {names[name]: schema for name, schema in components["schemas"].items()}
    return renamed


def _with_references(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"(#/components/schemas/)([\w.]+)", lambda found: found[1] + names[found[2]], text)


def _call(method: str, path: str, operation: Json) -> str:
    lines = [f"### {method} `{path}`", "", operation["summary"]]
    if "description" in operation:
        lines += ["", operation["description"]]
    if operation["parameters"]:
        lines += ["", *_table(("parameter", "in", "type", ""), [*map(_parameter, operation["parameters"])])]
    if body := operation.get("requestBody"):
        lines += ["", f"Request body: {_contents(body)}"]
    answers = sorted(operation["responses"].items())
    rows = [(code, _text(each["description"]), _contents(each)) for code, each in answers if code < "400"]
    lines += ["", *_table(("status", "", "body"), rows)]
    if errors := [code for code, _ in answers if code >= "400"]:
        lines += ["", f"Errors: {', '.join(errors)}, each with a [Problem](#problem)."]
    return "\n".join(lines) + "\n"


def _parameter(parameter: Json) -> tuple[str, ...]:
    schema = parameter["schema"]
    return f"`{parameter['name']}`", parameter["in"], _kind(schema), _remarks(schema, parameter.get("required"))


def _schema(name: str, schema: Json) -> str:
    lines = [f"### {name}", "", _text(schema.get("description", ""))]
    required = schema.get("required", ())
    rows = [
        (f"`{member}`", _kind(each), _remarks(each, member in required))
        for member, each in schema.get("properties", {}).items()
    ]
    if rows:
        lines += ["", *_table(("member", "type", ""), rows)]
    if "example" in schema:
        lines += ["", "```json", json.dumps(schema["example"], indent=2, ensure_ascii=False), "```"]
    return "\n".join(lines) + "\n"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    for row in (heads, ("---",) * len(heads), *rows):
        yield "| " + " | ".join(row) + " |"


def _contents(part: Json) -> str:
    kinds = [
        _kind(content["schema"]) if content.get("schema") else f"`{kind}`"
        for kind, content in part.get("content", {}).items()
    ]
    return " or ".join(dict.fromkeys(kinds))


def _kind(schema: Json) -> str:
    """Return the type of a schema, linked where it is one of the page's own."""
    if ref := schema.get("$ref"):
        name = ref.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(each) for each in options))
    if values := schema.get("enum"):
        return ", ".join(f"`{value}`" for value in values)
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if kind == "object" and isinstance(extra := schema.get("additionalProperties"), dict):
        return f"object of {_kind(extra)}"
    return str(schema.get("format", kind))


_LIMITS = {
    "minimum": "≥ {}",
    "maximum": "≤ {}",
    "exclusiveMinimum": "> {}",
    "minLength": "length ≥ {}",
    "maxLength": "length ≤ {}",
    "minItems": "entries ≥ {}",
    "maxItems": "entries ≤ {}",
}


def _remarks(schema: Json, required: bool | None) -> str:
    parts = ["required"] if required else []
    parts += [text.format(schema[limit]) for limit, text in _LIMITS.items() if limit in schema]
    if schema.get("default") not in (None, [], {}):
        parts.append(f"default `{json.dumps(schema['default'])}`")
    parts += [f"such as `{json.dumps(example, ensure_ascii=False)}`" for example in schema.get("examples", ())]
    described = _text(schema.get("description", ""))
    return f"{described} {'; '.join(parts)}".strip()


def _text(text: str) -> str:
    return " ".join(text.split())
