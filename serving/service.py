"""What the views work with."""

from dataclasses import dataclass

from flask import current_app

from recommender.stores import Store
from serving.engine import Engine

KEY = "recommender"


@dataclass(frozen=True)
class Service:
    """The engine and the store of one app."""

    engine: Engine
    store: Store

    def close(self) -> None:
        """Stop watching and let go of the database."""
        self.engine.close()
        self.store.close()


def service() -> Service:
    """Return the service of the app that answers."""
    found: Service = current_app.extensions[KEY]
    return found
