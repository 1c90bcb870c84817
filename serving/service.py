"""What the views work with."""

from dataclasses import dataclass
from pathlib import Path

from flask import current_app

from recommender.stores import Store
from serving.access import Access
from serving.hot_reload import Engine
from serving.settings import Scope, Settings
from serving.trending import Trending

KEY, ACCESS = "recommender", "access"


@dataclass(frozen=True)
class Service:
    """All that one app answers from.

    Parameters
    ----------
    engine
        The current recommender, and the products' changes.
    store
        Events.
    trending
        What users have chosen lately.
    settings
        What the service was told.
    bundles
        The folder that is published into.
    encodes_queries
        Whether there is an encoder for words and pictures.
    """

    engine: Engine
    store: Store
    trending: Trending
    settings: Settings
    bundles: Path
    encodes_queries: bool = False

    def close(self) -> None:
        """Stop watching and let go of the database."""
        self.engine.close()
        self.store.close()


def service() -> Service:
    """Return the service of the app that answers."""
    found: Service = current_app.extensions[KEY]
    return found


def require(scope: Scope) -> None:
    """Raise a `Problem` unless the request's key has that scope, beside the one its route needs."""
    access: Access = current_app.extensions[ACCESS]
    access.require(scope)
