"""Trains the ensemble of sequence models by Ray Train: each member on a worker of its own.

The members need each other at validation checks only. After each check, or where there are none at the same steps,
Ray stores a checkpoint; a worker that died makes all go on from the last one. Every member takes the steps that it
takes in one process: it has its own generator of batches, negatives and dropout.
"""

from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from recommender.batch.on_ray import Cluster
from recommender.progress import notice
from training.behaviour.ensemble import EnsembleMember
from training.behaviour.train import (
    MEMBERS,
    EnsembleTraining,
    ValidationCheck,
    is_over,
    save_best,
)
from training.checkpoint import Checkpoint, Weights, trainable_state

MAX_FAILURES = 8  # of one training, each of any number of workers


def train_on_ray(
    training: EnsembleTraining, folder: Path, cluster: Cluster
) -> tuple[list[EnsembleMember], list[ValidationCheck]]:
    """Train the members on a cluster; return them and the validation checks.

    Parameters
    ----------
    training
        What is trained, of at least one step.
    folder
        Of checkpoints, on every machine: an interrupted training resumes from its last.
    cluster
        With GPUs per worker, or none.

    Raises
    ------
    RequestError
        If the cluster is lost, or too many of its workers died.
    """
    cluster.connect()
    from ray.train import TrainingFailedError

    for failures in count(1):
        try:
            with cluster.watched():
                result = _trainer(training, folder, cluster).fit()
            break
        except TrainingFailedError as error:
            if failures == MAX_FAILURES:
                raise cluster.lost(error) from error
            notice("behaviour: workers died, or did not start in time; going on from the last checkpoint")
    assert result.checkpoint is not None
    members = training.members()
    with result.checkpoint.as_directory() as saved:
        checks = [_restore(member, Path(saved), number) for number, member in enumerate(members)]
    return members, checks[0]


def _trainer(training: EnsembleTraining, folder: Path, cluster: Cluster) -> Any:
    """Return a trainer on the machines that there are now; it goes on with what one before it has stored."""
    import ray
    from ray import train
    from ray.train.torch import TorchConfig, TorchTrainer

    failures: Any = train.FailureConfig  # its annotation is that of an older class
    cpus = cpus_of_a_member([node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]])
    notice(f"behaviour: {training.steps} steps of {MEMBERS} members, each on {cpus:.2g} cores of the cluster")
    return TorchTrainer(
        partial(_train_member, training),
        scaling_config=train.ScalingConfig(
            num_workers=MEMBERS,
            use_gpu=cluster.gpus > 0,
            resources_per_worker={"CPU": cpus, **({"GPU": cluster.gpus} if cluster.gpus else {})},
            placement_strategy="SPREAD",
        ),
        torch_config=TorchConfig(backend="gloo"),  # what the members exchange is weights on the CPU
        run_config=train.RunConfig(
            name=training.name,
            storage_path=str(folder.absolute()),
            checkpoint_config=train.CheckpointConfig(num_to_keep=1),
            # not retried there, but with the cores of the machines that are left
            failure_config=failures(max_failures=0, controller_failure_limit=0),
        ),
    )


def cpus_of_a_member(cpus: Sequence[float]) -> float:
    """Return the processor cores for each member, as many as leave room for all.

    Parameters
    ----------
    cpus
        Of each machine.
    """
    for share in range(int(max(cpus)), 0, -1):
        if sum(int(of_machine // share) for of_machine in cpus) >= MEMBERS:
            return share
    return 1 / MEMBERS


def _train_member(training: EnsembleTraining) -> None:
    """Train the member of this worker's rank until a check says stop."""
    from ray import train
    from ray.train.torch import get_device

    number, saved = train.get_context().get_world_rank(), train.get_checkpoint()
    if torch.cuda.is_available():
        torch.cuda.set_device(get_device())
    members = training.members()
    checks: list[ValidationCheck] = []
    member = members[number]
    if saved is not None:
        with saved.as_directory() as folder:
            checks = _restore(member, Path(folder), number)
    for step in training.check_steps:
        if step <= member.steps_done or is_over(checks):
            continue
        member.train_until(step)
        if training.validate is not None:
            checks.append(_check_together(training, members, number, step))
            save_best([member], checks)
        with TemporaryDirectory() as folder:
            path = _path(Path(folder), number)
            Checkpoint(path).save(member.tensors(), {"checks": checks, "member": member.state()})
            train.report({"step": step}, checkpoint=train.Checkpoint.from_directory(folder))


def _check_together(
    training: EnsembleTraining, members: Sequence[EnsembleMember], number: int, step: int
) -> ValidationCheck:
    """Return the validation score of all members, whose weights the first worker collects."""
    from torch import distributed

    gathered: list[Weights] | None = [{}] * len(members) if number == 0 else None
    distributed.gather_object(trainable_state(members[number].model), gathered)
    check: list[ValidationCheck | None] = [None]
    if gathered is not None:
        for member, weights in zip(members[1:], gathered[1:], strict=True):
            member.model.load_state_dict(weights)
        check = [training.check(members, step)]
    distributed.broadcast_object_list(check)
    assert check[0] is not None
    return check[0]


def _path(folder: Path, number: int) -> Path:
    return folder / f"member{number}.safetensors"


def _restore(member: EnsembleMember, folder: Path, number: int) -> list[ValidationCheck]:
    """Resume a member from a checkpoint; return the validation checks until then."""
    tensors, state = Checkpoint(_path(folder, number)).load()
    member.restore(tensors, state["member"])
    checks: list[ValidationCheck] = state["checks"]
    return checks
