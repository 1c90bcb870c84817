"""Another order for the best products: more varied than by score alone.

A re-ranker is one module of this folder that offers `create`, which makes it from its entry of the option
`diversity`; the module's name is the entry's. Adding a module is all that adding a re-ranker takes (the
conformance suite walks the folder, too).
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from recommender.errors import RequestError, nearest
from recommender.ranking.rerankers.base import Order, Pool, Reranker

__all__ = ["Order", "Pool", "Reranker", "create", "names"]


def names() -> list[str]:
    """Return the entries that `diversity` may have, in the order in which they are applied."""
    return sorted({module.name for module in pkgutil.iter_modules(__path__)} - {"base"}, reverse=True)


def create(diversity: Mapping[str, Any] | None) -> list[Reranker]:
    """Make the re-rankers that `diversity` asks for.

    Raises
    ------
    RequestError
        If an entry is unknown, or cannot be what it is.
    """
    if not diversity:
        return []
    asked, known = dict(diversity), names()
    for name in asked:
        if name not in known:
            raise RequestError(
                f"unknown diversity {name!r}; expected one of {', '.join(known)}",
                f"/diversity/{name}",
                nearest(name, known),
            )
    return [import_module(f"{__name__}.{name}").create(asked[name]) for name in known if name in asked]
