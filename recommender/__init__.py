"""Product recommendations from hybrid embeddings.

>>> import recommender
>>> rec = recommender.fit("products.csv", "events.csv", out="bundles")    # doctest: +SKIP
>>> rec = recommender.load("bundles")                                     # doctest: +SKIP
>>> rec.similar("0108775015", k=10).to_frame()                            # doctest: +SKIP

Names are resolved on first use (PEP 562): a service that imports the library does not pay for pandas or torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recommender.version import __version__

_HOMES = {
    "Recommender": "recommender.recommender",
    "Recommendations": "recommender.ranking.results",
    "RecommendationTable": "recommender.ranking.results",
    "Request": "recommender.ranking.request",
    "load": "recommender.recommender",
    "fit": "recommender.fitting",
    "update": "recommender.fitting",
    "refresh": "recommender.fitting",
    "evaluate": "recommender.fitting",
    "Catalog": "recommender.catalog",
    "Interactions": "recommender.catalog",
    "Config": "recommender.config",
    "Event": "recommender.events",
    "RecommenderError": "recommender.errors",
}
__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from recommender.catalog import Catalog as Catalog
    from recommender.catalog import Interactions as Interactions
    from recommender.config import Config as Config
    from recommender.errors import RecommenderError as RecommenderError
    from recommender.events import Event as Event
    from recommender.fitting import evaluate as evaluate
    from recommender.fitting import fit as fit
    from recommender.fitting import refresh as refresh
    from recommender.fitting import update as update
    from recommender.ranking.request import Request as Request
    from recommender.ranking.results import Recommendations as Recommendations
    from recommender.ranking.results import RecommendationTable as RecommendationTable
    from recommender.recommender import Recommender as Recommender
    from recommender.recommender import load as load


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'recommender' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
