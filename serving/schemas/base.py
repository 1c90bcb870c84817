"""The base of all requests: unknown members are refused with the nearest known name, errors have a pointer."""

import re
from collections.abc import Sequence
from itertools import islice
from reprlib import Repr
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from recommender.errors import nearest
from serving.problems import MAX_ERRORS, Problem

_SHOWN = 60


class _Shortened(Repr):
    """The beginning of a value as text, in a time that does not depend on how much or how deep it is."""

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """Return the beginning of a dict as text, in its own order."""
        first = dict(islice(x.items(), self.maxdict + 1))
        return super().repr_dict(first, level)


_shortened = _Shortened()
_shortened.maxstring = _shortened.maxlong = _shortened.maxother = _SHOWN


class RequestModel(BaseModel):
    """Anything that is parsed from a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def model_validate(cls, obj: Any, max_errors: int = MAX_ERRORS, **options: Any) -> Self:
        """Parse `obj`; raises a `Problem` (422) that lists its errors, unless there are more than `max_errors`."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            if error.error_count() > max_errors:
                detail = f"the request has {error.error_count()} errors; its form is in /openapi.json"
                raise Problem(422, "invalid-request", detail, [{"pointer": "", "detail": detail}]) from None
            entries = [_entry(cls, details) for details in error.errors(include_url=False)]
            raise Problem(422, "invalid-request", entries[0]["detail"], entries) from None


def _entry(model: type[BaseModel], details: ErrorDetails) -> dict[str, str]:
    path = details["loc"]
    pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
    if details["type"] == "extra_forbidden":
        name, known = str(path[-1]), members(model, path[:-1])
        detail = f"unknown member {_short(name)}; expected one of {', '.join(known)}"
    elif details["type"] == "value_error" and isinstance(details["input"], dict):  # of a whole object
        return {"pointer": pointer, "detail": details["msg"].removeprefix("Value error, ")}
    elif details["type"] == "missing":
        return {"pointer": pointer, "detail": f"{pointer[1:]} is missing"}
    else:
        # the message of a wrong literal lists the right ones in quotes
        literal = details["type"] == "literal_error" and isinstance(details["input"], str)
        name, known = (details["input"], re.findall(r"'([^']*)'", details["msg"])) if literal else ("", [])
        detail = f"{pointer[1:] or 'request'}: {details['msg']}; found {_short(details['input'])}"
    suggestion = nearest(name[:_SHOWN], known)
    if suggestion is None:
        return {"pointer": pointer, "detail": detail}
    return {"pointer": pointer, "detail": f"{detail}; did you mean {suggestion!r}?", "suggestion": suggestion}


def members(model: type[BaseModel] | None, path: Sequence[str | int]) -> list[str]:
    """Return the names that the object at `path` may hold."""
    for step in path:
        if model is not None and isinstance(step, str) and step in model.model_fields:
            model = _model_in(model.model_fields[step].annotation)
    return [] if model is None else list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _short(value: object) -> str:
    text = repr(value[: _SHOWN + 1]) if isinstance(value, str) else _shortened.repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
