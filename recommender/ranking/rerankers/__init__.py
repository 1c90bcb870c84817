"""Re-rankers: reorder the best products for diversity.

A re-ranker is one module of this folder with a function `create`, which makes it from the value of its entry in
the option `diversity`; the entry has the module's name. To add a re-ranker, add a module: the conformance tests
find it.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from recommender.errors import RequestError, nearest
from recommender.ranking.rerankers.base import Order, Pool, Reranker

__all__ = ["Order", "Pool", "Reranker", "create", "names"]


def names() -> list[str]:
    """Return the names of the re-rankers, in the order in which they are applied."""
    return sorted({module.name for module in pkgutil.iter_modules(__path__)} - {"base"}, reverse=True)


def create(diversity: Mapping[str, Any] | None) -> list[Reranker]:
    """Make the re-rankers named in `diversity`.

    Raises
    ------
    RequestError
        If an entry is unknown, or its value is wrong.
    """
    if not diversity:
        return []
    known = names()
    for name in diversity:
        if name not in known:
            raise RequestError(
                f"unknown diversity {name!r}; expected one of {', '.join(known)}",
                f"/diversity/{name}",
                nearest(name, known),
            )
    return [import_module(f"{__name__}.{name}").create(diversity[name]) for name in known if name in diversity]
