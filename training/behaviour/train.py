"""Trains the behaviour block: an ensemble of sequence models with early stopping and checkpoints."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import torch

from recommender.batch.on_ray import Cluster
from recommender.catalog import Interactions
from recommender.encoders.cache import digest
from recommender.progress import notice, progress
from recommender.towers.behaviour import content_of
from recommender.towers.category import bag
from recommender.towers.words import COLUMN
from recommender.version import __version__
from training.behaviour.ensemble import BATCH, EnsembleMember
from training.behaviour.export import Behaviour, continue_from, export_behaviour
from training.behaviour.sequence_model import ItemContent
from training.behaviour.sequences import Sequences
from training.checkpoint import Checkpoint
from training.item_tower.train import TrainedItemTower
from training.items import TrainingItems
from training.words import fit_words

MEMBERS = 3  # of the ensemble, each from its own seed; their vectors are concatenated, so that their scores add up
EPOCHS = 8
MIN_STEPS, MAX_STEPS = 120, 8_000
MAX_EPOCHS = 100  # of a small shop, which would overfit
VALIDATIONS = 10  # validation checks, evenly over the schedule
ROUND = 10  # steps that each member takes before it waits for the others
PATIENCE = 4  # checks without improvement after which a training stops
# Share by which a validation score may be lower and still count as equal: it is measured on some users only. Of
# equal ones the latest is used, as the learning rate comes down and the weights vary less.
TOLERANCE = 0.01
# Of a training that starts from an earlier one. Measured on one public shop, of what a full training gains from
# the latest fifth of the events, three epochs bring 80 %, two 65 %.
CONTINUED_EPOCHS, MIN_CONTINUED_STEPS = 3, 30

Validate = Callable[[Behaviour], float]
ValidationCheck = dict[str, float]  # the share of the schedule, and the validation score there


@dataclass(frozen=True)
class Start:
    """An earlier training that is continued.

    Parameters
    ----------
    behaviour
        Its result, of the same products.
    until
        Moment of its latest event, POSIX seconds.
    """

    behaviour: Behaviour
    until: float

    @classmethod
    def after(cls, behaviour: Behaviour, interactions: Interactions) -> "Start":
        """Return a start after a training on these events."""
        return cls(behaviour, interactions.frame["timestamp"].max().timestamp())


@dataclass(frozen=True)
class EnsembleTraining:
    """A training of the ensemble of sequence models: all that a worker needs.

    Parameters
    ----------
    sequences
        Histories.
    content
        Of the n products.
    seed
        Of the first member; the others' follow.
    steps
        Of each member.
    start
        An earlier training that is continued.
    validate
        Returns the validation score of a model; None: there are no validation checks.
    """

    sequences: Sequences
    content: ItemContent
    seed: int
    steps: int
    start: Start | None = None
    validate: Validate | None = None

    def members(self) -> list[EnsembleMember]:
        """Return the members before the first step."""
        until, steps = None if self.start is None else self.start.until, max(self.steps, 1)
        seeds = range(self.seed, self.seed + MEMBERS)
        members = [EnsembleMember(self.sequences, self.content, seed, steps, until) for seed in seeds]
        if self.start is not None:
            continue_from(members, self.start.behaviour)
        return members

    def check(self, members: Sequence[EnsembleMember], step: int) -> ValidationCheck:
        """Return the validation score of the members after a step."""
        assert self.validate is not None
        behaviour = export_behaviour(members, self.sequences, step / self.steps)
        return {"share": behaviour.share, "soft_recall": self.validate(behaviour)}

    @property
    def check_steps(self) -> list[int]:
        """Numbers of steps after which there is a check: at even distances, the last after the last step."""
        interval = max(self.steps // VALIDATIONS, 1)
        return [*range(self.steps, interval - 1, -interval)][::-1]

    @property
    def name(self) -> str:
        """A digest of everything the training depends on but `validate`."""
        sequences, content, start = self.sequences, self.content, self.start
        arrays: list[np.ndarray] = [sequences.rows, sequences.kinds, sequences.gaps, sequences.starts]
        arrays += [content.dense, content.values, content.weights]
        arrays += [] if start is None else [start.behaviour.vectors, start.behaviour.predictor.table]
        inputs = [
            __version__,
            torch.__version__,
            torch.cuda.is_available(),
            sequences.names,
            content.size,
            self.seed,
            None if start is None else start.until,
        ]
        inputs += [(array.shape, digest(array.tobytes())) for array in arrays]
        return digest(repr(inputs)).decode()


def train_behaviour(
    items: TrainingItems,
    item_tower: TrainedItemTower,
    interactions: Interactions,
    seed: int,
    *,
    start: Start | None = None,
    validate: Validate | None = None,
    folder: Path | None = None,
    cluster: Cluster | None = None,
) -> Behaviour | None:
    """Train the behaviour block and the sequence tower on top of the products' own blocks.

    Parameters
    ----------
    items, item_tower
        The products, and their blocks.
    interactions
        The events.
    seed, start, validate, folder, cluster
        See `train_sequence_models`.

    Returns
    -------
    Behaviour or None
        None if no history has two products.
    """
    tower, inputs = item_tower.tower, items.inputs
    columns = () if tower.category is None else tower.category.vocabularies
    size = sum(vocabulary.size for vocabulary in columns)
    words = fit_words(inputs.words or (), size) if start is None else start.behaviour.predictor.words
    vocabularies = (*columns, *(() if words is None else (words,)))
    cells = inputs.columns if inputs.words is None else {COLUMN: inputs.words, **inputs.columns}
    bags = bag(vocabularies, cells) if vocabularies else None
    size += 0 if words is None else words.size
    content = ItemContent.of(content_of(item_tower.vectors, tower.layout), bags, size)
    sequences = Sequences.of(interactions)
    behaviour = train_sequence_models(
        sequences, content, seed, start=start, validate=validate, folder=folder, cluster=cluster
    )
    if behaviour is None or words is None:
        return behaviour
    return replace(behaviour, predictor=replace(behaviour.predictor, words=words))


def train_sequence_models(
    sequences: Sequences,
    content: ItemContent,
    seed: int,
    *,
    start: Start | None = None,
    validate: Validate | None = None,
    folder: Path | None = None,
    cluster: Cluster | None = None,
) -> Behaviour | None:
    """Train the ensemble of sequence models.

    Parameters
    ----------
    sequences, content, seed, start
        See `EnsembleTraining`.
    validate
        Returns the validation score of a model. The best model of the training is returned, of equal ones the
        latest.
    folder
        Of checkpoints: an interrupted training resumes from its last, and a finished one is not repeated. The same
        folder needs the same `validate`.
    cluster
        Trains each member on a worker of its own, with checkpoints in the folder; None: they train here.

    Returns
    -------
    Behaviour or None
        None if no history has two products, so that there is no next product to learn.
    """
    steps = schedule(sequences, start)
    if not steps and start is None:
        return None
    training = EnsembleTraining(sequences, content, seed, steps, start, validate)
    if cluster is None or not steps:
        members, checks = _train_here(training, Checkpoint(folder and folder / f"{training.name}.safetensors"))
    else:
        from training.behaviour.on_ray import train_on_ray

        assert folder is not None
        members, checks = train_on_ray(training, folder, cluster)
    for member in members:
        member.load_best()
    behaviour = export_behaviour(members, sequences, checks[best_check(checks)]["share"] if checks else 1.0)
    return replace(behaviour, metrics={"loss": members[0].curve.means(), "validation": _rounded(checks)})


def _train_here(
    training: EnsembleTraining, checkpoint: Checkpoint
) -> tuple[list[EnsembleMember], list[ValidationCheck]]:
    """Train the members side by side; return them and the validation checks."""
    members, steps = training.members(), training.steps
    checks = _restore(checkpoint, members, steps)
    check_steps = frozenset(training.check_steps if training.validate is not None else ())
    bar = progress(range(members[0].steps_done, steps), "behaviour", steps, "step")
    bar.update(members[0].steps_done)
    with _side_by_side() as pool:
        for step in bar:
            if is_over(checks):
                break
            validated = step + 1 in check_steps
            if not (validated or (step + 1) % ROUND == 0 or step + 1 == steps):
                continue
            [*pool.map(partial(EnsembleMember.train_until, step=step + 1), members)]
            if validated:
                checks.append(training.check(members, step + 1))
                save_best(members, checks)
            if checkpoint.due:
                _save(checkpoint, members, checks)
    if checkpoint.exists:
        _save(checkpoint, members, checks)
    return members, checks


@contextmanager
def _side_by_side() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool in which the members train side by side, and share the threads that torch may use."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads // MEMBERS, 1))
    try:
        with ThreadPoolExecutor(min(threads, MEMBERS)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def schedule(sequences: Sequences, start: Start | None = None) -> int:
    """Return the number of steps of a training; 0 if there is nothing to train on."""
    if start is not None:
        batches = ceil(sequences.count(start.until) / BATCH)
        return min(max(CONTINUED_EPOCHS * batches, MIN_CONTINUED_STEPS), MAX_STEPS) if batches else 0
    batches = ceil(sequences.count() / BATCH)
    return min(max(EPOCHS * batches, MIN_STEPS), MAX_EPOCHS * batches, MAX_STEPS)


def is_over(checks: Sequence[ValidationCheck]) -> bool:
    """Return whether a training stops early."""
    return _checks_since_best(checks) == PATIENCE


def save_best(members: Sequence[EnsembleMember], checks: Sequence[ValidationCheck]) -> None:
    """Keep the present weights if the last check was the best."""
    if not _checks_since_best(checks):
        for member in members:
            member.save_best()


def best_check(checks: Sequence[ValidationCheck]) -> int:
    """Return the index of the latest check whose score is within `TOLERANCE` of the highest."""
    scores = [check["soft_recall"] for check in checks]
    enough = max(scores) - TOLERANCE * abs(max(scores))
    return max(index for index, score in enumerate(scores) if score >= enough)


def _checks_since_best(checks: Sequence[ValidationCheck]) -> int:
    return len(checks) - 1 - best_check(checks) if checks else 0


def _rounded(checks: Sequence[ValidationCheck]) -> list[ValidationCheck]:
    return [{"share": round(check["share"], 3), "soft_recall": round(check["soft_recall"], 4)} for check in checks]


def _save(checkpoint: Checkpoint, members: Sequence[EnsembleMember], checks: Sequence[ValidationCheck]) -> None:
    groups = {
        f"{index}.{name}": tensors
        for index, member in enumerate(members)
        for name, tensors in member.tensors().items()
    }
    groups["rng"] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        groups["rng"]["cuda"] = torch.cuda.get_rng_state()
    checkpoint.save(groups, {"checks": checks, "members": [member.state() for member in members]})


def _restore(checkpoint: Checkpoint, members: Sequence[EnsembleMember], stop: int) -> list[ValidationCheck]:
    """Resume from the checkpoint, if there is one; return the validation checks until then."""
    if not checkpoint.exists:
        return []
    groups, state = checkpoint.load()
    for index, member in enumerate(members):
        tensors = {name.split(".")[1]: group for name, group in groups.items() if name.startswith(f"{index}.")}
        member.restore(tensors, state["members"][index])
    torch.set_rng_state(groups["rng"]["cpu"])
    if "cuda" in groups["rng"]:
        torch.cuda.set_rng_state(groups["rng"]["cuda"])
    notice(f"behaviour: resuming from step {members[0].steps_done} of {stop}")
    checks: list[ValidationCheck] = state["checks"]
    return checks
