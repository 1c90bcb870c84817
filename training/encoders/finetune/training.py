"""The loop: batches, the learning rate, held-out retrieval after each epoch, the best weights kept."""

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
from training.behaviour.checkpoint import Checkpoint, Weights, learned_weights, moments, put_moments
from training.encoders.finetune.accumulation import backward
from training.encoders.finetune.examples import Examples
from training.encoders.finetune.towers import Tower
from training.encoders.retrieval_metrics import mean_recall

_WARM_UP = 0.1  # share of the steps
_DECAY = 0.2  # weight decay, momenta and epsilon as open_clip trains
_BETAS, _EPSILON = (0.9, 0.98), 1e-6
_SHARPEST = math.log(100)  # the most that similarities are multiplied by, as in CLIP


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


@dataclass
class Training:
    """One model and what it is trained on.

    Parameters
    ----------
    encoder
        Whose model is trained in place; a locked tower is frozen already.
    towers
        Of images and of texts, over `examples`.
    examples, settings, seed
        What to learn from, and how.
    """

    encoder: OpenClipEncoder
    towers: Sequence[Tower]
    examples: Examples
    settings: ClipConfig
    seed: int

    def __post_init__(self) -> None:
        self.model = self.encoder.model
        self.optimizer = _optimizer(self.model)
        self.an_epoch = len(self.examples.epoch(0, self.settings.batch_size, self.seed))

    def run(self, path: Path) -> Progress:
        """Train, from where the checkpoint at `path` says; leave the best weights in the model.

        Returns
        -------
        Progress
            With all figures.
        """
        checkpoint = Checkpoint(path)
        state = self._restored(checkpoint)
        if not state.history:
            self._validate(state)
        steps = self.settings.epochs * self.an_epoch
        bar = progress(self._batches(state), "fine-tuning CLIP", steps, "batch")
        bar.update(state.step)
        for inputs in bar:
            self._step(inputs, state.step, steps)
            state.step += 1
            at_end = state.step % self.an_epoch == 0
            if at_end:
                self._validate(state)
                now, best = (state.history[epoch]["recall@10"] for epoch in (-1, state.best_epoch))
                bar.note(f"recall@10 {now:.3f}, best {best:.3f}")
            if at_end or checkpoint.due:
                self._save(checkpoint, state)
        self.model.load_state_dict(state.best, strict=False)
        self.model.eval()
        return state

    def _save(self, checkpoint: Checkpoint, state: Progress) -> None:
        groups = {"now": learned_weights(self.model), "best": state.best, "optimizer": moments(self.optimizer)}
        checkpoint.save(groups, {"step": state.step, "history": state.history})

    def _restored(self, checkpoint: Checkpoint) -> Progress:
        """Put back what was saved; a fresh start if there is nothing."""
        if not checkpoint.there:
            return Progress()
        groups, stated = checkpoint.load()
        self.model.load_state_dict(groups["now"], strict=False)
        put_moments(self.optimizer, groups["optimizer"])
        return Progress(stated["step"], stated["history"], groups["best"])

    def _batches(self, state: Progress) -> Iterator[Sequence[Tensor]]:
        """Yield what the towers read, batch by batch, until nothing is gained any more; read one batch ahead."""
        with ThreadPoolExecutor(1) as pool:
            for epoch in range(state.step // self.an_epoch, self.settings.epochs):
                if len(state.history) - 1 - state.best_epoch >= self.settings.patience:
                    return
                batches = self.examples.epoch(epoch, self.settings.batch_size, self.seed)
                yield from ahead(pool, self._inputs, batches[state.step - epoch * self.an_epoch :], 2)

    def _inputs(self, places: NDArray[np.int64]) -> Sequence[Tensor]:
        return [tower.inputs(places) for tower in self.towers]

    def _step(self, inputs: Sequence[Tensor], step: int, steps: int) -> None:
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * _share_of_rate(step, steps)
        self.optimizer.zero_grad()
        there = [x.to(self.encoder.device) for x in inputs]
        seed = int(np.random.default_rng([self.seed, step]).integers(2**32))
        backward(self.towers, there, self._loss, self.encoder.batch_size, seed)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, _SHARPEST)

    def _loss(self, image: Tensor, text: Tensor) -> Tensor:
        """Return open_clip's own loss for the model: SigLIP's where it has a bias, else CLIP's."""
        from open_clip.loss import ClipLoss, SigLipLoss

        bias = getattr(self.model, "logit_bias", None)
        loss = ClipLoss() if bias is None else SigLipLoss()
        value: Tensor = loss(image, text, self.model.logit_scale.exp(), bias)
        return value

    def _validate(self, state: Progress) -> None:
        state.history.append(self.figures(self.examples.validation))
        if state.best_epoch == len(state.history) - 1:
            state.best = learned_weights(self.model)

    def figures(self, places: NDArray[np.int64]) -> dict[str, float]:
        """Return the retrieval among these examples."""
        self.model.eval()
        with torch.inference_mode():
            image, text = (self._vectors(tower, places) for tower in self.towers)
        return mean_recall(image, text)

    def _vectors(self, tower: Tower, places: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = np.array_split(places, -(-len(places) // self.encoder.batch_size))
        found = [tower.vectors(tower.inputs(part).to(self.encoder.device)).cpu() for part in parts]
        return torch.cat(found).numpy()


def _optimizer(model: Any) -> torch.optim.Optimizer:
    """Return AdamW that leaves gains, biases and the temperature undecayed, as open_clip does."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in learned if parameter.ndim >= 2], "weight_decay": _DECAY},
        {"params": [parameter for parameter in learned if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=_BETAS, eps=_EPSILON)


def _share_of_rate(step: int, steps: int) -> float:
    """Return how much of the peak rate is due: a linear warm-up, then half a cosine."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
