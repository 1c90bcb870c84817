"""Checkpoints: everything a training needs to resume, in one safetensors file that is replaced atomically."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from recommender.bundle.disk import fsync

Weights = dict[str, Tensor]

MIN_INTERVAL_SECONDS = 30.0  # between two checkpoints; longer where writing one is slow:
MIN_INTERVAL_RATIO = 50  # times the seconds that the last write took
ABANDONED_SECONDS = 7 * 86_400.0  # after which an interrupted training is taken for abandoned


class Checkpoint:
    """A file with the state of a training.

    Parameters
    ----------
    path
        Of the file; its folder is created when it is needed. With None nothing is saved.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._due = time.monotonic() + MIN_INTERVAL_SECONDS

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self.path is not None and time.monotonic() >= self._due

    @property
    def exists(self) -> bool:
        """Whether a state was saved, by this process or an earlier one."""
        return self.path is not None and self.path.is_file()

    def save(self, groups: Mapping[str, Weights], state: Mapping[str, Any]) -> None:
        """Replace the file atomically: killed at any moment, it holds all of the old or all of the new state.

        Parameters
        ----------
        groups
            Tensors by the names of their groups, which contain no "/".
        state
            Everything that is no tensor, as JSON values.
        """
        assert self.path is not None
        started = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{group}/{name}": w.contiguous() for group, named in groups.items() for name, w in named.items()
        }
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        save_file(tensors, temporary, {name: json.dumps(value) for name, value in state.items()})
        fsync(temporary)
        temporary.replace(self.path)
        fsync(self.path.parent)
        ended = time.monotonic()
        self._due = ended + max(MIN_INTERVAL_SECONDS, MIN_INTERVAL_RATIO * (ended - started))

    def load(self) -> tuple[dict[str, Weights], dict[str, Any]]:
        """Return the groups and the state that `save` wrote; a group without tensors is missing."""
        assert self.path is not None
        groups: dict[str, Weights] = {}
        with safe_open(self.path, "pt") as file:
            state = {name: json.loads(value) for name, value in file.metadata().items()}
            for key in file.keys():  # noqa: SIM118
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
        return groups, state


@contextmanager
def checkpoint_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder for checkpoints and remove it on success; remove abandoned folders beside it."""
    if folder.parent.is_dir():
        for other in folder.parent.iterdir():
            if other != folder and time.time() - other.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def trainable_state(model: nn.Module) -> Weights:
    """Return copies, on the CPU, of a model's state without its frozen parameters."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: w.cpu().clone() for name, w in model.state_dict().items() if name not in frozen}


def optimizer_state(optimizer: torch.optim.Optimizer) -> Weights:
    """Return the optimizer's moments of each parameter, on the CPU."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": torch.as_tensor(m).cpu()
        for index, moments in state.items()
        for key, m in moments.items()
    }


def load_optimizer_state(optimizer: torch.optim.Optimizer, saved: Weights) -> None:
    """Restore what `optimizer_state` returned."""
    state: dict[int, dict[str, Any]] = {}
    for name, moment in saved.items():
        index, key = name.split(".", 1)
        is_count = moment.ndim == 0 and not moment.is_floating_point()  # as `SparseAdam` counts its steps
        state.setdefault(int(index), {})[key] = moment.item() if is_count else moment
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
