"""A placement's rules for a batch, as the service answers them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recommender.errors import ConfigError, RequestError, nearest
from recommender.progress import notice
from serving.placements import merged
from serving.recommending import rules_of
from serving.rules import combined, ordered, parsed
from serving.settings import Settings


@dataclass(frozen=True)
class PlacementRules:
    """What a placement asks for every user or product.

    Parameters
    ----------
    options
        Members of `Request`.
    described
        The placement and its arm, JSON-able.
    trending_days
        The window of the strategy trending.
    generation
        That of the arm; None for the current one.
    """

    options: dict[str, Any]
    described: dict[str, Any]
    trending_days: int
    generation: str | None = None


def placement_rules(settings: Path | None, name: str, arm_name: str | None = None) -> PlacementRules:
    """Return the rules of a placement of the service's settings.

    Parameters
    ----------
    settings
        TOML file of the service; None takes the settings of the environment.
    name
        Of the placement.
    arm_name
        Arm of its experiment, where it has one.

    Raises
    ------
    ConfigError
        If the settings cannot be read, or have no such placement.
    RequestError
        If an arm is missing or unknown, or if the placement has seeds of its own.
    """
    loaded = Settings.load(settings)
    if name not in loaded.placements:
        known = ", ".join(loaded.placements) or "none"
        guess = nearest(name, loaded.placements)
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise ConfigError(f"there is no placement {name!r}; the settings have {known}{hint}")
    placement = loaded.placements[name]
    arms = {} if placement.experiment is None else {arm.name: arm for arm in placement.experiment.arms}
    if arms.keys() and arm_name not in arms:
        raise RequestError(f"the placement {name} has an experiment; name its arm: {', '.join(arms)}", "/arm")
    if arm_name is not None and not arms:
        raise RequestError(f"the placement {name} has no experiment; leave out the arm {arm_name!r}", "/arm")
    arm = arms.get(arm_name or "")
    params = merged(placement, arm, {})
    if params.seeds.items or params.seeds.events or params.seeds.text or params.seeds.image:
        raise RequestError(f"the placement {name} has seeds of its own; a batch sets them for each user", "/seeds")
    described = {"placement": placement.model_dump(mode="json"), "arm": arm_name}
    now = datetime.now(UTC)
    rules = [each for each in ordered(placement) if each.is_in_force(now)]
    if conditional := [rule.name for rule in rules if rule.when is not None]:
        notice(f"rules with a condition on the seed are left out of a batch: {', '.join(conditional)}")
    effect = combined([parsed(rule, loaded.collections) for rule in rules if rule.when is None])
    effect = replace(effect, narrow=(), boosts=(*effect.boosts, *effect.demote))
    given = rules_of(params, placement, effect)
    options = {member: value for member, value in given.items() if value not in (None, {}, ())}
    return PlacementRules(options, described, loaded.trending_days, None if arm is None else arm.generation)
