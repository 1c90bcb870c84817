"""Placements: their defaults, their rules, and the arm of an experiment."""

from collections.abc import Mapping
from hashlib import blake2b
from secrets import token_hex
from typing import Any, NamedTuple

from serving.problems import Problem
from serving.schemas.requests import PageParams, RecommendationParams
from serving.settings import Arm, Experiment, Placement

# Far below any score: buried products come after all others.
BURIED = -100.0


def find(placements: Mapping[str, Placement], name: str) -> Placement:
    """Return a placement; raises a `Problem` (404) if there is none of that name."""
    if name not in placements:
        known = ", ".join(placements) or "none"
        raise Problem(404, "unknown-placement", f"unknown placement {name!r}; known: {known}")
    return placements[name]


class Visitor(NamedTuple):
    """Who sees a placement.

    Parameters
    ----------
    id
        By which the arms of experiments are chosen.
    is_known
        Whether the request has named it: an id drawn for one request gives an arm that is not counted.
    """

    id: str
    is_known: bool


def visitor_of(params: RecommendationParams | PageParams) -> Visitor:
    """Return the session of a request, which a login does not change; else its user, else one drawn for it."""
    named = params.session_id or params.seeds.user_id
    return Visitor(named or token_hex(8), named is not None)


def arm_of(experiment: Experiment, visitor: str) -> Arm:
    """Return the arm of a visitor: always the same one, independent of other experiments."""
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
