"""Bundles at a URL: publishers of which one wins, and verified local copies that a crash leaves whole."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import pytest

import recommender
from recommender.bundle import (
    Staging,
    current,
    generations,
    lineage_of,
    local_copy,
    open_bundle,
    prune,
    pull,
    remote,
    rollback,
)
from recommender.bundle.generations import published
from recommender.bundle.remote import Remote
from recommender.errors import BundleError
from tests.made_bundles import DemoProduct, draw_product, publish_products
from tests.object_store import ENVIRONMENT, new_bucket, s3_server


@pytest.fixture(scope="module")
def _s3() -> Iterator[str]:
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        yield address


@pytest.fixture
def memory() -> str:
    return f"memory://{uuid4().hex}/bundles"


@pytest.fixture(params=["s3", "memory"])
def url(request: pytest.FixtureRequest) -> str:
    return (
        new_bucket() if request.param == "s3" and request.getfixturevalue("_s3") else f"memory://{uuid4().hex}/x"
    )


def publish(root: Path, value: float, *, update: bool = False) -> str:
    """Publish a fit whose base, or an update whose part `changes`, has a value."""
    parent = open_bundle(root) if update else None
    with Staging(root) as staging:
        folder = staging.part("changes" if update else "base") / "deep"
        folder.mkdir()
        np.save(folder / "value.npy", np.full(3, value, np.float32))
        fields = {"n": 1, "blocks": {"text": 1}} | ({} if parent is None else parent.manifest.to_dict())
        return staging.publish(fields, parent, ["base"])


def value_of(root: Path, generation: str | None = None) -> float:
    bundle = open_bundle(root, generation, verify=True)
    try:
        part = "changes" if "changes" in bundle.manifest.parts else "base"
        return float(bundle.array(part, "deep/value.npy")[0])
    finally:
        bundle.close()


def parts_in(root: Path) -> set[str]:
    return {folder.name for folder in (root / "parts").iterdir()}


def test_what_one_publishes_another_opens(url: str, tmp_path: Path) -> None:
    publisher, replica = local_copy(url, tmp_path / "a"), local_copy(url, tmp_path / "b")
    with pytest.raises(BundleError, match="no bundle"):
        open_bundle(replica)
    first = publish(publisher, 1.0)
    assert published(replica) is None
    pull(replica)
    assert (current(replica), value_of(replica)) == (first, 1.0)
    second = publish(publisher, 2.0, update=True)
    pull(replica)
    assert (current(replica), value_of(replica)) == (second, 2.0)
    assert [each.generation for each in generations(replica)] == [first, second]
    assert lineage_of(replica, second).previous == first
    assert local_copy(url, tmp_path / "b") == replica


def test_a_folder_is_its_own_copy(tmp_path: Path) -> None:
    publish(tmp_path, 1.0)
    before = sorted(tmp_path.rglob("*"))
    assert local_copy(tmp_path) == local_copy(str(tmp_path)) == tmp_path
    pull(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def at_once(monkeypatch: pytest.MonkeyPatch, publishers: int) -> None:
    """Let publishers wait for each other, the first time, after they looked what is current."""
    meet, make_current = Barrier(publishers), Remote.make_current

    def late(self: Remote, generation: str, number: int) -> bool:
        try:
            meet.wait(5)
        except BrokenBarrierError:
            pass
        else:
            meet.abort()
        return make_current(self, generation, number)

    monkeypatch.setattr(Remote, "make_current", late)


def test_of_two_updates_at_once_one_is_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = publish(local_copy(url, tmp_path / "a"), 0.0)
    copies = [local_copy(url, tmp_path / name) for name in ("a", "b")]
    at_once(monkeypatch, 2)
    with ThreadPoolExecutor(2) as pool:
        tries = [
            pool.submit(publish, copy, value, update=True) for copy, value in zip(copies, (1.0, 2.0), strict=True)
        ]
    refused = [each.exception() for each in tries if each.exception() is not None]
    (won,) = [each.result() for each in tries if each.exception() is None]
    assert [str(error) for error in refused] == [f"{won} was published meanwhile; open it and publish again"]
    for copy in copies:
        pull(copy)
        assert current(copy) == won
        assert [each.generation for each in generations(copy)] == [first, won]


def test_fits_at_once_are_published_one_after_the_other(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = [local_copy(url, tmp_path / str(n)) for n in range(3)]
    at_once(monkeypatch, 3)
    with ThreadPoolExecutor(3) as pool:
        done = {*pool.map(publish, copies, [1.0, 2.0, 3.0])}
    assert len(done) == 3
    pull(copies[0])
    chain, name = [], current(copies[0])
    while name is not None:
        chain.append(name)
        name = lineage_of(copies[0], name).previous  # type: ignore[assignment]
    assert {*chain} == done
    assert chain == sorted(done, reverse=True)


def test_a_rollback_counts_for_all(memory: str, tmp_path: Path) -> None:
    one, other = local_copy(memory, tmp_path / "a"), local_copy(memory, tmp_path / "b")
    first, second = publish(one, 1.0), publish(one, 2.0)
    pull(other)
    assert parts_in(other) < parts_in(one)
    assert rollback(other) == first
    assert (published(other), current(other)) == (first, second)  # the parts are not here yet
    for copy in (one, other):
        pull(copy)
        assert (current(copy), value_of(copy)) == (first, 1.0)
    third = publish(one, 3.0)
    assert lineage_of(one, third).previous == first
    assert rollback(other, second) == second
    pull(one)
    assert current(one) == second


def test_an_old_generation_is_opened_by_its_name(memory: str, tmp_path: Path) -> None:
    publisher = local_copy(memory, tmp_path / "a")
    names = [publish(publisher, value) for value in (1.0, 2.0, 3.0)]
    replica = local_copy(memory, tmp_path / "b")
    assert len(parts_in(replica)) == 1
    assert [value_of(replica, name) for name in names] == [1.0, 2.0, 3.0]


def test_a_listing_needs_no_parts(memory: str, tmp_path: Path) -> None:
    names = [publish(local_copy(memory, tmp_path / "a"), value) for value in (1.0, 2.0)]
    listed = local_copy(memory, tmp_path / "b", parts=False)
    assert [each.generation for each in generations(listed)] == names
    assert (published(listed), parts_in(listed)) == (names[1], set())


@pytest.mark.parametrize("failing", range(3))
def test_an_interrupted_copy_leaves_the_old_generation_in_service(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    publisher, replica = local_copy(memory, tmp_path / "a"), local_copy(memory, tmp_path / "b")
    first = publish(publisher, 1.0)
    pull(replica)
    second = publish(publisher, 2.0)
    download, staged = Remote.download, []

    def interrupted(self: Remote, folder: Path, part: dict[str, object]) -> None:
        download(self, folder, part)
        staged.append(folder)
        file = folder / "deep" / "value.npy"
        if failing == 0:
            raise KeyboardInterrupt
        file.write_bytes(file.read_bytes()[:-1] + (b"" if failing == 1 else b"\x01"))

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "download", interrupted)
        with pytest.raises(KeyboardInterrupt if failing == 0 else BundleError):
            pull(replica)
    assert staged
    assert (current(replica), value_of(replica)) == (first, 1.0)
    assert not [*(replica / ".staging").iterdir()]
    pull(replica)
    assert (current(replica), value_of(replica)) == (second, 2.0)


def test_a_copy_without_its_store_stays_in_service(memory: str, tmp_path: Path) -> None:
    name = publish(local_copy(memory, tmp_path), 1.0)
    fs, path = fsspec.url_to_fs(memory)
    fs.rm(path, recursive=True)
    with pytest.raises(BundleError, match=r"nothing is published in .* any more"):
        local_copy(memory, tmp_path)
    assert current(local_copy(memory, tmp_path, offline=True)) == name
    with pytest.raises(BundleError, match="any more"):
        publish(local_copy(memory, tmp_path, offline=True), 2.0)


def test_a_copy_holds_the_generation_before_and_what_is_open(memory: str, tmp_path: Path) -> None:
    publisher, replica = local_copy(memory, tmp_path / "a"), local_copy(memory, tmp_path / "b")
    names, opened = [], None
    for value in range(5):
        names.append(publish(publisher, float(value)))
        pull(replica)
        opened = opened or open_bundle(replica)
    assert len(parts_in(replica)) == 3
    assert value_of(replica, names[0]) == 0.0
    assert opened is not None
    opened.close()
    pull(replica)
    assert len(parts_in(replica)) == 2
    assert len(parts_in(publisher)) == 5
    pull(publisher)
    assert len(parts_in(publisher)) == 2


def test_a_pruned_generation_is_gone_everywhere_and_its_parts_later(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = local_copy(url, tmp_path / "a"), local_copy(url, tmp_path / "b")
    names = [publish(one, float(value)) for value in range(4)]
    pull(other)
    fs, path = fsspec.url_to_fs(url)

    def parts() -> int:
        fs.invalidate_cache()
        return len(fs.ls(f"{path}/parts"))

    assert prune(other, keep=2) == names[:2]
    assert parts() == 4
    prune(other, keep=2)
    assert parts() == 4  # they may be of an upload under way
    monkeypatch.setattr(remote, "UPLOAD_TIME", timedelta(0))
    prune(other, keep=2)
    assert parts() == 2
    pull(one)
    assert [each.generation for each in generations(one)] == names[2:]
    assert value_of(one) == 3.0
    again = publish(one, 0.0)  # parts that were removed are uploaded again
    pull(other)
    assert (current(other), value_of(other)) == (again, 0.0)


def test_parts_that_vanish_during_a_publication_refuse_it(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = local_copy(memory, tmp_path)
    first = publish(copy, 1.0)
    monkeypatch.setattr(Remote, "upload", lambda self, folder, part: None)
    with pytest.raises(BundleError, match=r"value\.npy is missing or incomplete"):
        publish(copy, 2.0)
    monkeypatch.undo()
    pull(copy)
    assert [each.generation for each in generations(copy)] == [current(copy)] == [first]


def test_a_folder_that_was_copied_into_the_store_is_served(url: str, tmp_path: Path) -> None:
    name = publish(tmp_path / "bundles", 1.0)
    fs, path = fsspec.url_to_fs(url)
    for file in (tmp_path / "bundles").rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            fs.put_file(str(file), f"{path}/{file.relative_to(tmp_path / 'bundles')}")
    copy = local_copy(url, tmp_path / "cache")
    assert (current(copy), value_of(copy)) == (name, 1.0)
    second = publish(copy, 2.0, update=True)
    assert lineage_of(copy, second).previous == name
    assert current(local_copy(url, tmp_path / "other")) == second


@pytest.mark.parametrize("content", [b"../../evil\n", b"", b"\xff"])
def test_what_is_no_name_of_a_generation_is_refused(memory: str, tmp_path: Path, content: bytes) -> None:
    fs, path = fsspec.url_to_fs(memory)
    fs.pipe_file(f"{path}/current/00000001", content)
    with pytest.raises(BundleError, match="has no name of a generation"):
        local_copy(memory, tmp_path)


def test_a_changed_manifest_is_refused(memory: str, tmp_path: Path) -> None:
    name = publish(local_copy(memory, tmp_path / "a"), 1.0)
    fs, path = fsspec.url_to_fs(memory)
    manifest = json.loads(fs.cat_file(f"{path}/generations/{name}.json"))
    fs.pipe_file(f"{path}/generations/{name}.json", json.dumps({**manifest, "n": 2}).encode())
    with pytest.raises(BundleError, match="changed since"):
        local_copy(memory, tmp_path / "b")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s4://shop/bundles", "s4://shop/bundles cannot be used: Protocol not known"),
        (
            "s3://no-such-bucket-here/bundles",
            "no bundle in s3://no-such-bucket-here/bundles .*fit --out s3://no-such",
        ),
    ],
)
@pytest.mark.usefixtures("_s3")
def test_a_url_that_cannot_be_used_says_so(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        open_bundle(local_copy(url, tmp_path))


@pytest.mark.usefixtures("_s3")
def test_a_bucket_that_is_missing_is_not_published_to(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"s3://no-such-bucket-here/bundles cannot be used: .*bucket"):
        publish(local_copy("s3://no-such-bucket-here/bundles", tmp_path), 1.0)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(BundleError, match=r"pip install 'hybrid-recommender\[s3\]'"):
        local_copy("s3://shop/bundles", tmp_path)


def test_a_lost_copy_is_made_anew(memory: str, tmp_path: Path) -> None:
    name = publish(local_copy(memory, tmp_path), 1.0)
    shutil.rmtree(tmp_path)
    assert current(local_copy(memory, tmp_path)) == name


def run(*arguments: str) -> dict[str, object]:
    from typer.testing import CliRunner

    from recommender.cli import app

    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_commands_and_load_take_a_url(memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    products: list[DemoProduct] = []
    for n in range(20):
        products.append(draw_product(generator, f"P{n:02}", [each.item_id for each in products]))
    names = [publish_products(local_copy(memory), products[:size]) for size in (19, 20)]
    rec = recommender.load(memory)
    assert (rec.generation, len(rec)) == (names[1], 20)
    assert len(recommender.load(memory, generation=names[0])) == 19
    assert run("similar", memory, "P00", "-k", "3")["items"]

    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / "another"))
    listed: Any = run("bundles", "list", memory)["generations"]
    assert [(each["generation"], each["current"]) for each in listed] == [(names[0], False), (names[1], True)]
    assert run("bundles", "rollback", memory) == {"generation": names[0]}
    assert parts_in(local_copy(memory, parts=False)) == set()
    assert recommender.load(memory).generation == names[0]
    assert run("bundles", "prune", memory, "--keep", "1") == {"removed": []}  # the newest, and the current one
