"""All that a training needs to go on where it stopped, in one file that is replaced in one step; no pickle."""

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

SECONDS = 30.0  # between two checkpoints, and more where one takes long to write:
LEAST_TIMES = 50  # so many times as long
LEFT_SECONDS = 7 * 86_400.0  # after which nobody will go on with a training


class Checkpoint:
    """A file that holds how far a training is.

    Parameters
    ----------
    path
        Its folder is made when it is needed; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._due = time.monotonic() + SECONDS

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self.path is not None and time.monotonic() >= self._due

    @property
    def there(self) -> bool:
        """Whether something was saved, by this process or one before."""
        return self.path is not None and self.path.is_file()

    def save(self, groups: Mapping[str, Weights], stated: Mapping[str, Any]) -> None:
        """Write everything; killed at any moment, the file holds all of the old or all of the new.

        Parameters
        ----------
        groups
            Tensors by the names of their groups, which hold no "/".
        stated
            What else there is to remember, as JSON has it.
        """
        assert self.path is not None
        started = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{group}/{name}": w.contiguous() for group, named in groups.items() for name, w in named.items()
        }
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        save_file(tensors, temporary, {name: json.dumps(value) for name, value in stated.items()})
        fsync(temporary)
        temporary.replace(self.path)
        fsync(self.path.parent)
        ended = time.monotonic()
        self._due = ended + max(SECONDS, LEAST_TIMES * (ended - started))

    def load(self) -> tuple[dict[str, Weights], dict[str, Any]]:
        """Return what `save` wrote; a group without tensors is missing."""
        assert self.path is not None
        groups: dict[str, Weights] = {}
        with safe_open(self.path, "pt") as file:
            stated = {name: json.loads(value) for name, value in file.metadata().items()}
            for key in file.keys():  # noqa: SIM118
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
        return groups, stated


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """Lend a folder for checkpoints, removed when all went well; those beside it are removed a week later."""
    if folder.parent.is_dir():
        for other in folder.parent.iterdir():
            if other != folder and time.time() - other.stat().st_mtime > LEFT_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def learned_weights(model: nn.Module) -> Weights:
    """Return copies, on the CPU, of what training changes: all but the frozen parameters."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: w.cpu().clone() for name, w in model.state_dict().items() if name not in frozen}


def moments(optimizer: torch.optim.Optimizer) -> Weights:
    """Return what an optimizer knows of each parameter, on the CPU."""
    state = optimizer.state_dict()["state"]
    return {f"{place}.{key}": m.cpu() for place, kept in state.items() for key, m in kept.items()}


def put_moments(optimizer: torch.optim.Optimizer, known: Weights) -> None:
    """Put back what `moments` returned."""
    state: dict[int, Weights] = {}
    for name, moment in known.items():
        place, key = name.split(".", 1)
        state.setdefault(int(place), {})[key] = moment
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
