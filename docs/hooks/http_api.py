"""Render the service's OpenAPI document as Markdown: a heading for each call, a table for each schema."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping

from json_schema import Json, kind, remarks, table


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
    spec = with_short_names(spec)
    calls = defaultdict(list)
    for path, methods in sorted(spec["paths"].items()):
        for method, operation in methods.items():
            calls[operation["tags"][0]].append(_call(method.upper(), path, operation))
    tags = [tag["name"] for tag in spec["tags"] if calls[tag["name"]]]
    groups = [f"## {tag}\n\n" + "\n".join(calls[tag]) for tag in tags]
    schemas = [_schema(name, schema) for name, schema in sorted(spec["components"]["schemas"].items())]
    return "\n\n".join([*groups, "## Schemas", *schemas]) + "\n"


def with_short_names(spec: Json) -> Json:
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
        lines += ["", *table(("parameter", "in", "type", ""), [*map(_parameter, operation["parameters"])])]
    if body := operation.get("requestBody"):
        lines += ["", f"Request body: {_contents(body)}"]
    answers = sorted(operation["responses"].items())
    rows = [(code, _text(each["description"]), _contents(each)) for code, each in answers if code < "400"]
    lines += ["", *table(("status", "", "body"), rows)]
    if errors := [code for code, _ in answers if code >= "400"]:
        lines += ["", f"Errors: {', '.join(errors)}, each with a [Problem](#problem)."]
    return "\n".join(lines) + "\n"


def _parameter(parameter: Json) -> tuple[str, ...]:
    schema = parameter["schema"]
    return (
        f"`{parameter['name']}`",
        parameter["in"],
        kind(schema),
        remarks(schema, parameter.get("required", False)),
    )


def _schema(name: str, schema: Json) -> str:
    lines = [f"### {name}", "", _text(schema.get("description", ""))]
    required = schema.get("required", ())
    rows = [
        (f"`{member}`", kind(each), remarks(each, member in required))
        for member, each in schema.get("properties", {}).items()
    ]
    if rows:
        lines += ["", *table(("member", "type", ""), rows)]
    if "example" in schema:
        lines += ["", "```json", json.dumps(schema["example"], indent=2, ensure_ascii=False), "```"]
    return "\n".join(lines) + "\n"


def _contents(part: Json) -> str:
    contents = part.get("content", {}).items()
    kinds = (kind(each["schema"]) if each.get("schema") else f"`{media_type}`" for media_type, each in contents)
    return " or ".join(dict.fromkeys(kinds))


def _text(text: str) -> str:
    return " ".join(text.split())
