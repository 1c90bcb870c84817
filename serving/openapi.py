"""The served OpenAPI 3.1 document."""

from typing import Any

from apiflask import APIFlask

from serving.answers import ProblemDetails

_CONFIG = {
    "OPENAPI_VERSION": "3.1.0",
    "AUTO_OPERATION_ID": True,
    "AUTO_SERVERS": False,
    "DESCRIPTION": "Similar items and recommendations with exact, explainable scores.",
    "HTTP_ERROR_SCHEMA": ProblemDetails.model_json_schema(),
    "VALIDATION_ERROR_SCHEMA": ProblemDetails.model_json_schema(),
    "VALIDATION_ERROR_DESCRIPTION": "Something in the request cannot be used",
    "NOT_FOUND_DESCRIPTION": "Unknown item",
}


def describe(app: APIFlask) -> None:
    """Set what the document says beyond the views' own decorators."""
    app.config.update(_CONFIG)
    app.spec_processor(_problems)


def _problems(spec: Any) -> Any:
    """Say of every error answer that it is problem+json."""
    for operation in (operation for path in spec["paths"].values() for operation in path.values()):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {})
            if status >= "400" and "application/json" in content:
                content["application/problem+json"] = content.pop("application/json")
    return spec
