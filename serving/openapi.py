"""The served OpenAPI 3.1 document."""

from typing import Any

from apiflask import APIFlask

from serving.answers import ProblemDetails

_CONFIG = {
    "OPENAPI_VERSION": "3.1.0",
    "AUTO_OPERATION_ID": True,
    "AUTO_SERVERS": False,
    "DESCRIPTION": "Similar items and recommendations with exact, explainable scores.",
    "VALIDATION_ERROR_DESCRIPTION": "Something in the request cannot be used",
    "NOT_FOUND_DESCRIPTION": "Unknown item",
}
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def describe(app: APIFlask) -> None:
    """Set what the document says beyond the views' own decorators."""
    app.config.update(_CONFIG)
    app.spec_processor(_corrected)


def _corrected(spec: Any) -> Any:
    """Say of errors that they are problems, of a 304 that it is empty, and leave out defaults that say nothing."""
    schemas = spec["components"]["schemas"]
    for name in ("HTTPError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = ProblemDetails.model_json_schema()
    for operation in (operation for path in spec["paths"].values() for operation in path.values()):
        operation["responses"].get("304", {}).pop("content", None)
        for status, answer in operation["responses"].items():
            if status >= "400":
                answer["content"] = _PROBLEM
        for parameter in operation["parameters"]:
            if parameter["schema"].get("default", True) in (None, []):
                del parameter["schema"]["default"]
    return spec
