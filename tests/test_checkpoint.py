"""An interrupted training resumes, and ends with the same result as an uninterrupted one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from recommender.config import Config
from recommender.demo.shop import Shop
from training import checkpoint
from training.behaviour.ensemble import EnsembleMember
from training.checkpoint import (
    ABANDONED_SECONDS,
    Checkpoint,
    checkpoint_folder,
    load_optimizer_state,
    optimizer_state,
    trainable_state,
)
from training.fit import fit

CHILD = """
import logging, sys
from pathlib import Path
import numpy as np, pandas as pd, torch
import training.behaviour.train, training.checkpoint
from recommender.catalog import Catalog, Interactions
from training.behaviour.sequence_model import ItemContent
from training.behaviour.sequences import Sequences

logging.basicConfig(level=logging.INFO)
torch.set_num_threads(1)
training.checkpoint.MIN_INTERVAL_SECONDS = training.checkpoint.MIN_INTERVAL_RATIO = 0
training.behaviour.train.MIN_STEPS = 80
training.behaviour.sequence_model.MAX_DENSE_ROWS = {dense}
shop = Catalog.from_frame(pd.DataFrame({{"id": [f"p{{i:02}}" for i in range(40)], "title": "t"}}))
generator = np.random.default_rng(0)
days = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(1_500), "D")
users = [f"u{{i}}" for i in generator.integers(0, 300, 1_500)]
items = [shop.ids[i] for i in generator.integers(0, 40, 1_500)]
events = pd.DataFrame({{"user_id": users, "item_id": items, "event_name": "purchase", "timestamp": days}})
content = generator.normal(size=(40, 3)).astype(np.float32)
found = training.behaviour.train.train_sequence_models(
    Sequences.of(Interactions.from_frame(events, shop)), ItemContent.of(content, None, 0), 7,
    validate=lambda behaviour: -abs(behaviour.share - 0.8), folder=Path({folder!r}))
np.savez({out!r}, vectors=found.vectors, matrix=found.predictor.matrix, table=found.predictor.table,
    tower=np.frombuffer(found.tower.model, np.uint8), share=found.share, loss=found.metrics["loss"],
    scores=[check["soft_recall"] for check in found.metrics["validation"]])
"""


def child(folder: Path, out: Path, dense: int) -> "subprocess.Popen[str]":
    code = CHILD.format(folder=str(folder), out=str(out), dense=dense)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def checks_of(path: Path) -> int:
    """Return the number of validation checks in a checkpoint, which may be replaced while it is read."""
    link = path.with_suffix(".read")
    link.unlink(missing_ok=True)
    link.hardlink_to(path)
    return len(Checkpoint(link).load()[1]["checks"])


def kill_once(running: "subprocess.Popen[str]", folder: Path, checks: int) -> None:
    """Kill -9 as soon as the checkpoint has so many validation checks."""
    deadline = time.monotonic() + 120
    while not any(checks_of(path) >= checks for path in folder.glob("*.safetensors")):
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("dense", [100, 10], ids=["small shop", "large shop"])
def test_behaviour_training_survives_kill_9_at_any_moment(tmp_path: Path, dense: int) -> None:
    folder, out, whole = tmp_path / "killed", tmp_path / "killed.npz", tmp_path / "whole.npz"
    kill_once(child(folder, out, dense), folder, checks=0)
    kill_once(child(folder, out, dense), folder, checks=2)
    assert not out.exists()
    last = child(folder, out, dense)
    log = last.communicate()[1]
    assert last.returncode == 0
    step, stop = map(int, log.split("resuming from step ")[1].split()[0:3:2])
    assert stop / 5 <= step < stop, "after the second check, and before the end"
    assert child(tmp_path / "whole", whole, dense).communicate() is not None
    first, second = np.load(out), np.load(whole)
    assert 0.7 < first["share"] < 0.9, "the best is neither where it was killed nor the last"
    for name in second.files:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    again = child(folder, tmp_path / "again.npz", dense).communicate()[1]
    assert f"resuming from step {stop} of {stop}" in again, "what had ended is not repeated"


@pytest.mark.slow
def test_a_fit_resumes_in_the_interrupted_stage(
    tmp_path: Path, demo_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.behaviour.train.EPOCHS", 2)
    monkeypatch.setattr("training.behaviour.train.MIN_STEPS", 20)
    monkeypatch.setattr("training.behaviour.train.PATIENCE", 100)
    monkeypatch.setattr("training.behaviour.train.ROUND", 1)
    monkeypatch.setattr(checkpoint, "MIN_INTERVAL_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "MIN_INTERVAL_RATIO", 0)
    pd.DataFrame({"id": [f"p{i:02}" for i in range(50)], "title": "t"}).to_csv(tmp_path / "products.csv")
    generator = np.random.default_rng(0)
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(900), "h")
    columns = {"item_id": [f"p{i:02}" for i in generator.integers(0, 50, 900)], "event_name": "purchase"}
    users = [f"u{i}" for i in generator.integers(0, 90, 900)]
    pd.DataFrame({"user_id": users, **columns, "timestamp": days}).to_csv(tmp_path / "events.csv")
    tables = {"catalog": {"path": tmp_path / "products.csv"}, "events": {"path": tmp_path / "events.csv"}}
    config = Config.model_validate(tables | {"encoder": {"name": "offline"}})
    step, taken, last = EnsembleMember.step, [0], [0]

    def counted(member: EnsembleMember) -> None:
        if taken[0] == last[0]:
            raise KeyboardInterrupt
        taken[0] += 1
        step(member)

    monkeypatch.setattr(EnsembleMember, "step", counted)

    def steps(most: int = 1_000_000) -> int:
        taken[0], last[0] = 0, most
        fit(config, tmp_path / "bundles", cache_dir=tmp_path / "cache")
        return taken[0]

    for most in (12, 51):  # the first training has 60 steps: it is stopped there, then after one of the refit
        with pytest.raises(KeyboardInterrupt):
            steps(most)
    rest = steps()
    assert not [*(tmp_path / "cache" / "checkpoints").iterdir()], "checkpoints of finished trainings are removed"
    assert 12 + 51 + rest == steps(), "and starts again"


def test_a_checkpoint_round_trips(tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path / "folder" / "it.safetensors")
    assert not saved.exists
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model[0].bias.requires_grad = False
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    groups = {"model": trainable_state(model), "optimizer": optimizer_state(optimizer), "none": {}}
    saved.save(groups, {"step": 3, "state": {"large": 2**127}, "figure": 0.1})
    found, state = Checkpoint(saved.path).load()
    assert state == {"step": 3, "state": {"large": 2**127}, "figure": 0.1}
    assert set(found) == {"model", "optimizer"}
    assert set(found["model"]) == {"0.weight", "1.weight", "1.bias"}
    other = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    load_optimizer_state(other, found["optimizer"])
    torch.testing.assert_close(optimizer_state(other), optimizer_state(optimizer), rtol=0, atol=0)
    assert [path.name for path in saved.path.parent.iterdir()] == ["it.safetensors"]


def test_checkpoints_take_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "fsync", lambda _: now.__setitem__(0, now[0] + 2.0))  # a slow disk
    saved = Checkpoint(tmp_path / "it.safetensors")
    assert not saved.due
    now[0] = 31.0
    assert saved.due
    saved.save({"now": {"w": torch.ones(1)}}, {})
    now[0] += 100.0
    assert not saved.due, "it took four seconds"
    now[0] += 100.0
    assert saved.due
    assert not Checkpoint(None).due


def test_abandoned_checkpoints_are_removed_after_a_week(tmp_path: Path) -> None:
    for name in ("old", "new", "current"):
        (tmp_path / name).mkdir()
    for name in ("old", "current"):
        long_ago = time.time() - ABANDONED_SECONDS - 1
        os.utime(tmp_path / name, (long_ago, long_ago))
    with checkpoint_folder(tmp_path / "current") as folder:
        assert folder.is_dir()
        assert not (tmp_path / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    with pytest.raises(ZeroDivisionError), checkpoint_folder(tmp_path / "new"):
        raise ZeroDivisionError
    assert (tmp_path / "new").is_dir()
