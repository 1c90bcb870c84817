"""Rollbacks: each gives back what was there before a whole update, however many generations that made."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.bundle import Staging, current, generations, lineage_of, open_bundle, prune, rollback
from recommender.bundle.lineage import Lineage
from recommender.errors import BundleError


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@dataclass
class Change:
    """A fit or an update of the model: what it published, and what was current before."""

    value: float
    previous: str | None


def publish(root: Path, value: float, kind: str = "fit") -> str:
    """Publish a fit, an update of the current generation, or a compaction of it."""
    parent = None if kind == "fit" else open_bundle(root)
    with Staging(root) as staging:
        part, reuse = ("changes", ["base"]) if kind == "update" else ("base", [])
        np.save(staging.part(part) / "vectors.npy", np.full((1, 1), value, np.float32))
        fields = {"n": 1, "blocks": {"text": 1}} | ({} if parent is None else parent.manifest.to_dict())
        return staging.publish(fields, parent, reuse, compaction=kind == "compaction")


def value_of(root: Path) -> float:
    bundle = open_bundle(root)
    part = "changes" if "changes" in bundle.manifest.parts else "base"
    return float(bundle.array(part, "vectors.npy")[0, 0])


STEPS = st.lists(
    st.sampled_from(["fit", "update", "update", "compaction", "rollback", "rollback", "name", "prune"]),
    max_size=14,
)


@given(STEPS, st.randoms(use_true_random=False), st.integers(1, 3))
def test_each_rollback_is_the_state_before_that_update(steps: list[str], random: Random, keep: int) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        changes = {publish(root, 0.0): Change(0.0, None)}
        for number, step in enumerate(steps, 1):
            now = current(root)
            change = changes[now]
            names = [manifest.generation for manifest in generations(root)]
            if step in ("fit", "update"):
                changes[publish(root, float(number), step)] = Change(float(number), now)
            elif step == "compaction":
                changes[publish(root, change.value, step)] = change
            elif step == "name":
                name = random.choice(names)
                assert rollback(root, name) == name
            elif step == "prune":
                prune(root, keep)
                assert now in names
            elif change.previous in names:
                assert rollback(root) == change.previous
            else:
                message = "oldest" if change.previous is None else "was pruned"
                with pytest.raises(BundleError, match=message):
                    rollback(root)
                assert current(root) == now
            assert value_of(root) == changes[current(root)].value
        prune(root, keep)
        for _ in range(keep - 1):
            previous = changes[current(root)].previous
            if previous is None or not (root / "generations" / f"{previous}.json").exists():
                break
            assert rollback(root) == previous


@given(st.lists(st.sampled_from(["update", "compaction", "rollback"]), max_size=8), st.integers(2, 4))
def test_pruning_leaves_the_generations_that_rollbacks_need(steps: list[str], keep: int) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        changes = {publish(root, 0.0): Change(0.0, None)}
        for number, step in enumerate(steps, 1):
            now = current(root)
            if step != "rollback":
                made = changes[now] if step == "compaction" else Change(float(number), now)
                changes[publish(root, made.value, step)] = made
            elif changes[now].previous is not None:
                rollback(root)
        prune(root, keep)
        for _ in range(keep - 1):
            if (previous := changes[current(root)].previous) is not None:
                assert rollback(root) == previous
                assert value_of(root) == changes[previous].value


def test_an_update_that_was_compacted_counts_as_one_generation(tmp_path: Path) -> None:
    first, delta = publish(tmp_path, 1.0), publish(tmp_path, 2.0, "update")
    compacted = publish(tmp_path, 2.0, "compaction")
    assert lineage_of(tmp_path, delta) == Lineage(first)
    assert lineage_of(tmp_path, compacted) == Lineage(first, delta)
    assert prune(tmp_path, 2) == [delta]
    assert rollback(tmp_path) == first


def test_generations_without_a_record_go_back_to_the_next_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("recommender.bundle.publish.LINEAGE", "unknown")
        names = [publish(tmp_path, value) for value in (1.0, 2.0)]
    names.append(publish(tmp_path, 3.0, "update"))
    assert [rollback(tmp_path) for _ in range(2)] == [names[1], names[0]]
    with pytest.raises(BundleError, match="oldest"):
        rollback(tmp_path)


def test_an_update_has_the_revision_of_the_generation_before_or_a_newer_one_and_a_fit_its_own(
    tmp_path: Path,
) -> None:
    steps = [("fit", 0), ("update", 7), ("update", 0), ("update", 3), ("update", 9), ("fit", 0), ("fit", 5)]
    for value, (kind, revision) in enumerate(steps):
        parent = None if kind == "fit" else open_bundle(tmp_path)
        with Staging(tmp_path) as staging:
            np.save(staging.part("base") / "vectors.npy", np.full((1, 1), value, np.float32))
            staging.publish({"n": 1, "blocks": {"text": 1}}, parent, overlay_revision=revision)
    revisions = [lineage_of(tmp_path, each.generation).overlay_revision for each in generations(tmp_path)]
    assert revisions == [0, 7, 7, 7, 9, 0, 5]
