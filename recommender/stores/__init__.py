"""Stores of live data: users' events and attributes, changed products, and edited placements.

A store is one module of this folder with `SCHEMES`, the URL schemes it supports, and `open_url`. To add a store,
add a module; the conformance tests find it too.
"""

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

from recommender.errors import StoreError, nearest
from recommender.stores.base import (
    AnswerLog,
    Definition,
    DefinitionStore,
    EventStore,
    ItemOverlay,
    OverlayEntry,
    Store,
    UserStore,
)
from recommender.stores.deadlines import deadline

__all__ = [
    "AnswerLog",
    "Definition",
    "DefinitionStore",
    "EventStore",
    "ItemOverlay",
    "OverlayEntry",
    "Store",
    "UserStore",
    "deadline",
    "default_store",
    "open_store",
    "store_beside",
    "store_modules",
]


def store_modules() -> dict[str, ModuleType]:
    """Return the modules that open a store, by URL scheme."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return {scheme: module for module in modules for scheme in getattr(module, "SCHEMES", ())}


def default_store(bundles: Path) -> str:
    """Return the URL of the SQLite file beside a bundle's folder, such as ``bundles.sqlite``."""
    folder = bundles.resolve()
    return f"sqlite:///{folder.with_name(folder.name + '.sqlite')}"


def store_beside(bundles: Path) -> str | None:
    """Return the URL of `default_store` if the file is there, so that a service has used it; None otherwise."""
    folder = bundles.resolve()
    return default_store(bundles) if folder.with_name(folder.name + ".sqlite").exists() else None


def open_store(url: str, timeout: float | None = None) -> Store:
    """Open the store at `url`; missing tables are created.

    Parameters
    ----------
    url
        `sqlite:///events.sqlite` (relative; a fourth slash makes it absolute) or
        `postgresql://user:password@host/database`.
    timeout
        Seconds after which the database itself ends a statement, unless a `deadline` is later; None is never. Who
        calls the store with a `deadline` gives up in time even so, but the statement would go on.

    Raises
    ------
    StoreUnavailableError
        For a database that does not respond.
    StoreError
        For an unknown scheme, or a database of a newer version.
    """
    modules = store_modules()
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in modules:
        hint = f"; did you mean {near!r}?" if (near := nearest(scheme, modules)) else ""
        raise StoreError(
            f"unknown kind of store {scheme!r}; expected one of {', '.join(sorted(modules))}{hint}"
            " (such as sqlite:///events.sqlite)"
        )
    store: Store = modules[scheme].open_url(url, timeout)
    return store
