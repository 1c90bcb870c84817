"""What a placement says: defaults under the request, rules over it, and the arm of an experiment."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from serving.problems import Problem
from serving.schemas.requests import RecommendationParams
from serving.settings import Arm, Experiment, Placement

# Far below any score: what is buried comes after everything else.
BURIED = -100.0


def find(placements: Mapping[str, Placement], name: str) -> Placement:
    """Return a placement; raises a `Problem` (404) if there is none of that name."""
    if name not in placements:
        known = ", ".join(placements) or "none"
        raise Problem(404, "unknown-placement", f"unknown placement {name!r}; there are: {known}")
    return placements[name]


def arm_of(experiment: Experiment | None, somebody: str) -> Arm | None:
    """Return the arm that a user or a session is in: always the same one, whatever the other experiments.

    Parameters
    ----------
    somebody
        Id of a user or a session; empty is nobody, who is in the first arm.
    """
    if experiment is None:
        return None
    if not somebody:
        return experiment.arms[0]
    digest = blake2b(f"{experiment.name}\0{somebody}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    place, reached = int.from_bytes(digest) / 2**64, 0.0
    for arm in experiment.arms:
        reached += arm.share
        if place < reached:
            return arm
    return experiment.arms[-1]


def merged(placement: Placement, arm: Arm | None, said: Mapping[str, Any]) -> RecommendationParams:
    """Return the question of a request at a placement.

    Parameters
    ----------
    said
        The members that the request has; they go over the placement's, but for the filters, all of which hold.
    """
    asked = {**placement.question}
    if arm is not None:
        asked |= arm.model_dump(include={"strategy", "weights"}, exclude_none=True)
    return RecommendationParams.model_validate({**asked, **said})
