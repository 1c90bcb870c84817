"""Write the TypeScript types of the calls that the kit makes, from the service's OpenAPI document.

Run it after a change of the service's requests or answers: ``python storefront-kit/openapi_types.py``.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
KIT = Path(__file__).parent
CALLS = (
    "/v1/recommendations",
    "/v1/placements/{name}/recommendations",
    "/v1/pages/recommendations",
    "/v1/search",
    "/v1/autocomplete",
    "/v1/events:batch",
)
_HEAD = "// Made by openapi_types.py from the service's OpenAPI document; do not change by hand.\n"
_IGNORED = "Of Google Analytics 4; ignored."
_REFERENCE = "#/components/schemas/"


def openapi() -> Json:
    """Return the OpenAPI document of the service, with short names of schemas; no bundle is needed for it."""
    hooks = str(KIT.parent / "docs" / "hooks")
    sys.path.insert(0, hooks)
    try:
        import http_api
    finally:
        sys.path.remove(hooks)
    return http_api.with_short_names(http_api.document())


def types(spec: Json) -> str:
    """Return TypeScript with an interface for each schema that the calls of the kit use."""
    schemas = spec["components"]["schemas"]
    interfaces = [_interface(name, schemas[name]) for name in sorted(_used(spec, schemas))]
    names = json.dumps(schemas["EventMessage"]["properties"]["event_name"]["enum"], indent=2)
    constant = (
        f"export const EVENT_NAMES = {names} as const;\n\nexport type EventName = (typeof EVENT_NAMES)[number];\n"
    )
    return "\n".join([_HEAD, constant, *interfaces])


def _used(spec: Json, schemas: Json) -> set[str]:
    """Return the schemas that the calls name, and those that these name."""
    used: set[str] = set()
    found = set(_references([spec["paths"][path] for path in CALLS])) | {"EventMessage", "Problem"}
    while found - used:
        used |= found
        found = set(_references([schemas[name] for name in used]))
    return used


def _references(value: Any) -> Iterator[str]:
    return (name for name in re.findall(rf'"{_REFERENCE}(\w+)"', json.dumps(value)))


def _interface(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    members = [
        f"{_comment(each, '  ')}  {member}{'' if member in required else '?'}: {_type(name, member, each)};\n"
        for member, each in schema["properties"].items()
        if each.get("description") != _IGNORED
    ]
    return f"{_comment(schema)}export interface {name} {{\n{''.join(members)}}}\n"


def _comment(schema: Json, indent: str = "") -> str:
    text = " ".join(schema.get("description", "").split())
    return f"{indent}/** {text} */\n" if text else ""


def _type(owner: str, member: str, schema: Json) -> str:
    return "EventName" if (owner, member) == ("EventMessage", "event_name") else type_of(schema)


def type_of(schema: Json) -> str:
    """Return a JSON schema as a TypeScript type."""
    match schema:
        case {"$ref": str(target)}:
            return target.removeprefix(_REFERENCE)
        case {"enum": [*values]}:
            return " | ".join(map(json.dumps, values))
        case {"anyOf": [*options]}:
            return " | ".join(dict.fromkeys(map(type_of, options)))
        case {"type": "array", "items": items}:
            element = type_of(items)
            return f"readonly ({element})[]" if " " in element else f"readonly {element}[]"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"Record<string, {type_of(values)}>"
        case {"type": "object"}:
            return "Record<string, unknown>"
        case {"type": "integer"}:
            return "number"
        case {"type": "string" | "number" | "boolean" | "null" as plain}:
            return plain
    return "unknown"


if __name__ == "__main__":
    (KIT / "src" / "types.ts").write_text(types(openapi()), "utf-8")
