"""Import optional packages."""

from importlib import import_module
from types import ModuleType

from recommender.errors import EncoderError


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an optional package.

    Raises
    ------
    EncoderError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != top:
            raise
        raise EncoderError(f"{top} is not installed; run: pip install 'hybrid-recommender[{extra}]'") from None
