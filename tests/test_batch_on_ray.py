"""A local cluster of two nodes gives the rows of one process, though a worker is killed on the way."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from evaluation_events import events
from PIL import Image

import recommender
from recommender.batch import Job, encoding, write_partitions
from recommender.batch.histories import tables_of_events
from recommender.batch.on_ray import Cluster, on_ray
from recommender.catalog import Catalog
from recommender.config import Config
from recommender.encoders import encode_catalog
from recommender.errors import RequestError
from recommender.evaluation import evaluate, ranking_task
from recommender.events import Event
from tests.made_bundles import draw_product, publish_products
from tests.test_batch_partitions import DAY
from training.encoders.choose import choose_encoder, encode

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'hybrid-recommender[ray]'")
    from ray.cluster_utils import Cluster as Nodes

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_worker_niceness", "0")  # else whatever runs beside it goes first
        cluster = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


def test_two_nodes_give_the_rows_of_one_process(address: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    ids = [f"{number:03}" for number in range(40)]
    publish_products(tmp_path / "bundles", [draw_product(generator, item_id, ids) for item_id in ids])
    events = [Event(f"{generator.integers(40):03}", "view_item", DAY, f"u{user % 20}") for user in range(100)]
    generation = recommender.load(tmp_path / "bundles").generation
    answers = []
    for name, run in (("here", {}), ("there", {"run": on_ray(address)})):
        job = Job(str(tmp_path / "bundles"), generation, "user", str(tmp_path / name), 5, {}, 6)
        write_partitions(job, tables_of_events(events), **run)
        answers.append([pd.read_parquet(path) for path in sorted((tmp_path / name).glob("part-*.parquet"))])
    assert len(answers[0]) > 2
    for one, other in zip(*answers, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_two_nodes_encode_as_one_process(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BATCH_SIZE", 32)
    config = photographed(tmp_path / "shop", 70)
    catalog = Catalog.load(config)
    chosen = choose_encoder(config, catalog, tmp_path / "there")
    started = replace(catalog, frame=catalog.frame.iloc[:20].reset_index(drop=True))
    encode_catalog(started, chosen.encoder, tmp_path / "there")
    counts = encode(config, cache_dir=tmp_path / "there", cluster=Cluster(address))
    assert (counts["encoded"], counts["cached"]) == (100, 40)
    one, other = (encode_catalog(catalog, chosen.encoder, tmp_path / name) for name in ("here", "there"))
    assert (one.counts["encoded"], other.counts["encoded"]) == (140, 0)
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.text, other.text)
    assert one.has_image.all()


def test_two_nodes_evaluate_as_one_process(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    ids = [f"{number:04}" for number in range(40)]
    publish_products(tmp_path / "bundles", [draw_product(generator, item_id, ids) for item_id in ids])
    product = recommender.load(tmp_path / "bundles")
    drawn = [
        (f"u{user:02}", row, day) for user in range(60) for day, row in enumerate(generator.integers(0, 40, 6))
    ]
    train, test = (events([event for event in drawn if (event[2] < 4) == early]) for early in (True, False))
    monkeypatch.setattr(ranking_task, "PARTITION_SIZE", 13)
    here, there = (evaluate(product, train, test, 5, run=run).to_dict() for run in (map, Cluster(address).map))
    for ranker in (*here["rankers"].values(), *there["rankers"].values()):
        assert ranker.pop("seconds") >= 0, "rounded, of a small shop"
    assert here["queries"] > 50
    assert here == there


def photographed(folder: Path, n: int) -> Config:
    """Write a shop of drawn photos, the texts of which are read by a model that is trained on them."""
    folder.mkdir()
    generator, names = np.random.default_rng(0), [f"{row:03}" for row in range(n)]
    with ZipFile(folder / "photos.zip", "w") as photos:
        for name in names:
            Image.fromarray(generator.integers(0, 256, (12, 9, 3), np.uint8)).save(folder / "photo.png")
            photos.write(folder / "photo.png", f"{name}.png")
    titles = [f"{colour} shirt {name}" for name, colour in zip(names, cycle(["red", "green", "blue"]))]
    links = [f"{name}.png" for name in names]
    pd.DataFrame({"id": names, "title": titles, "image_link": links}).to_csv(folder / "products.csv", index=False)
    (folder / "shop.toml").write_text(
        '[catalog]\npath = "products.csv"\nimages = "photos.zip"\n'
        '[encoder]\nname = "offline"\n[encoder.text]\nname = "tfidf"\n'
    )
    return Config.load(folder / "shop.toml")


def test_the_partition_of_a_killed_worker_is_retried(address: str, tmp_path: Path) -> None:
    cluster, killed = Cluster(address), tmp_path / "killed"

    def make() -> Any:
        def work(item: int) -> int:
            if item == 2 and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return item * item

        return work

    assert sorted(cluster.map_unordered(range(5), make)) == [0, 1, 4, 9, 16]
    assert killed.exists()
    killed.unlink()
    assert [*cluster.map(make(), range(5))] == [0, 1, 4, 9, 16]
    assert killed.exists()


def test_an_error_of_the_work_is_raised_as_such(address: str) -> None:
    def divide(item: int) -> float:
        return 1 / item

    with pytest.raises(ZeroDivisionError):
        [*Cluster(address).map(divide, [1, 0])]


def test_gpus_that_a_cluster_has_not_are_refused(address: str) -> None:
    with pytest.raises(RequestError, match="needs 1 GPUs, and the cluster has 0"):
        Cluster(address, gpus=1).connect()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(RequestError, match=r"hybrid-recommender\[ray\]"):
        on_ray()
