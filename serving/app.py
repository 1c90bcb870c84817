"""The app factory: assembles the parts, and nothing else."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from apiflask import APIFlask
from werkzeug.middleware.proxy_fix import ProxyFix

from recommender.bundle import local_copy
from recommender.bundle.remote import origin
from recommender.errors import StoreUnavailableError
from recommender.recommender import load
from recommender.stores import deadline, open_store
from recommender.version import __version__
from serving import metrics, openapi, problems, storefront, studio, tracing
from serving.access import Access, needs
from serving.attributing import Signer, VisitorLimit
from serving.follower import Follower
from serving.health import Health, check_disk
from serving.hot_reload import LiveRecommender, Loader
from serving.json_codec import OrjsonProvider
from serving.live_store import LiveStore
from serving.markets import Markets, choose_market, task_of
from serving.middleware import Api, RequestLog, allow_origins
from serving.placements import LivePlacements
from serving.query_encoder import QueryEncoder, RemoteEncoder
from serving.rates import SharedCounters, SharedVisitorLimit
from serving.routes import bundles as bundle_routes
from serving.routes import (
    definitions,
    docs,
    events,
    kit,
    operations,
    overlay,
    page,
    placements,
    products,
    questions,
    recommendations,
    report_page,
    reports,
    search,
    users,
)
from serving.rsgi import THREADS
from serving.service import KEY, Service
from serving.settings import Settings
from serving.shops import ServedShop, file_of, market_shops, store_url
from serving.trending import Trending

ROUTES = (
    recommendations,
    reports,
    report_page,
    questions,
    search,
    placements,
    definitions,
    events,
    users,
    products,
    bundle_routes,
    overlay,
    operations,
    page,
    docs,
    kit,
)

STORE_THREADS = THREADS - 1  # of a worker that may wait for the store at once
START_SECONDS = 2.0  # that a start waits for the store


def create_app(
    bundles: Path | str,
    settings: Settings | None = None,
    *,
    load: Loader = load,
    encoder: Path | QueryEncoder | None = None,
    starting_until: float = 0.0,
    watch_seconds: float | None = 0.5,
) -> APIFlask:
    """Return the service as a WSGI app.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into.
    settings
        By default those of the environment.
    load
        Opens a generation.
    encoder
        The query encoder, or the socket of its process; None if there is none.
    starting_until
        Until when, by `time.monotonic`, an encoder that does not answer is starting, and the service not ready.
    watch_seconds
        How often to check for a new generation and for changed products; None checks on demand only.

    Raises
    ------
    BundleError
        If there is no bundle to serve.
    ConfigError
        If a market has no store of its own.
    StoreError
        If there can be no such store; one that does not answer is opened as soon as it does.
    """
    bundles, settings = Path(bundles), settings or Settings.load()
    if isinstance(encoder, Path):
        encoder = RemoteEncoder(encoder)
    if settings.private_fields:
        load = partial(load, unsearched=settings.private_fields)  # type: ignore[call-arg]
    app = Api("serving", title="Recommender", version=__version__, docs_path=None, json_errors=False)
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    counters = None if settings.redis is None else SharedCounters(settings.redis)
    access = Access(app, settings, counters)
    open_shop = partial(
        _open_shop,
        settings=settings,
        load=load,
        encoder=encoder,
        starting_until=starting_until,
        access=access,
        counters=counters,
        visitors=_visitor_limit(settings.visitors_per_address, counters),
    )

    def open_market(shop: ServedShop) -> Service:
        market = open_shop(shop, markets=Markets())
        _watch(market, watch_seconds)
        return market

    shops = [*market_shops(bundles, settings)]
    markets = Markets({shop.market: partial(open_market, shop) for shop in shops})
    service = open_shop(ServedShop(bundles, store_url(bundles, settings)), markets=markets)
    for name in markets.names:
        service.live.add_task(task_of(name), partial(markets.check, name))
    app.extensions[KEY] = service
    _add_routes(app, service)
    _watch(service, watch_seconds)
    return app


def _open_shop(
    shop: ServedShop,
    *,
    settings: Settings,
    load: Loader,
    encoder: QueryEncoder | None,
    starting_until: float,
    access: Access,
    counters: SharedCounters | None,
    visitors: VisitorLimit | SharedVisitorLimit,
    markets: Markets,
) -> Service:
    """Open the bundle and the store of one shop; see `create_app` and `Service`."""
    bundles, timeout = local_copy(shop.bundles, settings.cache, offline=True), settings.store_timeout_ms / 1000
    live_store = LiveStore(partial(open_store, shop.store, timeout), timeout, STORE_THREADS)
    with suppress(StoreUnavailableError):
        live_store.open(START_SECONDS)
    store = live_store.guarded
    encoder = encoder if shop.has_encoder else None
    if encoder is not None:
        load = partial(load, encoder=encoder)  # type: ignore[call-arg]
    if shop.shares_bundle:
        load = partial(load, catalogue_supersedes=False)  # type: ignore[call-arg]
    follower = Follower(bundles)
    placed = LivePlacements(settings, store.definitions)
    with suppress(StoreUnavailableError), deadline(START_SECONDS):
        placed.refresh()
    try:
        live = LiveRecommender(bundles, store.overlay, load, placed.generations)
    except BaseException:
        live_store.close()
        raise

    def follow() -> None:
        placed.refresh(lambda: live.recommender)
        live.refresh_overlay()

    trending = Trending(store.events, settings.trending_days, settings.retention_days)
    secret = settings.signing_key
    signer = Signer(store.events, None if secret is None else secret.get_secret_value())
    database = file_of(shop.store)
    tasks: dict[str, Callable[[], None] | None] = {
        "store": partial(live_store.refresh, follow),
        "events": trending.refresh,
        "encoder": None if encoder is None else encoder.check,
        "disk": None if database is None else partial(check_disk, database.parent),
        "signing key": signer.refresh,
        "replica": None if origin(bundles) is None else follower.check,
        "rates": None if counters is None else counters.check,
        "metrics": partial(metrics.update_gauges, live, shop.market, markets.names),
    }
    for name, task in tasks.items():
        if task is not None:
            live.add_task(name, task)
    return Service(
        live=live,
        store=store,
        trending=trending,
        placements=placed,
        settings=settings,
        bundles=bundles,
        access=access,
        follower=follower,
        health=Health(live, live_store, encoder is not None, starting_until, markets),
        signer=signer,
        visitors=visitors,
        encodes_queries=encoder is not None,
        market=shop.market,
        currency=shop.currency,
        shares_bundle=shop.shares_bundle,
        markets=markets,
    )


def _watch(service: Service, seconds: float | None) -> None:
    """Follow bundles and store from now on, every so many seconds; None is not at all."""
    if seconds is not None:
        service.follower.watch(service.settings.poll_seconds)
        service.live.watch(seconds)


def _add_routes(app: Api, service: Service) -> None:
    """Add what surrounds every request, and the routes."""
    access, settings = service.access, service.settings
    app.wsgi_app = RequestLog(app.wsgi_app)  # type: ignore[method-assign]
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies)  # type: ignore[method-assign]
    tracing.register(app)
    if access.origins:
        allow_origins(app, access.origins)
    app.before_request(access.check)
    choose_market(app, service.markets)
    problems.register(app)
    openapi.describe(app, service.markets.names)
    needs(None)(app.view_functions["static"])  # styles and scripts of pages, which browsers ask for without a key
    for module in ROUTES:
        app.register_blueprint(module.bp)
    if settings.storefront:
        app.register_blueprint(storefront.bp)
    if settings.studio:
        app.register_blueprint(studio.bp)


def _visitor_limit(limit: int, counters: SharedCounters | None) -> VisitorLimit | SharedVisitorLimit:
    own = VisitorLimit(limit)
    return own if counters is None else SharedVisitorLimit(counters, limit, own)
