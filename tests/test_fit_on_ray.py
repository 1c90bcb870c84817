"""A fit on a local cluster of two nodes publishes what one process does, though a node is killed on the way."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

import recommender
from recommender.batch.on_ray import Cluster
from recommender.bundle import current
from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.recommender import Recommender
from training.behaviour.export import Behaviour
from training.behaviour.sequence_model import ItemContent
from training.behaviour.sequences import Sequences
from training.behaviour.train import train_sequence_models
from training.cooccurrence import pairs
from training.fit import fit

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster as Nodes

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
N = 60


@pytest.fixture
def nodes() -> "Iterator[Nodes]":
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'hybrid-recommender[ray]'")
    from ray.cluster_utils import Cluster as Nodes

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_worker_niceness", "0")  # else whatever runs beside it goes first
        cluster = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=2)  # without it, a member's share of the cores is a smaller one
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sum in this process as the workers do, with one thread; train little, in more than one partition."""
    monkeypatch.setattr("training.behaviour.train.EPOCHS", 2)
    monkeypatch.setattr("training.behaviour.train.MIN_STEPS", 20)
    monkeypatch.setattr(pairs, "PARTITION_SIZE", 400)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_shop(folder: Path) -> Config:
    """Write products of ten kinds, and users who choose products of one kind, one after the other."""
    generator = np.random.default_rng(0)
    kinds = [f"kind{row % 10}" for row in range(N)]
    titles = [f"{kind} w{row}" for row, kind in enumerate(kinds)]
    ids = [f"p{row:02}" for row in range(N)]
    pd.DataFrame({"id": ids, "title": titles, "product_type": kinds}).to_csv(folder / "products.csv", index=False)
    kind, users = generator.integers(0, 10, 150), np.repeat(np.arange(150), 8)
    rows = kind[users] + 10 * generator.integers(0, N // 10, len(users))
    times = pd.Timestamp("2026-01-01") + pd.to_timedelta(generator.permutation(len(users)) * 3, "h")
    events = {"user_id": [f"u{user}" for user in users], "item_id": [ids[row] for row in rows]}
    frame = pd.DataFrame({**events, "event_name": "purchase", "timestamp": times})
    frame.to_csv(folder / "events.csv", index=False)
    (folder / "shop.toml").write_text(
        '[catalog]\npath = "products.csv"\n[events]\npath = "events.csv"\n[encoder]\nname = "tfidf"\n'
    )
    return Config.load(folder / "shop.toml")


def when(happened: Callable[[], bool], do: Callable[[], object]) -> Thread:
    """Do something beside the test as soon as something else has happened."""

    def wait() -> None:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            if happened():
                do()
                return
            time.sleep(0.05)

    thread = Thread(target=wait, daemon=True)
    thread.start()
    return thread


def published(rec: Recommender) -> dict[str, bytes]:
    """Return the files of a generation by name, but its manifest, which has times, and what its own key hides."""
    folders = [rec.bundle.folder(part) for part in rec.manifest.parts]
    return {
        str(path.relative_to(folder.parent)).partition("/")[2]: path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.name != "queries.npz"
    }


def figures(value: Any) -> Any:
    """Return metrics without the times in them."""
    if isinstance(value, dict):
        return {name: figures(entry) for name, entry in value.items() if "seconds" not in name}
    return [figures(entry) for entry in value] if isinstance(value, list) else value


def test_two_nodes_one_of_which_is_killed_publish_what_one_process_does(nodes: "Nodes", tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    fit(config, tmp_path / "here", cache_dir=tmp_path / "cache-here")
    (worker,) = nodes.worker_nodes
    checkpoints = tmp_path / "cache-there" / "checkpoints"
    killer = when(
        lambda: any(checkpoints.glob("*/*/checkpoint_*")), lambda: nodes.remove_node(worker, allow_graceful=False)
    )
    fit(config, tmp_path / "there", cache_dir=tmp_path / "cache-there", cluster=Cluster(nodes.address))
    assert not killer.is_alive()
    assert not nodes.worker_nodes, "it was killed on the way"
    here, there = (recommender.load(tmp_path / name) for name in ("here", "there"))
    one, other = published(here), published(there)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
    assert here.weights == there.weights
    assert figures(here.manifest.metrics) == figures(there.manifest.metrics)
    assert here.manifest.metrics["evaluation"]["queries"] > 20
    assert not any(checkpoints.iterdir()), "what has ended leaves no checkpoints"


def test_a_killed_worker_goes_on_from_the_last_checkpoint(nodes: "Nodes", tmp_path: Path) -> None:
    events, content, killed = *small_training(), tmp_path / "killed"

    def validate(behaviour: Behaviour) -> float:
        if killed.parent.exists():  # not in the training here
            import os
            import signal

            with (killed.parent / "checks").open("a") as file:
                file.write(f"{behaviour.share}\n")
            if behaviour.share > 0.5 and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return -abs(behaviour.share - 0.7)

    there = train_sequence_models(
        events, content, 7, validate=validate, folder=tmp_path / "checkpoints", cluster=Cluster(nodes.address)
    )
    checks = [float(line) for line in (tmp_path / "checks").read_text().split()]
    here = train_sequence_models(events, content, 7, validate=lambda behaviour: -abs(behaviour.share - 0.7))
    assert here is not None
    assert there is not None
    assert killed.exists()
    assert checks.count(checks[0]) == 1, "it did not start again"
    assert len(checks) > len(set(checks)), "the killed part is done again"
    assert 0.6 < there.share < 0.8, "the best is neither where it was killed nor the last"
    np.testing.assert_array_equal(here.vectors, there.vectors)
    assert here.tower.model == there.tower.model
    assert here.metrics == there.metrics


def small_training() -> tuple[Sequences, ItemContent]:
    """Return random histories, and random content of their products."""
    generator = np.random.default_rng(0)
    shop = Catalog.from_frame(pd.DataFrame({"id": [f"p{row:02}" for row in range(40)], "title": "t"}))
    frame = pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in generator.integers(0, 300, 1_500)],
            "item_id": [shop.ids[row] for row in generator.integers(0, 40, 1_500)],
            "event_name": "purchase",
            "timestamp": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(1_500), "h"),
        }
    )
    content = generator.normal(size=(40, 3)).astype(np.float32)
    return Sequences.of(Interactions.from_frame(frame, shop)), ItemContent.of(content, None, 0)


def test_a_cluster_that_goes_away_is_named_and_the_last_generation_stays(nodes: "Nodes", tmp_path: Path) -> None:
    config, bundles, cache = write_shop(tmp_path), tmp_path / "bundles", tmp_path / "cache"
    generation = fit(config, bundles, cache_dir=cache)
    command = [sys.executable, "-m", "recommender.cli", "fit", "--config", str(tmp_path / "shop.toml")]
    command += ["--out", str(bundles), "--engine", "ray", "--address", nodes.address]
    environment = {**os.environ, "RECOMMENDER_CACHE": str(cache)}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def kill_all() -> None:
        for node in nodes.list_all_nodes():
            node.kill_all_processes(check_alive=False, allow_graceful=False)

    when(lambda: any((cache / "checkpoints").glob("*/*/checkpoint_*")), kill_all)
    _, stderr = running.communicate(timeout=900)
    assert running.returncode == 1, stderr
    # which comes first depends on what of the cluster dies first: the command's own error, or Ray ends the process
    assert "was lost" in stderr or "Failed to connect to GCS" in stderr, stderr
    assert current(bundles) == generation
    assert len(recommender.load(bundles).similar("p00", 3)) == 3
