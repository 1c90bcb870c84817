"""Placements as they are now: those of the store over those of the settings, with their rules compiled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from secrets import token_hex
from threading import Lock
from typing import Any, NamedTuple

from recommender.recommender import Recommender
from recommender.stores import Definition, DefinitionStore
from serving.problems import Problem
from serving.rules import CompiledRules
from serving.schemas.placements import Arm, Collection, DefinitionModel, Experiment, Placement
from serving.schemas.requests import PageParams, RecommendationParams
from serving.settings import Settings

KINDS: dict[str, type[DefinitionModel]] = {"placement": Placement, "collection": Collection}


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
    return next(arm for arm in reversed(experiment.arms) if arm.share > 0)


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


class ServedDefinition(NamedTuple):
    """A placement or a collection in service.

    Parameters
    ----------
    name
        Its name.
    model
        What it is.
    latest
        Its revision in the store; None if the settings have it.
    error
        Why the latest revision cannot be used, so that the settings' holds, if they have it.
    """

    name: str
    model: Any
    latest: Definition | None = None
    error: str = ""

    @property
    def source(self) -> str:
        """Where it is from: store or toml."""
        return "toml" if self.latest is None or self.error or self.latest.value is None else "store"

    @property
    def revision(self) -> int:
        """The revision that a change of it must name; 0 before the first."""
        return 0 if self.latest is None else self.latest.revision


@dataclass(frozen=True)
class PlacementState:
    """Everything that is in service at one revision of the store.

    Parameters
    ----------
    placements, collections
        By name.
    revision
        Of the store; -1 while it has not been read.
    definitions
        Kind and name to the latest revision in the store, of what was removed too.
    """

    placements: Mapping[str, ServedDefinition]
    collections: Mapping[str, ServedDefinition]
    revision: int = -1
    definitions: Mapping[tuple[str, str], Definition] = field(default_factory=dict)
    _compiled: dict[tuple[str, str], CompiledRules] = field(default_factory=dict, compare=False)

    @classmethod
    def of(
        cls,
        settings: Settings,
        revision: int = -1,
        definitions: Mapping[tuple[str, str], Definition] | None = None,
    ) -> "PlacementState":
        """Return the settings' placements and collections with those of a store over them."""
        known = definitions or {}
        parts: dict[str, Mapping[str, Any]] = {
            "placement": settings.placements,
            "collection": settings.collections,
        }
        entries = {
            kind: {
                name: ServedDefinition(name, model, known.get((kind, name))) for name, model in configured.items()
            }
            for kind, configured in parts.items()
        }
        for (kind, name), latest in known.items():
            if latest.value is None or kind not in entries:
                continue
            try:
                model = KINDS[kind].model_validate(latest.value)
            except Problem as problem:  # of a newer version, or the rules became stricter: nothing is lost
                if name in entries[kind]:
                    entries[kind][name] = entries[kind][name]._replace(error=str(problem))
            else:
                entries[kind][name] = ServedDefinition(name, model, latest)
        return cls(
            dict(sorted(entries["placement"].items())),
            dict(sorted(entries["collection"].items())),
            revision,
            known,
        )

    @property
    def collection_models(self) -> dict[str, Collection]:
        """The collections by name."""
        return {name: entry.model for name, entry in self.collections.items()}

    @property
    def placement_models(self) -> dict[str, Placement]:
        """The placements by name."""
        return {name: entry.model for name, entry in self.placements.items()}

    def rules(self, name: str, placement: Placement, recommender: Recommender) -> CompiledRules:
        """Return the rules of a placement over a bundle, compiled anew where one begins or ends."""
        key, moment = (name, recommender.generation), datetime.now(UTC)
        compiled = self._compiled.get(key)
        is_current = compiled is not None and compiled.placement is placement
        if compiled is None or not is_current or (compiled.until is not None and moment >= compiled.until):
            compiled = CompiledRules(placement, self.collection_models, recommender.attributes, moment)
            if len(self._compiled) > 4 * len(self.placements):  # of earlier generations
                self._compiled.clear()
            self._compiled[key] = compiled
        return compiled


class LivePlacements:
    """The placements and collections in service, which follow the store without a query in a request.

    Parameters
    ----------
    settings
        Have those to start from.
    store
        Has those that were edited.
    """

    def __init__(self, settings: Settings, store: DefinitionStore) -> None:
        self._settings, self.store = settings, store
        self.state, self._refreshing = PlacementState.of(settings), Lock()

    def refresh(self, recommender: Callable[[], Recommender] | None = None) -> None:
        """Read the changes since the last refresh, and compile the rules before requests meet them."""
        with self._refreshing:
            self.state = self._read(self.state, recommender)

    def _read(self, state: PlacementState, recommender: Callable[[], Recommender] | None) -> PlacementState:
        if (revision := self.store.revision()) != state.revision:
            changed = {(each.kind, each.name): each for each in self.store.read(since=max(state.revision, 0))}
            latest = max([revision, *(each.revision for each in changed.values())])
            state = PlacementState.of(self._settings, latest, {**state.definitions, **changed})
        if recommender is not None:
            current = recommender()
            for name, entry in state.placements.items():
                state.rules(name, entry.model, current)
        return state

    def find(self, name: str) -> ServedDefinition:
        """Return a placement; raises a `Problem` (404) if there is none of that name."""
        if (entry := self.state.placements.get(name)) is None:
            known = ", ".join(self.state.placements) or "none"
            raise Problem(404, "unknown-placement", f"unknown placement {name!r}; known: {known}")
        return entry

    def generations(self) -> set[str]:
        """Return the generations that the arms of experiments name."""
        experiments = (entry.model.experiment for entry in self.state.placements.values())
        return {arm.generation for each in experiments if each for arm in each.arms if arm.generation}
