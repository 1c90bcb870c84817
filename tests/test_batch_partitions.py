"""Partitions concatenate to the single file, also after interruptions and on several processes."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommender
from recommender.batch import Job, by_user, is_folder, read_histories, write_partitions, write_similar, write_users
from recommender.batch.folder import Partition
from recommender.batch.histories import tables_of_events, tables_of_file
from recommender.batch.jobs import in_process
from recommender.catalog import DataReport, read_events
from recommender.catalog.event_files import event_table
from recommender.catalog.files.tables import read_parts, read_table
from recommender.config import EventsConfig
from recommender.errors import DataError, RequestError
from recommender.events import Event
from tests.made_bundles import draw_product, publish_products

DAY = datetime(2026, 1, 1, tzinfo=UTC)
K = 3


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 products, many of them duplicates: ties show the order."""
    generator = np.random.default_rng(0)
    ids = [f"{number:03}" for number in range(60)]
    root = tmp_path_factory.mktemp("made") / "bundles"
    publish_products(root, [draw_product(generator, item_id, ids) for item_id in ids])
    return root


@pytest.fixture(scope="module")
def events() -> list[Event]:
    generator = np.random.default_rng(1)
    return [
        Event(
            f"{generator.integers(70):03}",  # some are of no product
            "view_item",
            DAY + timedelta(hours=int(generator.integers(50))),
            f"u{generator.integers(40)}" if generator.random() < 0.9 else "",
        )
        for _ in range(300)
    ]


@pytest.fixture(params=["similar", "user"])
def job(request: pytest.FixtureRequest, bundles: Path, tmp_path: Path) -> Job:
    generation = recommender.load(bundles).generation
    return Job(str(bundles), generation, request.param, str(tmp_path / "recs"), K, {"filter": "price < 25"}, 7)


@pytest.fixture
def whole(job: Job, events: list[Event], tmp_path: Path) -> pd.DataFrame:
    """The one file."""
    rec, out = recommender.load(job.bundles), tmp_path / "whole.parquet"
    if job.kind == "similar":
        write_similar(rec, out, K, **(job.options or {}))
    else:
        write_users(rec, by_user(events), out, K, **(job.options or {}))
    return pd.read_parquet(out)


def parts(job: Job) -> list[Path]:
    return sorted(Path(job.out).glob("part-*.parquet"))


def concatenated(job: Job) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in parts(job)], ignore_index=True)


def manifest(job: Job) -> dict[str, Any]:
    return json.loads((Path(job.out) / "_manifest.json").read_text())


def test_partitions_concatenate_to_the_single_file(job: Job, events: list[Event], whole: pd.DataFrame) -> None:
    rows = write_partitions(job, tables_of_events(events))
    pd.testing.assert_frame_equal(concatenated(job), whole)
    seeds = [pd.read_parquet(path).iloc[:, 0].nunique() for path in parts(job)]
    assert set(seeds[:-1]) == {7}
    assert 0 < seeds[-1] <= 7
    written = manifest(job)
    assert written["complete"]
    assert rows == written["rows"] == len(whole) == sum(written["finished"].values())
    assert written["partitions"] == len(seeds)
    assert written["job"]["generation"] == job.generation
    assert sorted(path.name for path in Path(job.out).iterdir()) == ["_manifest.json", *written["finished"]]


def test_finished_partitions_are_not_computed_again(job: Job, events: list[Event], whole: pd.DataFrame) -> None:
    def stopped(job: Job, names: list[str]) -> Iterator[Partition]:
        yield from in_process(job, names[:2])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_partitions(job, tables_of_events(events), stopped)
    assert not manifest(job)["complete"]
    done: list[str] = []

    def watched(job: Job, names: list[str]) -> Iterator[Partition]:
        done.extend(names)
        return in_process(job, names)

    # what has come in since is of the next job: the histories are as they were read
    write_partitions(replace(job), tables_of_events([Event("001", "view_item", DAY, "late")]), watched)
    assert done == [path.name for path in parts(job)[2:]]
    pd.testing.assert_frame_equal(concatenated(job), whole)
    done.clear()
    assert write_partitions(replace(job), (), watched) == len(whole)
    assert done == []


@pytest.mark.parametrize("change", [{"k": 4}, {"size": 8}, {"options": {}}, {"generation": "other"}])
def test_the_results_of_another_job_are_not_overwritten(
    job: Job, events: list[Event], change: dict[str, Any]
) -> None:
    write_partitions(job, tables_of_events(events))
    before = manifest(job)
    with pytest.raises(RequestError, match=r"another job.*name another folder"):
        write_partitions(replace(job, **change), tables_of_events(events))
    assert manifest(job) == before


def test_unreadable_events_start_no_job(job: Job, events: list[Event], whole: pd.DataFrame) -> None:
    if job.kind == "similar":
        pytest.skip("reads no events")

    def broken() -> Iterator[pa.Table]:
        yield from tables_of_events(events[:5])
        raise DataError("half a file")

    with pytest.raises(DataError, match="half a file"):
        write_partitions(replace(job, source="wrong.csv"), broken())
    write_partitions(replace(job, source="right.csv"), tables_of_events(events))
    pd.testing.assert_frame_equal(concatenated(job), whole)


def test_partitions_without_a_manifest_are_refused(job: Job) -> None:
    Path(job.out).mkdir()
    (Path(job.out) / "part-00000.parquet").write_bytes(b"")
    with pytest.raises(RequestError, match=r"no _manifest\.json"):
        write_partitions(job)


def test_a_killed_job_resumes(job: Job, events: list[Event], whole: pd.DataFrame) -> None:
    log = Path(job.out).parent / "events.parquet"
    pq.write_table(pa.concat_tables(tables_of_events(events)), log)
    code = f"""
import os, signal
from pathlib import Path
from recommender.batch import Job, tables_of_file, write_partitions
from recommender.batch.jobs import in_process
from recommender.config import EventsConfig
def killed(job, names):
    yield from in_process(job, names[:3])
    os.kill(os.getpid(), signal.SIGKILL)
path = Path({str(log)!r})
write_partitions({job!r}, tables_of_file(path, EventsConfig(path=path)), killed)
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert 2 <= len(manifest(job)["finished"]) <= 3
    write_partitions(job)
    pd.testing.assert_frame_equal(concatenated(job), whole)


def test_any_fsspec_file_system(job: Job, events: list[Event], whole: pd.DataFrame) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = replace(job, out=f"memory://{job.kind}/recs")
    write_partitions(memory, tables_of_events(events))
    files = fsspec.filesystem("memory")
    names = sorted(name for name in files.ls(f"/{job.kind}/recs", detail=False) if "part-" in name)
    frames = []
    for name in names:
        with files.open(name) as file:
            frames.append(pd.read_parquet(file))
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), whole)


def test_an_unknown_file_system_is_a_one_line_error(job: Job) -> None:
    with pytest.raises(RequestError, match="nosuch"):
        write_partitions(replace(job, out="nosuch://bucket/recs"))


def test_folders_and_files_are_distinguished(tmp_path: Path) -> None:
    assert [out for out in ("recs", "recs/", "s3://b/recs", "a.b/recs") if not is_folder(out)] == []
    assert [out for out in ("recs.parquet", "recs.xlsx", "s3://b/r.csv") if is_folder(out)] == []
    (tmp_path / "2026.11").mkdir()
    assert is_folder(str(tmp_path / "2026.11"))


moments = st.integers(0, 5).map(lambda hours: DAY + timedelta(hours=hours))
some_events = st.lists(
    st.builds(
        Event, st.sampled_from("abc"), st.just("view_item"), moments, st.sampled_from(["", "u", "v", "é", "V"])
    )
)


@settings(max_examples=20, deadline=None)
@given(some_events)
def test_sorted_streams_are_the_histories(events: list[Event]) -> None:
    read = dict(read_histories(tables_of_events(events)))
    assert list(read) == sorted(read)
    assert read == by_user(events)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_file_read_in_parts_is_the_file(
    tmp_path: Path, events: list[Event], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"events{suffix}"
    frame = pa.concat_tables(tables_of_events(events)).to_pandas().astype({"timestamp": str})
    if suffix == ".csv":
        lines = frame.to_csv(index=False).splitlines(keepends=True)
        lines[100:100] = ["one cell too many,,,,,\n", '"a\nb",001,view_item,2026-01-01,\n', "\n"]
        path.write_text("".join(lines))
    elif suffix == ".jsonl":
        lines = frame.to_json(orient="records", lines=True).splitlines(keepends=True)
        path.write_text("".join([*lines[:70], "no json\n", *lines[70:]]))
    else:
        frame.to_parquet(path)
    config, whole, apart = EventsConfig(path=path), DataReport(), DataReport()
    one = event_table(read_table(path, whole), config, whole)
    monkeypatch.setattr("recommender.catalog.files.parquet_files._ROWS", 50)
    monkeypatch.setattr("recommender.catalog.files.encodings.BLOCK", 2000)
    many = [event_table(table, config, apart) for table in read_parts(path, apart)]
    assert len(many) > 2
    pd.testing.assert_frame_equal(pd.concat([table.frame for table in many], ignore_index=True), one.frame)
    assert np.concatenate([table.rows for table in many]).tolist() == one.rows.tolist()
    assert sorted(apart.lines()) == sorted(whole.lines())
    assert dict(read_histories(tables_of_file(path, config))).keys() == by_user(read_events(path, config)).keys()
