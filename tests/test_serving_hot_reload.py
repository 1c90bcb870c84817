"""Hot swap: what is in service follows CURRENT and the overlay, and failures leave the old in service."""

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import pytest
from serving_fakes import HEALTHY, load, publish

from recommender.errors import BundleError
from recommender.stores import Store, open_store
from serving import hot_reload as engine_module
from serving.app import create_app
from serving.hot_reload import LiveRecommender
from serving.service import KEY
from serving.settings import Settings


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    publish(tmp_path / "bundles", "g1")
    return tmp_path / "bundles"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "it did not come to be"
        sleep(0.01)


def test_a_published_generation_is_loaded(bundles: Path, store: Store) -> None:
    engine = LiveRecommender(bundles, store.overlay, load)
    old = weakref.ref(engine.recommender)
    publish(bundles, "g2")
    assert engine.recommender.generation == "g1"
    engine.refresh()
    assert engine.recommender.generation == "g2"
    gc.collect()
    assert old() is None, "nobody asks the old one any more, yet it is still open"


def test_a_damaged_generation_is_not_loaded(
    bundles: Path, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[Path] = []

    def counting(folder: Path, overlay: object) -> object:
        opened.append(folder)
        return load(folder, overlay)  # type: ignore[arg-type]

    engine = LiveRecommender(bundles, store.overlay, counting)  # type: ignore[arg-type]
    publish(bundles, "bad2")
    for _ in range(3):
        engine.refresh()
    assert engine.recommender.generation == "g1"
    assert engine.problems == {"bundle": "generation bad2 is damaged"}
    assert len(opened) == 2, "what cannot be opened is not tried at every look"
    assert len(caplog.records) == 1, "and is not logged at every look"

    monkeypatch.setattr(engine_module, "RETRY_SECONDS", -1.0)
    publish(bundles, "bad3")
    engine.refresh()
    engine.refresh()
    assert len(opened) == 4, "it is tried again after a while"

    publish(bundles, "g4")
    engine.refresh()
    assert (engine.recommender.generation, engine.problems) == ("g4", {})


def test_a_rollback_to_the_loaded_generation_ends_the_problem(bundles: Path, store: Store) -> None:
    engine = LiveRecommender(bundles, store.overlay, load)
    publish(bundles, "bad2")
    engine.refresh()
    assert engine.problems
    publish(bundles, "g1")
    engine.refresh()
    assert not engine.problems


def test_a_lost_pointer_keeps_the_loaded_generation(bundles: Path, store: Store) -> None:
    engine = LiveRecommender(bundles, store.overlay, load)
    (bundles / "CURRENT").unlink()
    engine.refresh()
    assert engine.recommender.generation == "g1"
    assert "no bundle in" in engine.problems["bundle"]


def test_without_a_bundle_there_is_no_service(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="recommender fit"):
        create_app(tmp_path / "nothing", Settings(store=f"sqlite:///{tmp_path}/store.db"), load=load)


def test_a_request_uses_one_bundle_to_its_end(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(bundles, load=load, watch_seconds=None)
    engine: LiveRecommender = app.extensions[KEY].live
    started, swapped = Event(), Event()
    run = type(engine.recommender).run

    def slow(self: object, *args: object, **options: object) -> object:
        started.set()
        swapped.wait(10)
        return run(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(engine.recommender), "run", slow)
    answers = []
    thread = Thread(target=lambda: answers.append(app.test_client().get("/v1/items/A/similar?fields=title")))
    thread.start()
    started.wait(10)
    publish(bundles, "g2")
    engine.refresh()
    swapped.set()
    thread.join(10)
    assert answers[0].json["bundle"] == "g1"
    assert app.test_client().get("/v1/items/A/similar").json["bundle"] == "g2"
    app.extensions[KEY].close()


def test_changes_of_another_process_are_seen(bundles: Path, store: Store) -> None:
    engine = LiveRecommender(bundles, store.overlay, load)
    store.overlay.put({"A": {"price": 1}})
    assert engine.recommender.product("A")["price"] == 0.0
    engine.refresh()
    assert engine.recommender.product("A")["price"] == 1
    assert engine.overlay.revision() == 1


def test_the_watcher_polls(bundles: Path) -> None:
    app = create_app(bundles, load=load, watch_seconds=0.02)
    engine: LiveRecommender = app.extensions[KEY].live
    publish(bundles, "bad2")
    client = app.test_client()
    until(lambda: client.get("/healthz/ready").json["status"] == "degraded")
    assert client.get("/healthz/ready").json["components"]["bundle"]["status"] == "degraded"
    publish(bundles, "g3")
    until(lambda: client.get("/healthz/ready").json == {"status": "ready", "bundle": "g3", "components": HEALTHY})
    assert engine.recommender.generation == "g3"
    app.extensions[KEY].close()
