"""The app factory: puts the parts together and nothing else."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from apiflask import APIFlask
from flask import Request, Response, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

import recommender
from recommender.recommender import load
from recommender.stores import open_store
from serving import metrics, openapi, problems, storefront, tracing
from serving.access import Access
from serving.hot_reload import Engine, Loader
from serving.json_codec import OrjsonProvider
from serving.middleware import Observed
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
from serving.service import ACCESS, KEY, Service
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


class LimitedRequest(Request):
    """A request whose body is read as a whole: werkzeug cuts one that comes in chunks off at the limit."""

    def get_data(self, *args: Any, **options: Any) -> Any:
        """Return the body; raises `RequestEntityTooLarge` if there is more than may be."""
        data = super().get_data(*args, **options)
        cut = self.content_length is None and len(data) == self.max_content_length
        if cut and self.environ["wsgi.input"].read(1):
            raise RequestEntityTooLarge
        return data


class Api(APIFlask):
    """An app none of whose views is a coroutine, so that none need be looked at before each call."""

    request_class = LimitedRequest

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is to be called."""
        return func


def create_app(
    bundles: Path | str,
    settings: Settings | None = None,
    *,
    load: Loader = load,
    encoder: Path | None = None,
    watch_seconds: float | None = 0.5,
) -> APIFlask:
    """Make the service.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into.
    settings
        By default those of the environment.
    load
        Opens a generation.
    encoder
        Where the process answers that reads words and pictures; None is none.
    watch_seconds
        How often to look for a new generation and changed products; None looks only when told to.

    Raises
    ------
    BundleError
        If there is no bundle to answer from.
    StoreError
        If the store cannot be opened.
    """
    bundles, settings = Path(bundles), settings or Settings.load()
    store = open_store(settings.store or default_store(bundles))
    if encoder is not None:
        load = partial(load, encoder=RemoteEncoder(encoder))  # type: ignore[call-arg]
    engine = Engine(bundles, store.overlay, load, _generations(settings))
    trending = Trending(store.events, settings.trending_days, settings.retention_days)
    engine.follow("events", trending.refresh)
    engine.follow("metrics", partial(metrics.watch, engine))
    app = Api("serving", title="Recommender", version=recommender.__version__, docs_path=None, json_errors=False)
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions[KEY] = Service(engine, store, trending, settings, bundles, encoder is not None)
    app.wsgi_app = Observed(app.wsgi_app)  # type: ignore[method-assign]
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies)  # type: ignore[method-assign]
    tracing.register(app)
    _guard(app, settings)
    problems.register(app)
    openapi.describe(app)
    for module in ROUTES:
        app.register_blueprint(module.bp)
    if settings.storefront:
        app.register_blueprint(storefront.bp)
    if watch_seconds is not None:
        engine.watch(watch_seconds)
    return app


def default_store(bundles: Path) -> str:
    """Return the URL of the SQLite file beside a bundle's folder, such as ``bundles.sqlite``."""
    folder = bundles.resolve()
    return f"sqlite:///{folder.with_name(folder.name + '.sqlite')}"


def _generations(settings: Settings) -> set[str]:
    """Return the generations that experiments ask for."""
    experiments = (placement.experiment for placement in settings.placements.values())
    return {arm.generation for each in experiments if each for arm in each.arms if arm.generation}


def _guard(app: APIFlask, settings: Settings) -> None:
    """Check keys and rates before each request; allow the origins that may call from a browser after it."""
    access = Access(settings)
    app.extensions[ACCESS] = access

    @app.before_request
    def admit() -> Response | None:
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # each look through a proxy costs
        if asked.method == "OPTIONS" and asked.headers.get("Origin") in settings.cors_origins:
            return Response(status=204)
        access.check(app, asked)
        return None

    if not settings.cors_origins:
        return

    @app.after_request
    def allow_origin(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin in settings.cors_origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, X-Request-ID"
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers.add("Vary", "Origin")
        return response
