"""The served OpenAPI 3.1 document."""

import re
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

from apiflask import APIFlask

from serving.access import scope_of
from serving.markets import HEADER
from serving.schemas.responses import ProblemDetails
from serving.settings import Scope

_CONFIG = {
    "OPENAPI_VERSION": "3.1.0",
    "AUTO_OPERATION_ID": True,
    "AUTO_SERVERS": False,
    "DESCRIPTION": "Similar items and recommendations with exact, explainable scores.",
    "VALIDATION_ERROR_DESCRIPTION": "The request is invalid",
    "NOT_FOUND_DESCRIPTION": "Unknown item",
}
_REFUSALS = {
    "401": "No valid key",
    "403": "The key lacks the scope, or is not for pages of this origin",
    "429": "Too many requests",
}
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def describe(app: APIFlask, markets: Collection[str] = ()) -> None:
    """Configure the document beyond the decorators of the views; with the header of markets, if there are any."""
    app.config.update(_CONFIG)
    app.security_schemes = {"key": {"type": "http", "scheme": "bearer"}}
    app.spec_processor(partial(_corrected, app, markets))


def _corrected(app: APIFlask, markets: Collection[str], spec: Any) -> Any:
    """Add the scope of each operation, describe errors as problems, and remove empty defaults."""
    schemas = spec["components"]["schemas"]
    for name in ("HTTPError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = ProblemDetails.model_json_schema()
    scopes = _scopes(app)
    for (path, method), operation in _operations(spec):
        _add_scope(operation, scopes[path, method])
        _add_errors(path, operation)
        operation["responses"].get("304", {}).pop("content", None)
        for status, response in operation["responses"].items():
            if status >= "400":
                is_health = path == "/healthz/ready"  # the same shape whatever the status
                response["content"] = operation["responses"]["200"]["content"] if is_health else _PROBLEM
        for parameter in operation["parameters"]:
            if parameter["schema"].get("default", True) in (None, []):
                del parameter["schema"]["default"]
    if markets:
        _add_market(spec, markets)
    return spec


def _add_market(spec: Any, markets: Collection[str]) -> None:
    """Add the header that names the market to every call of the API."""
    spec["components"]["parameters"] = {
        "Market": {
            "name": HEADER,
            "in": "header",
            "description": "The market that answers; without it the service's own shop.",
            "schema": {"type": "string", "enum": [*markets]},
        }
    }
    for (path, _), operation in _operations(spec):
        if path.startswith("/v1/"):
            operation["parameters"].append({"$ref": "#/components/parameters/Market"})
            operation["responses"].setdefault("404", {"description": "Unknown market", "content": _PROBLEM})


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


def _add_errors(path: str, operation: Any) -> None:
    """Add the errors that any request may get."""
    refusals = {"503": "Not ready, or the store does not answer"} if path.startswith("/v1/") else {}
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
        refusals |= {
            "400": "No JSON, or damaged gzip",
            "408": "The body did not come in time",
            "413": "Too large",
            "415": "Not application/json, another compression than gzip, or not an image",
        }
    if "{" in path:
        refusals |= {"404": "Nothing of that name"}
    for status, why in refusals.items():
        operation["responses"].setdefault(status, {"description": why})


def _add_scope(operation: Any, scope: Scope | None) -> None:
    if scope is None:
        return
    operation["security"] = [{"key": []}]
    operation["description"] = f"{operation.get('description', '')}\n\nNeeds a key of scope `{scope}`.".strip()
    for status, why in _REFUSALS.items():
        operation["responses"].setdefault(status, {"description": why})
