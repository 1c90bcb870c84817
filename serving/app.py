"""The app factory: puts the parts together and nothing else."""

from pathlib import Path

from apiflask import APIFlask

import recommender
from recommender.recommender import load
from recommender.stores import open_store
from serving import openapi, problems
from serving.engine import Engine, Loader
from serving.json import OrjsonProvider
from serving.routes import events, operations, page, products, recommendations
from serving.service import KEY, Service

MAX_BODY_BYTES = 1 << 20


def create_app(
    bundles: Path | str,
    store_url: str | None = None,
    *,
    load: Loader = load,
    watch_seconds: float | None = 0.5,
) -> APIFlask:
    """Make the service.

    Parameters
    ----------
    bundles
        The folder that `recommender fit` publishes into.
    store_url
        Where events go, see `open_store`; by default an SQLite file beside the bundles.
    load
        Opens the current generation.
    watch_seconds
        How often to look for a new generation and changed products; None looks only when told to.

    Raises
    ------
    BundleError
        If there is no bundle to answer from.
    StoreError
        If the store cannot be opened.
    """
    bundles = Path(bundles)
    store = open_store(store_url or default_store(bundles))
    engine = Engine(bundles, store.overlay, load)
    app = APIFlask(
        "serving", title="Recommender", version=recommender.__version__, docs_path=None, json_errors=False
    )
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions[KEY] = Service(engine, store)
    problems.register(app)
    openapi.describe(app)
    for module in (recommendations, events, products, operations, page):
        app.register_blueprint(module.bp)
    if watch_seconds is not None:
        engine.watch(watch_seconds)
    return app


def default_store(bundles: Path) -> str:
    """Return the URL of the SQLite file beside a bundle's folder, such as ``bundles.sqlite``."""
    folder = bundles.resolve()
    return f"sqlite:///{folder.with_name(folder.name + '.sqlite')}"
