"""Render the settings of the service as a Markdown table."""

from collections.abc import Iterator
from typing import Any


def page() -> str:
    """Return a line for each setting: its name, variable, default and meaning."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    from serving.settings import Settings

    yield "| setting | environment variable | default | |"
    yield "| --- | --- | --- | --- |"
    for name, field in Settings.model_fields.items():
        yield f"| `{name}` | `RECOMMENDER_{name.upper()}` | {_default(field.default)} | {field.description} |"


def _default(value: Any) -> str:
    return "" if value in (None, (), {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"
