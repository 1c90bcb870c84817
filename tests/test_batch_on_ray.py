"""A local cluster of two nodes gives the rows of one process, though a worker is killed on the way."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recommender
from recommender.batch import Job, write_partitions
from recommender.batch.histories import tables_of_events
from recommender.batch.on_ray import on_ray, spread
from recommender.errors import RequestError
from recommender.events import Event
from tests.made_bundles import draw_product, publish_products
from tests.test_batch_partitions import DAY

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'hybrid-recommender[ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
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


def test_the_partition_of_a_killed_worker_is_done_again(address: str, tmp_path: Path) -> None:
    on_ray(address)
    killed = tmp_path / "killed"

    def make() -> Any:
        def work(item: int) -> int:
            if item == 2 and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return item * item

        return work

    assert sorted(spread(range(5), make)) == [0, 1, 4, 9, 16]
    assert killed.exists()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(RequestError, match=r"hybrid-recommender\[ray\]"):
        on_ray()
