"""Placements: their defaults, their rules, and the arm of an experiment."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from serving.problems import Problem
from serving.schemas.requests import RecommendationParams
from serving.settings import Arm, Experiment, Placement

# Far below any score: buried products come after all others.
BURIED = -100.0


def find(placements: Mapping[str, Placement], name: str) -> Placement:
    """Return a placement; raises a `Problem` (404) if there is none of that name."""
    if name not in placements:
        known = ", ".join(placements) or "none"
        raise Problem(404, "unknown-placement", f"unknown placement {name!r}; known: {known}")
    return placements[name]


def arm_of(experiment: Experiment | None, visitor: str) -> Arm | None:
    """Return the arm of a user or a session: always the same one, independent of other experiments.

    Parameters
    ----------
    visitor
        Id of a user or a session; empty if unknown, which gives the first arm.
    """
    if experiment is None:
        return None
    if not visitor:
        return experiment.arms[0]
    digest = blake2b(f"{experiment.name}\0{visitor}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    share, reached = int.from_bytes(digest) / 2**64, 0.0
    for arm in experiment.arms:
        reached += arm.share
        if share < reached:
            return arm
    return experiment.arms[-1]


def merged(placement: Placement, arm: Arm | None, params: Mapping[str, Any]) -> RecommendationParams:
    """Return the parameters of a request at a placement.

    Parameters
    ----------
    params
        Members of the request; they override the placement's, except that filters are combined.
    """
    defaults = {**placement.question}
    if arm is not None:
        defaults |= arm.model_dump(include={"strategy", "weights"}, exclude_none=True)
    return RecommendationParams.model_validate({**defaults, **params})
