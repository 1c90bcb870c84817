"""Where live data are kept: users' events, and what changed of a product since the bundle.

A store is one module of this folder that names the URL schemes it serves in `SCHEMES` and offers `open_url`;
adding a module is all that adding a store takes (the conformance suite walks the folder, too).
"""

import pkgutil
from importlib import import_module
from types import ModuleType

from recommender.errors import StoreError, nearest
from recommender.stores.base import EventStore, ItemOverlay, Store

__all__ = ["EventStore", "ItemOverlay", "Store", "open_store", "store_modules"]


def store_modules() -> dict[str, ModuleType]:
    """Return the modules that open a store, by URL scheme."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return {scheme: module for module in modules for scheme in getattr(module, "SCHEMES", ())}


def open_store(url: str) -> Store:
    """Open the store at `url`, making its tables where they are missing.

    Parameters
    ----------
    url
        `sqlite:///events.sqlite` (relative; a fourth slash makes it absolute) or
        `postgresql://user:password@host/database`.

    Raises
    ------
    StoreError
        For a scheme that nobody serves and a database that does not answer.
    """
    modules = store_modules()
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in modules:
        hint = f"; did you mean {near!r}?" if (near := nearest(scheme, modules)) else ""
        raise StoreError(
            f"unknown kind of store {scheme!r}; expected one of {', '.join(sorted(modules))}{hint}"
            " (such as sqlite:///events.sqlite)"
        )
    store: Store = modules[scheme].open_url(url)
    return store
