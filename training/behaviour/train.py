"""Trains the behaviour block and the sequence tower, and exports both."""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender import __version__
from recommender.core.blocks import Float, Mask
from recommender.encoders.cache import digest
from recommender.progress import notice, progress
from recommender.towers.behaviour import BehaviourPredictor
from recommender.towers.sequence import WINDOW, SequenceTower
from training.behaviour.checkpoint import Checkpoint
from training.behaviour.member import BATCH, Member
from training.behaviour.sequence_model import Content, SequenceModel
from training.behaviour.sequences import Sequences

MEMBERS = 3  # trainings from different seeds, side by side in one block: a query sums what they say
EPOCHS = 20
LEAST_STEPS, MOST_STEPS = 300, 8_000
MOST_EPOCHS = 100  # of a small shop: read more often, a window is only remembered
LOOKS = 8  # times that the second half of a training is validated
PATIENCE = 3  # looks since the best that end it
# A figure lower by this share is as good: it is of some users only. The later, the quieter: the rate comes down.
LEEWAY = 0.01

Validate = Callable[["Behaviour"], float]
Look = dict[str, float]  # how far in the schedule it was, and the figure


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
    sequences: Sequences,
    content: Content,
    seed: int,
    share: float = 1.0,
    validate: Validate | None = None,
    folder: Path | None = None,
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
        Tells how good a behaviour is; the best of the training is returned, of equally good ones the last.
    folder
        Of checkpoints: a training that was killed goes on from its last, and one that had ended is not repeated.
        What `validate` asks must be the same whenever the folder is.

    Returns
    -------
    Behaviour or None
        None if no history has two products: nothing says what follows what.
    """
    steps = schedule(sequences)
    if not steps:
        return None
    members = [Member(sequences, content, seed + member, steps) for member in range(MEMBERS)]
    stop = max(1, round(share * steps))
    checkpoint = Checkpoint(folder and folder / _file(sequences, content, seed, stop))
    looks = _restore(checkpoint, members, stop)
    bar = progress(range(members[0].done, stop), "behaviour", stop, "step")
    bar.update(members[0].done)
    for step in bar:
        if _worse(looks) == PATIENCE:
            break
        for member in members:
            member.step()
        if validate is not None and _is_look(step, steps):
            found = _export(members, sequences, (step + 1) / steps)
            looks.append({"share": found.share, "soft_recall": validate(found)})
            _remember(members, looks)
        if checkpoint.due:
            _save(checkpoint, members, looks)
    if checkpoint.there:
        _save(checkpoint, members, looks)
    for member in members:
        member.return_to_best()
    found = _export(members, sequences, looks[_best(looks)]["share"] if looks else share)
    rounded = [{"share": round(look["share"], 3), "soft_recall": round(look["soft_recall"], 4)} for look in looks]
    return replace(found, figures={"loss": members[0].curve.stated(), "validation": rounded})


def schedule(sequences: Sequences) -> int:
    """Return the steps of a full training; 0 if there is nothing to train on."""
    batches = ceil((sequences.lengths >= 2).sum() / BATCH)
    return min(max(EPOCHS * batches, LEAST_STEPS), MOST_EPOCHS * batches, MOST_STEPS)


def _is_look(step: int, steps: int) -> bool:
    """Validate at even distances in the second half of the schedule, at its end too."""
    every = max(steps // (2 * LOOKS), 1)
    return (steps - 1 - step) % every == 0 and step >= steps // 2


def _remember(members: Sequence[Member], looks: Sequence[Look]) -> None:
    """Keep the weights if the last look found them the best."""
    if not _worse(looks):
        for member in members:
            member.remember()


def _best(looks: Sequence[Look]) -> int:
    """Return the latest look with the highest figure, or as good as that."""
    figures = [look["soft_recall"] for look in looks]
    enough = max(figures) - LEEWAY * abs(max(figures))
    return max(place for place, figure in enumerate(figures) if figure >= enough)


def _worse(looks: Sequence[Look]) -> int:
    """Count the looks since the best."""
    return len(looks) - 1 - _best(looks) if looks else 0


def _file(sequences: Sequences, content: Content, seed: int, stop: int) -> str:
    """Name a training by all that it depends on."""
    arrays: list[np.ndarray] = [sequences.rows, sequences.kinds, sequences.gaps, sequences.starts]
    arrays += [content.dense, content.values, content.weights]
    told = [__version__, torch.__version__, torch.cuda.is_available(), sequences.names, content.size, seed, stop]
    told += [(array.shape, digest(array.tobytes())) for array in arrays]
    return f"{digest(repr(told)).decode()}.safetensors"


def _save(checkpoint: Checkpoint, members: Sequence[Member], looks: Sequence[Look]) -> None:
    groups = {f"{place}.{name}": g for place, member in enumerate(members) for name, g in member.groups().items()}
    groups["drawn"] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        groups["drawn"]["cuda"] = torch.cuda.get_rng_state()
    checkpoint.save(groups, {"looks": looks, "members": [member.stated() for member in members]})


def _restore(checkpoint: Checkpoint, members: Sequence[Member], stop: int) -> list[Look]:
    """Put members back to where they were saved, if they were; return the looks that they had."""
    if not checkpoint.there:
        return []
    groups, stated = checkpoint.load()
    for place, member in enumerate(members):
        own = {name.split(".")[1]: g for name, g in groups.items() if name.startswith(f"{place}.")}
        member.restore(own, stated["members"][place])
    torch.set_rng_state(groups["drawn"]["cpu"])
    if "cuda" in groups["drawn"]:
        torch.cuda.set_rng_state(groups["drawn"]["cuda"])
    notice(f"behaviour: goes on from step {members[0].done} of {stop}")
    looks: list[Look] = stated["looks"]
    return looks


class _Joined(nn.Module):
    """The members as one graph: blocks apart, queries scaled alike, the last event's alone."""

    def __init__(self, models: list[SequenceModel], longest: float, size: float) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.longest, self.size = longest, size

    def forward(self, vectors: Tensor, kinds: Tensor, gaps: Tensor) -> Tensor:
        parts = (vectors * self.longest).chunk(len(self.models), dim=2)
        asked = [model(part, kinds, gaps)[:, -1] for model, part in zip(self.models, parts, strict=True)]
        return torch.cat(asked, dim=1) / self.size


def _export(members: Sequence[Member], sequences: Sequences, share: float) -> Behaviour:
    models, own = [member.model.eval().cpu() for member in members], members[0].known
    with torch.inference_mode():
        vectors = torch.cat([_of_all(model, own) for model in models], dim=1)
        longest = float(vectors.norm(dim=1).max())
        batch = sequences.pad(np.argsort(-sequences.lengths, kind="stable")[:1])
        joined = _Joined(models, longest, 1.0).eval()
        scaled = vectors / longest
        read = (scaled[batch.rows.clamp(min=0)], batch.kinds, batch.gaps)
        example = tuple(part[:, :WINDOW] for part in read)
        joined.size = float(joined(*example).norm(dim=1).mean())
        tables = torch.cat([model.values.weight for model in models], dim=1)
        matrices = torch.cat([_matrix(model) for model in models], dim=1)
        predictor = BehaviourPredictor((matrices / longest).numpy(), (tables / longest).numpy())
        tower = SequenceTower.of(_onnx(joined, example), sequences.names)
        known = np.isin(np.arange(len(scaled)), own)
        found = Behaviour(scaled.numpy(), known, predictor, tower, share)
    for member in members:
        member.model.to(member.device)
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


def _onnx(joined: nn.Module, example: tuple[Tensor, ...]) -> bytes:
    file = io.BytesIO()
    names = ["vectors", "kinds", "gaps"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter says that it is old; the new one needs a further package
        torch.onnx.export(
            joined,
            example,
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=names,
            output_names=["output"],
            dynamic_axes={name: {0: "b", 1: "t"} for name in names} | {"output": {0: "b"}},
        )
    return file.getvalue()
