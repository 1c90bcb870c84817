"""All that a training needs to go on where it stopped, in one file that is replaced in one step; no pickle."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from recommender.bundle.disk import sync

Weights = dict[str, Tensor]


@dataclass
class Progress:
    """How far the training is.

    Parameters
    ----------
    step
        Batches done.
    history
        Validation figures before the training and after each epoch.
    best
        The weights that had the best of them.
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: Weights = field(default_factory=dict)

    @property
    def best_epoch(self) -> int:
        """The earliest epoch with the highest mean recall; 0 is before the training."""
        recalls = [figures["mean_recall"] for figures in self.history]
        return recalls.index(max(recalls))


def learned_weights(model: nn.Module) -> Weights:
    """Return copies, on the CPU, of what training changes: all but the frozen parameters."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: w.cpu().clone() for name, w in model.state_dict().items() if name not in frozen}


def save(path: Path, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write everything; killed at any moment, the file holds all of the old or all of the new."""
    moments = optimizer.state_dict()["state"]
    groups = {
        "now": learned_weights(model),
        "best": progress.best,
        "optimizer": {f"{place}.{key}": m.cpu() for place, kept in moments.items() for key, m in kept.items()},
    }
    tensors = {f"{group}/{name}": w.contiguous() for group, named in groups.items() for name, w in named.items()}
    stated = {"step": str(progress.step), "history": json.dumps(progress.history)}
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    save_file(tensors, temporary, stated)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Put back what `save` wrote; a fresh start if there is nothing."""
    if not path.is_file():
        return Progress()
    groups: dict[str, Weights] = {"now": {}, "best": {}, "optimizer": {}}
    with safe_open(path, "pt") as file:
        stated = file.metadata()
        for key in file.keys():  # noqa: SIM118
            group, name = key.split("/", 1)
            groups[group][name] = file.get_tensor(key)
    model.load_state_dict(groups["now"], strict=False)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, moment in groups["optimizer"].items():
        place, key = name.split(".", 1)
        moments.setdefault(int(place), {})[key] = moment
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return Progress(int(stated["step"]), json.loads(stated["history"]), groups["best"])
