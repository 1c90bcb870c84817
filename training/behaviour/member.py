"""One of several trainings of the sequence model, a step at a time."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recommender.core.blocks import Rows
from training.behaviour.checkpoint import Weights, learned_weights, moments, put_moments
from training.behaviour.sequence_model import Content, SequenceModel
from training.behaviour.sequences import Batch, Sequences
from training.loss_curve import Curve

BATCH = 128
NEGATIVES = 1_024
RATE = 2e-3


class Member:
    """One training from its own seed.

    Parameters
    ----------
    sequences
        Histories.
    content
        Of the n products.
    seed
        Also of torch's own generator, which all members draw from.
    steps
        Of a full training.
    """

    def __init__(self, sequences: Sequences, content: Content, seed: int, steps: int) -> None:
        torch.manual_seed(seed)
        self.sequences = sequences
        self.generator = np.random.default_rng(seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = SequenceModel(len(content.dense), len(sequences.names), content).to(self.device)
        # products without events are no negatives: nobody has refused them
        self.known = np.unique(sequences.rows)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=RATE, weight_decay=0.0, betas=(0.9, 0.98), fused=True
        )
        one_cycle = torch.optim.lr_scheduler.OneCycleLR
        self.schedule = one_cycle(self.optimizer, RATE, total_steps=steps + 1, pct_start=0.1)
        self.curve = Curve(steps)
        self.best: Weights = {}
        self._begin()

    def step(self) -> None:
        """Learn from one batch."""
        self.model.train()
        loss = self.model.loss(self._batch(), self._negatives())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.curve.add(loss)

    @property
    def done(self) -> int:
        """Steps taken."""
        return sum(self.curve.counts)

    def remember(self) -> None:
        """Take the weights as the best so far."""
        self.best = learned_weights(self.model)

    def return_to_best(self) -> None:
        """Put the best weights back, if any were remembered."""
        self.model.load_state_dict(self.best or self.model.state_dict())

    def groups(self) -> dict[str, Weights]:
        """Return all tensors that a checkpoint must hold."""
        return {"now": learned_weights(self.model), "moments": moments(self.optimizer), "best": self.best}

    def stated(self) -> dict[str, Any]:
        """Return what else it must hold, as JSON has it."""
        return {
            "began": self.began,
            "place": self.place,
            "generator": self.generator.bit_generator.state,
            "schedule": self.schedule.state_dict(),
            "rates": {name: self.optimizer.param_groups[0][name] for name in ("lr", "betas")},
            "curve": [self.curve.sums, self.curve.counts],
        }

    def restore(self, groups: Mapping[str, Weights], stated: Mapping[str, Any]) -> None:
        """Put back what `groups` and `stated` told."""
        self.model.load_state_dict(groups["now"])
        put_moments(self.optimizer, groups["moments"])
        self.best = groups.get("best", {})
        self.generator.bit_generator.state = stated["began"]
        self._begin()
        self.place = stated["place"]
        self.generator.bit_generator.state = stated["generator"]
        self.schedule.load_state_dict(stated["schedule"])
        self.optimizer.param_groups[0].update(stated["rates"])
        self.curve.sums, self.curve.counts = stated["curve"]

    def _begin(self) -> None:
        """Begin an epoch, and remember how its order was drawn."""
        self.began = self.generator.bit_generator.state
        self.epoch: list[Rows] = self.sequences.batches(BATCH, self.generator)
        self.place = 0

    def _batch(self) -> Batch:
        if self.place == len(self.epoch):
            self._begin()
        self.place += 1
        return self.sequences.pad(self.epoch[self.place - 1]).to(self.device)

    def _negatives(self) -> Tensor:
        drawn = self.known[self.generator.integers(0, len(self.known), NEGATIVES)]
        return torch.from_numpy(drawn.astype(np.int64)).to(self.device)
