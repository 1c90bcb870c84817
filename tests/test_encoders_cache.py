"""The vector cache: stored vectors are found again, after kills, truncation, merging and concurrent runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.encoders import cache as module
from recommender.encoders.cache import VectorCache, cache_location, digest, digests

DIM = 3


def vector(name):
    return np.frombuffer(digest(name)[: 4 * DIM], np.uint8)[:DIM].astype(np.float32)


def put(cache, *names):
    for name in names:
        cache.put(digest(name), digest(f"content of {name}"), vector(name))


def found(cache, *names):
    return cache.find(digests(names)) >= 0


@settings(deadline=None)  # it writes files, and others may too
@given(runs=st.lists(st.lists(st.text(max_size=5), max_size=8), max_size=5), absent=st.text(max_size=5))
def test_stored_vectors_are_found_in_a_later_run(tmp_path_factory, runs, absent):
    folder = tmp_path_factory.mktemp("cache")
    for names in runs:
        cache = VectorCache(folder, DIM)
        put(cache, *names)
        cache.flush()
    names = [name for run in runs for name in run]
    cache = VectorCache(folder, DIM)
    records = cache.find(digests(names))
    assert (records >= 0).all()
    np.testing.assert_array_equal(
        cache.vectors(records), np.array([vector(n) for n in names], np.float32).reshape(-1, DIM)
    )
    assert cache.contents(records).tolist() == [digest(f"content of {name}") for name in names]
    assert found(cache, absent)[0] == (absent in names)


def test_vectors_are_found_by_content(tmp_path):
    cache = VectorCache(tmp_path, DIM)
    put(cache, "a", "b")
    cache.flush()
    records = cache.find(digests(["content of b", "a"]), "content")
    assert records[1] == -1
    np.testing.assert_array_equal(cache.vectors(records), [vector("b"), [0, 0, 0]])


def test_a_full_shard_is_on_disk_before_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SHARD_ROWS", 2)
    cache = VectorCache(tmp_path, DIM)
    put(cache, "a", "b", "c")
    assert found(VectorCache(tmp_path, DIM), "a", "b", "c").tolist() == [True, True, False]


def test_a_slow_encoder_does_not_wait_for_a_full_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SHARD_SECONDS", 0.0)
    put(VectorCache(tmp_path, DIM), "a")
    assert found(VectorCache(tmp_path, DIM), "a").all()


def test_small_shards_are_merged(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MAX_SMALL_SHARDS", 4)
    early = VectorCache(tmp_path, DIM)
    names = [f"item {i}" for i in range(10)]
    cache = VectorCache(tmp_path, DIM)
    for name in names:
        put(cache, name)
        cache.flush()
        assert len(list(tmp_path.iterdir())) <= 4
        assert found(cache, *names[: names.index(name) + 1]).all()
    records = VectorCache(tmp_path, DIM).find(digests(names))
    np.testing.assert_array_equal(VectorCache(tmp_path, DIM).vectors(records), [vector(n) for n in names])
    assert not found(early, names[0])[0]


def test_merging_does_not_disturb_another_run(tmp_path, monkeypatch):
    put(first := VectorCache(tmp_path, DIM), "a")
    first.flush()
    other = VectorCache(tmp_path, DIM)
    monkeypatch.setattr(module, "_MAX_SMALL_SHARDS", 2)
    put(first, "b")
    first.flush()
    np.testing.assert_array_equal(other.vectors(other.find(digests(["a"]))), [vector("a")])


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_shard_is_dropped(tmp_path, keep):
    for name in ("a", "b"):
        put(cache := VectorCache(tmp_path, DIM), name)
        cache.flush()
    last = max(tmp_path.glob("*.npy"))
    last.write_bytes(last.read_bytes()[:keep])
    cache = VectorCache(tmp_path, DIM)
    assert found(cache, "a", "b").tolist() == [True, False]
    put(cache, "b")
    cache.flush()
    assert found(VectorCache(tmp_path, DIM), "a", "b").all()


def test_a_killed_run_loses_only_its_last_shard(tmp_path):
    code = """
import sys, numpy as np
from pathlib import Path
from recommender.encoders import cache as module
module._SHARD_ROWS, module._SMALL_SHARDS = 5, 3
cache = module.VectorCache(Path(sys.argv[1]), 3)
for i in range(10**6):
    cache.put(module.digest(str(i)), module.digest(str(i)), np.full(3, i, np.float32))
    print(i, flush=True)
"""
    for lines in (3, 23, 200):
        folder = tmp_path / str(lines)
        child = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
        for _ in range(lines):
            last = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        cache = VectorCache(folder, DIM)
        records = cache.find(digests([str(i) for i in range(last - 4)]))
        assert (records >= 0).all()
        np.testing.assert_array_equal(cache.vectors(records)[:, 0], np.arange(len(records)))


def test_cache_location(tmp_path, monkeypatch):
    monkeypatch.delenv("RECOMMENDER_CACHE", raising=False)
    assert cache_location() == Path.home() / ".cache" / "recommender"
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path))
    assert cache_location() == tmp_path
    assert cache_location("here") == Path("here")
