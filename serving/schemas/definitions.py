"""Responses about placements and collections, for the OpenAPI document; see `serving.schemas.responses`."""

from typing import Any, Literal

from pydantic import BaseModel


class RuleWarning(BaseModel):
    """What is wrong with a rule, such as a field that the bundle lacks; `rule` is empty where none is meant."""

    rule: str
    detail: str


class DefinitionSummary(BaseModel):
    """A placement or a collection: its source, its latest revision in the store, and who made that."""

    name: str
    source: Literal["store", "toml"] | None
    revision: int
    author: str | None = None
    changed_at: str | None = None
    warnings: list[RuleWarning]


class PlacementEntry(DefinitionSummary):
    """A placement."""

    placement: dict[str, Any] | None = None


class PlacementList(BaseModel):
    """The placements in service, in order of name, and the revision of the store."""

    placements: list[DefinitionSummary]
    next_cursor: str | None
    revision: int


class CollectionEntry(DefinitionSummary):
    """A collection of products."""

    collection: dict[str, Any] | None = None


class CollectionList(BaseModel):
    """The collections in service, in order of name, and the revision of the store."""

    collections: list[DefinitionSummary]
    next_cursor: str | None
    revision: int


class Removed(BaseModel):
    """What was removed from the store, and the revision of that."""

    name: str
    revision: int


class Revision(BaseModel):
    """One revision; its value is null where it was removed, `restores` is the revision that an undo restored."""

    revision: int
    author: str
    changed_at: str
    restores: int | None
    value: dict[str, Any] | None


class Revisions(BaseModel):
    """Revisions, the newest first."""

    revisions: list[Revision]
    next_cursor: str | None
