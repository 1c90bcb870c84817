"""The objects that views work with."""

from dataclasses import dataclass, field
from pathlib import Path

from flask import current_app, g

from recommender.ranking.cache import SizedCache
from recommender.ranking.results import Recommendations
from recommender.stores import Store
from serving.access import Access
from serving.attributing import Signer, VisitorLimit
from serving.follower import Follower
from serving.health import Health
from serving.hot_reload import LiveRecommender
from serving.markets import Markets
from serving.placements import LivePlacements
from serving.rates import SharedVisitorLimit
from serving.settings import Scope, Settings
from serving.trending import Trending

KEY = "recommender"  # in `app.extensions`
CACHED_BYTES = 16 << 20  # of answers, in each worker
ITEM_BYTES = 250  # of one product of a result in memory


def _no_answers() -> SizedCache[tuple[Recommendations, bytes]]:
    return SizedCache(CACHED_BYTES, lambda answer: len(answer[1]) + ITEM_BYTES * len(answer[0]))


@dataclass(frozen=True)
class Service:
    """Everything that one app serves from, or one market of it.

    Parameters
    ----------
    live
        The current recommender, and the live changes of products.
    store
        Events.
    trending
        The products that are trending.
    placements
        The placements and collections in service.
    settings
        The service's settings.
    bundles
        The folder that bundles are published into.
    access
        Checks keys and rates.
    follower
        Follows the URL of the bundles, if they have one.
    health
        Of this worker.
    signer
        Makes and recognizes recommendation ids.
    visitors
        Bounds the visitors of an address that count.
    answers
        Results that anybody who asks the same gets, and their JSON without the id, by what they depend on.
    encodes_queries
        Whether there is an encoder of text and image queries.
    market
        The name of the market; empty for the service's own shop.
    currency
        Of changed prices and of events that name none; None if it is not known.
    shares_bundle
        Whether the bundle is another market's, or the service's own, too.
    markets
        The services of the markets; none for a market.
    """

    live: LiveRecommender
    store: Store
    trending: Trending
    placements: LivePlacements
    settings: Settings
    bundles: Path
    access: Access
    follower: Follower
    health: Health
    signer: Signer
    visitors: VisitorLimit | SharedVisitorLimit
    answers: SizedCache[tuple[Recommendations, bytes]] = field(default_factory=_no_answers)
    encodes_queries: bool = False
    market: str = ""
    currency: str | None = None
    shares_bundle: bool = False
    markets: Markets = field(default_factory=Markets)

    def close(self) -> None:
        """Stop reloading and close the stores."""
        self.markets.close()
        self.follower.close()
        self.live.close()
        self.store.close()


def service() -> Service:
    """Return the service of the current app, or that of the market which the current request names."""
    current: Service = g.get("service") or current_app.extensions[KEY]
    return current


def require(scope: Scope) -> None:
    """Raise a `Problem` unless the request's key has this scope too, beside the one its route needs."""
    service().access.require(scope)
