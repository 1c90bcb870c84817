"""The shops of a service, its own and those of its markets: which bundle and which store each has."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recommender.bundle.remote import is_url, origin
from recommender.errors import ConfigError
from recommender.stores import default_store
from serving.settings import Settings


@dataclass(frozen=True)
class ServedShop:
    """What the service, or one market of it, serves.

    Parameters
    ----------
    bundles
        The folder of its bundles, or their URL.
    store
        The URL of its store, which no other shop has.
    market
        The name of the market; empty for the service's own shop.
    currency
        See `serving.settings.Market`.
    shares_bundle
        Whether the bundles belong to the service's own shop or to an earlier market: their catalogue has no prices
        of this market, and they are rolled back there.
    has_encoder
        Whether the service's encoder of queries is that of the bundles.
    """

    bundles: Path | str
    store: str
    market: str = ""
    currency: str | None = None
    shares_bundle: bool = False
    has_encoder: bool = True


def market_shops(bundles: Path, settings: Settings) -> Iterator[ServedShop]:
    """Yield the shops of the markets; raises `ConfigError` if the store of one has to be set.

    Parameters
    ----------
    bundles
        The folder of the service's own bundles.
    settings
        The service's.
    """
    own = bundles.resolve()
    known = {own}
    for name, market in settings.markets.items():
        at: Path | str = market.bundles or bundles
        place: Path | str = at if is_url(at) else Path(at).resolve()
        shared = place in known
        known.add(place)  # type: ignore[arg-type]
        store = market.store or _market_store(name, place, shared, bundles, settings)
        yield ServedShop(at, store, name, market.currency, shared, place == own)


def _market_store(name: str, place: Path | str, shared: bool, bundles: Path, settings: Settings) -> str:
    """Return the URL of a market's store where none is set: a file beside its bundles, or the service's store."""
    if not shared and settings.store is None and isinstance(place, Path):
        return default_store(place)
    if (file := file_of(store_url(bundles, settings))) is not None:
        return f"sqlite:///{file.with_name(f'{file.stem}.{name}{file.suffix}')}"
    raise ConfigError(
        f"markets.{name}.store is missing: each market has a store of its own, such as another database, or a"
        f" schema of the same: postgresql://shop@db/shop?options=-csearch_path%3D{name}"
    )


def file_of(url: str) -> Path | None:
    """Return the file of an SQLite store; None if it is none or in memory."""
    scheme, _, path = url.partition(":///")
    return Path(path) if scheme == "sqlite" and path and path != ":memory:" else None


def store_url(bundles: Path, settings: Settings) -> str:
    """Return the URL of the service's store: that of the settings, or of the file beside a bundle's folder."""
    if settings.store is None and (url := origin(bundles)) is not None:
        raise ConfigError(f"{url} is served by any number of machines, which share a store; give it: --store")
    return settings.store or default_store(bundles)
