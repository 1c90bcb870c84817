"""Render a template to one self-contained HTML file."""

import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader
from markupsafe import Markup


def write_page(out: Path, template: str, **data: Any) -> None:
    """Write a page from one of this package's templates, atomically."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        _environment().get_template(template).stream(**data).dump(str(temporary), encoding="utf-8")
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def render(template: str, **data: Any) -> str:
    """Return a part of a page as HTML."""
    return _environment().get_template(template).render(**data)


def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("recommender", "pages"), autoescape=True, trim_blocks=True)
    environment.filters |= {"script": _script, "base64": _base64}
    return environment


def _script(value: Any) -> Markup:
    """Return JSON that is safe inside a script element: without "<"."""
    text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return Markup(text.replace("<", "\\u003c"))


def _base64(data: bytes) -> Markup:
    return Markup(b64encode(data).decode())
