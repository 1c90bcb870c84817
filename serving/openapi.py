"""The served OpenAPI 3.1 document."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from apiflask import APIFlask

from serving.access import scope_of
from serving.schemas.responses import ProblemDetails
from serving.settings import Scope

_CONFIG = {
    "OPENAPI_VERSION": "3.1.0",
    "AUTO_OPERATION_ID": True,
    "AUTO_SERVERS": False,
    "DESCRIPTION": "Similar items and recommendations with exact, explainable scores.",
    "VALIDATION_ERROR_DESCRIPTION": "Something in the request cannot be used",
    "NOT_FOUND_DESCRIPTION": "Unknown item",
}
_REFUSALS = {"401": "No valid key", "403": "The key has not the scope", "429": "Too many requests"}
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def describe(app: APIFlask) -> None:
    """Set what the document says beyond the views' own decorators."""
    app.config.update(_CONFIG)
    app.security_schemes = {"key": {"type": "http", "scheme": "bearer"}}
    app.spec_processor(partial(_corrected, app))


def _corrected(app: APIFlask, spec: Any) -> Any:
    """Say which key each needs, and of errors that they are problems; leave out what says nothing."""
    schemas = spec["components"]["schemas"]
    for name in ("HTTPError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = ProblemDetails.model_json_schema()
    scopes = _scopes(app)
    for place, operation in _operations(spec):
        _guarded(operation, scopes[place])
        _refusing(place[0], operation)
        operation["responses"].get("304", {}).pop("content", None)
        for status, answer in operation["responses"].items():
            if status >= "400":
                answer["content"] = _PROBLEM
        for parameter in operation["parameters"]:
            if parameter["schema"].get("default", True) in (None, []):
                del parameter["schema"]["default"]
    return spec


def _operations(spec: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield (path, method.upper()), operation


def _scopes(app: APIFlask) -> dict[tuple[str, str], Scope | None]:
    """Return the scope that each path and method needs."""
    rules = [(_path(rule.rule), rule) for rule in app.url_map.iter_rules()]
    return {(path, method): scope_of(app, rule.endpoint) for path, rule in rules for method in rule.methods or ()}


def _path(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def _refusing(path: str, operation: Any) -> None:
    """Say what any request may be refused with."""
    refusals = {"503": "Not ready, or the store does not answer"} if path.startswith("/v1/") else {}
    if "requestBody" in operation:
        refusals |= {"400": "No JSON", "413": "Too large", "415": "Not application/json"}
    if "{" in path:
        refusals |= {"404": "Nothing of that name"}
    for status, why in refusals.items():
        operation["responses"].setdefault(status, {"description": why})


def _guarded(operation: Any, scope: Scope | None) -> None:
    if scope is None:
        return
    operation["security"] = [{"key": []}]
    operation["description"] = f"{operation.get('description', '')}\n\nNeeds a key of scope `{scope}`.".strip()
    for status, why in (
        ("401", "No valid key"),
        ("403", "The key has not the scope"),
        ("429", "Too many requests"),
    ):
        operation["responses"].setdefault(status, {"description": why})
