"""Trains the behaviour block and the sequence tower, and exports both."""

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.blocks import Float, Mask
from recommender.progress import progress
from recommender.towers.behaviour import BehaviourPredictor
from recommender.towers.sequence import WINDOW, SequenceTower
from training.curve import Curve
from training.sequence_model import Content, SequenceModel
from training.sequences import Batch, Sequences

MEMBERS = 2  # trainings from different seeds, side by side in one block: a query sums what they say
BATCH = 128
NEGATIVES = 1_024
RATE = 2e-3
EPOCHS = 20
LEAST_STEPS, MOST_STEPS = 300, 8_000
MOST_EPOCHS = 100  # of a small shop: read more often, a window is only remembered
LOOKS = 8  # times that the second half of a training is validated
PATIENCE = 3  # looks without a better figure that end it

Validate = Callable[["Behaviour"], float]


@dataclass(frozen=True)
class Behaviour:
    """What the events teach.

    Parameters
    ----------
    vectors
        Behaviour blocks, longest 1, shape (n, d_b).
    known
        Which products have events, shape (n,).
    predictor
        Makes the block of a product without events.
    tower
        Makes the behaviour block of a query.
    share
        How far in its schedule the training was best, in (0, 1].
    figures
        The ``loss`` over the training, of the first member; with `validate` what it told, by ``share``.
    """

    vectors: Float
    known: Mask
    predictor: BehaviourPredictor
    tower: SequenceTower
    share: float
    figures: dict[str, Any] = field(default_factory=dict)


def train_behaviour(
    sequences: Sequences, content: Content, seed: int, share: float = 1.0, validate: Validate | None = None
) -> Behaviour | None:
    """Train the members, each its own way from its own seed.

    Parameters
    ----------
    sequences
        Histories.
    content
        Of the n products.
    share
        Where to stop in the schedule, in (0, 1]; found by an earlier training with `validate`.
    validate
        Tells how good a behaviour is; the best of the training is returned.

    Returns
    -------
    Behaviour or None
        None if no history has two products: nothing says what follows what.
    """
    steps = schedule(sequences)
    if not steps:
        return None
    runs = [_Run(sequences, content, seed + member, steps) for member in range(MEMBERS)]
    stop = max(1, round(share * steps))
    best: tuple[float, Behaviour] | None = None
    worse = 0
    validation: list[dict[str, float]] = []
    for step in progress(range(stop), "behaviour", stop, "step"):
        for run in runs:
            run.step()
        if validate is not None and _looks(step, steps):
            found = _export(runs, sequences, (step + 1) / steps)
            figure = validate(found)
            validation.append({"share": round(found.share, 3), "soft_recall": round(figure, 4)})
            worse += 1
            if best is None or figure > best[0]:
                best, worse = (figure, found), 0
            if worse == PATIENCE:
                break
    chosen = best[1] if best is not None else _export(runs, sequences, share)
    return replace(chosen, figures={"loss": runs[0].curve.stated(), "validation": validation})


def schedule(sequences: Sequences) -> int:
    """Return the steps of a full training; 0 if there is nothing to train on."""
    batches = ceil((sequences.lengths >= 2).sum() / BATCH)
    return min(max(EPOCHS * batches, LEAST_STEPS), MOST_EPOCHS * batches, MOST_STEPS)


def _looks(step: int, steps: int) -> bool:
    """Validate at even distances in the second half of the schedule, at its end too."""
    every = max(steps // (2 * LOOKS), 1)
    return (steps - 1 - step) % every == 0 and step >= steps // 2


class _Run:
    """One member's training, a step at a time."""

    def __init__(self, sequences: Sequences, content: Content, seed: int, steps: int) -> None:
        torch.manual_seed(seed)
        self.sequences = sequences
        self.generator = np.random.default_rng(seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = SequenceModel(len(content.dense), len(sequences.names), content).to(self.device)
        # products without events are no negatives: nobody has refused them
        self.known = np.unique(sequences.rows)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE, weight_decay=0.0, betas=(0.9, 0.98))
        one_cycle = torch.optim.lr_scheduler.OneCycleLR
        self.schedule = one_cycle(self.optimizer, RATE, total_steps=steps + 1, pct_start=0.1)
        self.batches: Iterator[Batch] = iter(())
        self.curve = Curve(steps)

    def step(self) -> None:
        self.model.train()
        loss = self.model.loss(self._batch(), self._negatives())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.curve.add(loss)

    def _batch(self) -> Batch:
        found = next(self.batches, None)
        if found is None:
            self.batches = self.sequences.batches(BATCH, self.generator)
            found = next(self.batches)
        return found.to(self.device)

    def _negatives(self) -> Tensor:
        drawn = self.known[self.generator.integers(0, len(self.known), NEGATIVES)]
        return torch.from_numpy(drawn.astype(np.int64)).to(self.device)


class _Members(nn.Module):
    """The members as one graph: blocks apart, queries scaled alike, the last event's alone."""

    def __init__(self, models: list[SequenceModel], longest: float, size: float) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.longest, self.size = longest, size

    def forward(self, vectors: Tensor, kinds: Tensor, gaps: Tensor) -> Tensor:
        parts = (vectors * self.longest).chunk(len(self.models), dim=2)
        asked = [model(part, kinds, gaps)[:, -1] for model, part in zip(self.models, parts, strict=True)]
        return torch.cat(asked, dim=1) / self.size


def _export(runs: list[_Run], sequences: Sequences, share: float) -> Behaviour:
    models = [run.model.eval().cpu() for run in runs]
    with torch.inference_mode():
        vectors = torch.cat([_of_all(model, runs[0].known) for model in models], dim=1)
        longest = float(vectors.norm(dim=1).max())
        batch = sequences.pad(np.argsort(-sequences.lengths, kind="stable")[:1])
        members = _Members(models, longest, 1.0).eval()
        scaled = vectors / longest
        read = (scaled[batch.rows.clamp(min=0)], batch.kinds, batch.gaps)
        example = tuple(part[:, :WINDOW] for part in read)
        members.size = float(members(*example).norm(dim=1).mean())
        tables = torch.cat([model.values.weight for model in models], dim=1)
        matrices = torch.cat([_matrix(model) for model in models], dim=1)
        predictor = BehaviourPredictor((matrices / longest).numpy(), (tables / longest).numpy())
        tower = SequenceTower.of(_onnx(members, example), sequences.names)
        known = np.isin(np.arange(len(scaled)), runs[0].known)
        found = Behaviour(scaled.numpy(), known, predictor, tower, share)
    for run in runs:
        run.model.to(run.device)
    return found


def _of_all(model: SequenceModel, known: np.ndarray) -> Tensor:
    """Return the vectors of all products; of one without events, what its content says."""
    rows = torch.arange(model.own.num_embeddings)
    vectors = model.said(rows)
    vectors[known] += model.own.weight[known]
    return vectors


def _matrix(model: SequenceModel) -> Tensor:
    if model.dense is None:
        return torch.zeros(0, model.own.embedding_dim)
    return model.dense.weight.T


def _onnx(members: nn.Module, example: tuple[Tensor, ...]) -> bytes:
    file = io.BytesIO()
    names = ["vectors", "kinds", "gaps"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter says that it is old; the new one needs a further package
        torch.onnx.export(
            members,
            example,
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=names,
            output_names=["output"],
            dynamic_axes={name: {0: "b", 1: "t"} for name in names} | {"output": {0: "b"}},
        )
    return file.getvalue()
