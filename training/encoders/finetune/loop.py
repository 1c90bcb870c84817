"""The fine-tuning loop: batches, learning rate schedule, validation after each epoch, early stopping."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recommender.config import ClipConfig
from recommender.encoders.open_clip import OpenClipEncoder
from recommender.encoders.photos import ahead
from recommender.progress import progress
from training.checkpoint import (
    Checkpoint,
    Weights,
    load_optimizer_state,
    optimizer_state,
    trainable_state,
)
from training.encoders.finetune.accumulation import backward
from training.encoders.finetune.examples import Examples
from training.encoders.finetune.towers import Tower
from training.encoders.retrieval_metrics import mean_recall

_WARM_UP = 0.1  # share of the steps
_WEIGHT_DECAY = 0.2  # weight decay, betas and epsilon are those of open_clip
_BETAS, _EPSILON = (0.9, 0.98), 1e-6
_MAX_LOGIT_SCALE = math.log(100)  # logarithm of the factor of similarities, as in CLIP


@dataclass
class FineTuningState:
    """The progress of a fine-tuning.

    Parameters
    ----------
    step
        Number of batches done.
    history
        Validation metrics before the training and after each epoch.
    best
        The weights of the best epoch.
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: Weights = field(default_factory=dict)

    @property
    def best_epoch(self) -> int:
        """The earliest epoch with the highest mean recall; 0 is before the training."""
        recalls = [metrics["mean_recall"] for metrics in self.history]
        return recalls.index(max(recalls))


@dataclass
class FineTuning:
    """The fine-tuning of one model.

    Parameters
    ----------
    encoder
        Its model is trained in place; a locked tower is frozen already.
    towers
        Of images and of texts, over `examples`.
    examples, config, seed
        The training data, and ``[train.clip]``.
    """

    encoder: OpenClipEncoder
    towers: Sequence[Tower]
    examples: Examples
    config: ClipConfig
    seed: int

    def __post_init__(self) -> None:
        self.model = self.encoder.model
        self.optimizer = _optimizer(self.model)
        self.batches_per_epoch = len(self.examples.epoch(0, self.config.batch_size, self.seed))

    def run(self, path: Path) -> FineTuningState:
        """Train, resuming from the checkpoint at `path`; the model has the best weights afterwards."""
        checkpoint = Checkpoint(path)
        state = self._restore(checkpoint)
        if not state.history:
            self._validate(state)
        steps = self.config.epochs * self.batches_per_epoch
        bar = progress(self._batches(state), "fine-tuning CLIP", steps, "batch")
        bar.update(state.step)
        for inputs in bar:
            self._step(inputs, state.step, steps)
            state.step += 1
            epoch_ended = state.step % self.batches_per_epoch == 0
            if epoch_ended:
                self._validate(state)
                latest, best = (state.history[epoch]["recall@10"] for epoch in (-1, state.best_epoch))
                bar.note(f"recall@10 {latest:.3f}, best {best:.3f}")
            if epoch_ended or checkpoint.due:
                self._save(checkpoint, state)
        self.model.load_state_dict(state.best, strict=False)
        self.model.eval()
        return state

    def _save(self, checkpoint: Checkpoint, state: FineTuningState) -> None:
        groups = {
            "now": trainable_state(self.model),
            "best": state.best,
            "optimizer": optimizer_state(self.optimizer),
        }
        checkpoint.save(groups, {"step": state.step, "history": state.history})

    def _restore(self, checkpoint: Checkpoint) -> FineTuningState:
        """Restore the saved state; a new one if there is none."""
        if not checkpoint.exists:
            return FineTuningState()
        groups, saved = checkpoint.load()
        self.model.load_state_dict(groups["now"], strict=False)
        load_optimizer_state(self.optimizer, groups["optimizer"])
        return FineTuningState(saved["step"], saved["history"], groups["best"])

    def _batches(self, state: FineTuningState) -> Iterator[Sequence[Tensor]]:
        """Yield the towers' inputs batch by batch, prepared ahead, until validation stops improving."""
        with ThreadPoolExecutor(1) as pool:
            for epoch in range(state.step // self.batches_per_epoch, self.config.epochs):
                if len(state.history) - 1 - state.best_epoch >= self.config.patience:
                    return
                batches = self.examples.epoch(epoch, self.config.batch_size, self.seed)
                yield from ahead(pool, self._inputs, batches[state.step - epoch * self.batches_per_epoch :], 2)

    def _inputs(self, indices: NDArray[np.int64]) -> Sequence[Tensor]:
        return [tower.inputs(indices) for tower in self.towers]

    def _step(self, inputs: Sequence[Tensor], step: int, steps: int) -> None:
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * _rate_factor(step, steps)
        self.optimizer.zero_grad()
        on_device = [x.to(self.encoder.device) for x in inputs]
        seed = int(np.random.default_rng([self.seed, step]).integers(2**32))
        backward(self.towers, on_device, self._loss, self.encoder.batch_size, seed)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, _MAX_LOGIT_SCALE)

    def _loss(self, image: Tensor, text: Tensor) -> Tensor:
        """Return open_clip's own loss for the model: SigLIP's where it has a bias, else CLIP's."""
        from open_clip.loss import ClipLoss, SigLipLoss

        bias = getattr(self.model, "logit_bias", None)
        loss = ClipLoss() if bias is None else SigLipLoss()
        value: Tensor = loss(image, text, self.model.logit_scale.exp(), bias)
        return value

    def _validate(self, state: FineTuningState) -> None:
        state.history.append(self.evaluate(self.examples.validation))
        if state.best_epoch == len(state.history) - 1:
            state.best = trainable_state(self.model)

    def evaluate(self, indices: NDArray[np.int64]) -> dict[str, float]:
        """Return the text–image retrieval metrics among these examples."""
        self.model.eval()
        with torch.inference_mode():
            image, text = (self._vectors(tower, indices) for tower in self.towers)
        return mean_recall(image, text)

    def _vectors(self, tower: Tower, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = np.array_split(indices, -(-len(indices) // self.encoder.batch_size))
        vectors = [tower.vectors(tower.inputs(part).to(self.encoder.device)).cpu() for part in parts]
        return torch.cat(vectors).numpy()


def _optimizer(model: Any) -> torch.optim.Optimizer:
    """Return AdamW without weight decay on gains, biases and the temperature, as in open_clip."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trainable if parameter.ndim >= 2], "weight_decay": _WEIGHT_DECAY},
        {"params": [parameter for parameter in trainable if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=_BETAS, eps=_EPSILON)


def _rate_factor(step: int, steps: int) -> float:
    """Return the factor of the peak learning rate: a linear warm-up, then half a cosine."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
