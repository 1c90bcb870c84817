"""The app factory: assembles the parts, and nothing else."""

from functools import partial
from pathlib import Path

from apiflask import APIFlask
from werkzeug.middleware.proxy_fix import ProxyFix

from recommender.bundle.remote import origin
from recommender.errors import ConfigError
from recommender.recommender import load
from recommender.stores import open_store
from recommender.version import __version__
from serving import metrics, openapi, problems, storefront, tracing
from serving.access import Access
from serving.follower import Follower
from serving.hot_reload import LiveRecommender, Loader
from serving.json_codec import OrjsonProvider
from serving.middleware import Api, RequestLog, allow_origins
from serving.query_encoder import RemoteEncoder
from serving.routes import bundles as bundle_routes
from serving.routes import (
    docs,
    events,
    operations,
    page,
    placements,
    products,
    questions,
    recommendations,
    users,
)
from serving.service import KEY, Service
from serving.settings import Settings
from serving.trending import Trending

ROUTES = (
    recommendations,
    questions,
    placements,
    events,
    users,
    products,
    bundle_routes,
    operations,
    page,
    docs,
)


def create_app(
    bundles: Path | str,
    settings: Settings | None = None,
    *,
    load: Loader = load,
    encoder: Path | None = None,
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
        Socket of the query encoder's process; None if there is none.
    watch_seconds
        How often to check for a new generation and for changed products; None checks on demand only.

    Raises
    ------
    BundleError
        If there is no bundle to serve.
    StoreError
        If the store cannot be opened.
    """
    bundles, settings = Path(bundles), settings or Settings.load()
    store = open_store(settings.store or default_store(bundles))
    if encoder is not None:
        load = partial(load, encoder=RemoteEncoder(encoder))  # type: ignore[call-arg]
    follower = Follower(bundles)
    live = LiveRecommender(bundles, store.overlay, load, _generations(settings))
    trending = Trending(store.events, settings.trending_days, settings.retention_days)
    live.add_task("events", trending.refresh)
    live.add_task("replica", follower.check)
    live.add_task("metrics", partial(metrics.update_gauges, live))
    app = Api("serving", title="Recommender", version=__version__, docs_path=None, json_errors=False)
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    access = Access(app, settings)
    live.add_task("rates", access.check_rates)
    app.extensions[KEY] = Service(live, store, trending, settings, bundles, access, follower, encoder is not None)
    app.wsgi_app = RequestLog(app.wsgi_app)  # type: ignore[method-assign]
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies)  # type: ignore[method-assign]
    tracing.register(app)
    if settings.cors_origins:
        allow_origins(app, settings.cors_origins)
    app.before_request(access.check)
    problems.register(app)
    openapi.describe(app)
    for module in ROUTES:
        app.register_blueprint(module.bp)
    if settings.storefront:
        app.register_blueprint(storefront.bp)
    if watch_seconds is not None:
        follower.watch(settings.poll_seconds)
        live.watch(watch_seconds)
    return app


def default_store(bundles: Path) -> str:
    """Return the URL of the SQLite file beside a bundle's folder, such as ``bundles.sqlite``."""
    if (url := origin(bundles)) is not None:
        raise ConfigError(f"{url} is served by any number of machines, which share a store; give it: --store")
    folder = bundles.resolve()
    return f"sqlite:///{folder.with_name(folder.name + '.sqlite')}"


def _generations(settings: Settings) -> set[str]:
    """Return the generations that the arms of experiments name."""
    experiments = (placement.experiment for placement in settings.placements.values())
    return {arm.generation for each in experiments if each for arm in each.arms if arm.generation}
