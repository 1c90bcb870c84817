"""The app factory: assembles the parts, and nothing else."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from apiflask import APIFlask
from werkzeug.middleware.proxy_fix import ProxyFix

from recommender.bundle.remote import origin
from recommender.errors import ConfigError, StoreUnavailableError
from recommender.recommender import load
from recommender.stores import deadline, default_store, open_store
from recommender.version import __version__
from serving import metrics, openapi, problems, storefront, studio, tracing
from serving.access import Access, needs
from serving.attributing import Signer, VisitorLimit
from serving.follower import Follower
from serving.health import Health, check_disk
from serving.hot_reload import LiveRecommender, Loader
from serving.json_codec import OrjsonProvider
from serving.live_store import LiveStore
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
    StoreError
        If there can be no such store; one that does not answer is opened as soon as it does.
    """
    bundles, settings = Path(bundles), settings or Settings.load()
    url, timeout = store_url(bundles, settings), settings.store_timeout_ms / 1000
    live_store = LiveStore(partial(open_store, url, timeout), timeout, STORE_THREADS)
    with suppress(StoreUnavailableError):
        live_store.open(START_SECONDS)
    store = live_store.guarded
    if isinstance(encoder, Path):
        encoder = RemoteEncoder(encoder)
    if encoder is not None:
        load = partial(load, encoder=encoder)  # type: ignore[call-arg]
    if settings.private_fields:
        load = partial(load, unsearched=settings.private_fields)  # type: ignore[call-arg]
    follower = Follower(bundles)
    placed = LivePlacements(settings, store.definitions)
    with suppress(StoreUnavailableError), deadline(START_SECONDS):
        placed.refresh()
    live = LiveRecommender(bundles, store.overlay, load, placed.generations)

    def follow() -> None:
        placed.refresh(lambda: live.recommender)
        live.refresh_overlay()

    trending = Trending(store.events, settings.trending_days, settings.retention_days)
    secret = settings.signing_key
    signer = Signer(store.events, None if secret is None else secret.get_secret_value())
    app = Api("serving", title="Recommender", version=__version__, docs_path=None, json_errors=False)
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    counters = None if settings.redis is None else SharedCounters(settings.redis)
    access = Access(app, settings, counters)
    database = file_of(url)
    tasks: dict[str, Callable[[], None] | None] = {
        "store": partial(live_store.refresh, follow),
        "events": trending.refresh,
        "encoder": None if encoder is None else encoder.check,
        "disk": None if database is None else partial(check_disk, database.parent),
        "signing key": signer.refresh,
        "replica": None if origin(bundles) is None else follower.check,
        "rates": None if counters is None else counters.check,
        "metrics": partial(metrics.update_gauges, live),
    }
    for name, task in tasks.items():
        if task is not None:
            live.add_task(name, task)
    health = Health(live, live_store, encoder is not None, starting_until)
    visitors = _visitor_limit(settings.visitors_per_address, counters)
    app.extensions[KEY] = Service(
        live=live,
        store=store,
        trending=trending,
        placements=placed,
        settings=settings,
        bundles=bundles,
        access=access,
        follower=follower,
        health=health,
        signer=signer,
        visitors=visitors,
        encodes_queries=encoder is not None,
    )
    _add_routes(app, access, settings)
    if watch_seconds is not None:
        follower.watch(settings.poll_seconds)
        live.watch(watch_seconds)
    return app


def _add_routes(app: Api, access: Access, settings: Settings) -> None:
    """Add what surrounds every request, and the routes."""
    app.wsgi_app = RequestLog(app.wsgi_app)  # type: ignore[method-assign]
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies)  # type: ignore[method-assign]
    tracing.register(app)
    if access.origins:
        allow_origins(app, access.origins)
    app.before_request(access.check)
    problems.register(app)
    openapi.describe(app)
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


def file_of(url: str) -> Path | None:
    """Return the file of an SQLite store; None if it is none or in memory."""
    scheme, _, path = url.partition(":///")
    return Path(path) if scheme == "sqlite" and path and path != ":memory:" else None


def store_url(bundles: Path, settings: Settings) -> str:
    """Return the URL of the service's store: that of the settings, or of the file beside a bundle's folder."""
    if settings.store is None and (url := origin(bundles)) is not None:
        raise ConfigError(f"{url} is served by any number of machines, which share a store; give it: --store")
    return settings.store or default_store(bundles)
