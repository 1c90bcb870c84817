"""Routes of placements and collections: read, change and undo them."""

import re
from datetime import UTC, datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response, g, request

from recommender.stores import Definition
from serving import editing
from serving.access import needs
from serving.json_codec import json_response
from serving.paging import decode, encode, page_of
from serving.placements import ServedDefinition
from serving.problems import Problem
from serving.schemas.definitions import (
    CollectionEntry,
    CollectionList,
    PlacementEntry,
    PlacementList,
    Removed,
    Revisions,
)
from serving.schemas.events import Page
from serving.schemas.placements import Collection, Placement, Slug
from serving.schemas.requests import RequestModel
from serving.service import service

bp = APIBlueprint("definitions", __name__, url_prefix="/v1")
_CHANGED: Any = {409: "It was changed meanwhile: the errors say how", 428: "There is no If-Match"}
LOCAL = "local"  # the author where there are no keys


class DefinitionName(RequestModel):
    """The name of a placement or a collection."""

    name: Slug


@bp.get("/placements")
@bp.input(Page, location="query", arg_name="query")
@bp.output(PlacementList)
@needs("admin")
def list_placements(query: Page) -> Response:
    """List the placements with their source, the store or the TOML, and with what is wrong with their rules."""
    return _list("placement", query)


@bp.get("/placements/<name>")
@bp.output(PlacementEntry)
@needs("admin")
def get_placement(name: str) -> Response:
    """Return a placement; its revision is the ETag too."""
    return _shown("placement", editing.current(service(), "placement", name))


@bp.put("/placements/<name>")
@bp.input(DefinitionName, location="path", arg_name="path")
@bp.input(Placement, arg_name="model")
@bp.output(PlacementEntry)
@bp.doc(responses=_CHANGED)
@needs("admin")
def put_placement(name: str, path: DefinitionName, model: Placement) -> Response:
    """Store a placement over that of the TOML; If-Match names the revision that was edited, 0 if none."""
    return _put("placement", path.name, model)


@bp.delete("/placements/<name>")
@bp.output(Removed)
@bp.doc(responses=_CHANGED)
@needs("admin")
def delete_placement(name: str) -> Response:
    """Remove a placement from the store; that of the TOML holds then, if there is one."""
    return _delete("placement", name)


@bp.get("/placements/<name>/revisions")
@bp.input(Page, location="query", arg_name="query")
@bp.output(Revisions)
@needs("admin")
def placement_revisions(name: str, query: Page) -> Response:
    """List the revisions of a placement, the newest first."""
    return _revisions("placement", name, query)


@bp.post("/placements/<string:name>:undo")
@bp.output(PlacementEntry)
@bp.doc(responses=_CHANGED)
@needs("admin")
def undo_placement(name: str) -> Response:
    """Undo the latest change of a placement; answers are as before it. To undo again goes back further."""
    return _undo("placement", name)


@bp.get("/collections")
@bp.input(Page, location="query", arg_name="query")
@bp.output(CollectionList)
@needs("admin")
def list_collections(query: Page) -> Response:
    """List the collections of products."""
    return _list("collection", query)


@bp.get("/collections/<name>")
@bp.output(CollectionEntry)
@needs("admin")
def get_collection(name: str) -> Response:
    """Return a collection; its revision is the ETag too."""
    return _shown("collection", editing.current(service(), "collection", name))


@bp.put("/collections/<name>")
@bp.input(DefinitionName, location="path", arg_name="path")
@bp.input(Collection, arg_name="model")
@bp.output(CollectionEntry)
@bp.doc(responses=_CHANGED)
@needs("admin")
def put_collection(name: str, path: DefinitionName, model: Collection) -> Response:
    """Store a collection over that of the TOML; If-Match names the revision that was edited, 0 if none."""
    return _put("collection", path.name, model)


@bp.delete("/collections/<name>")
@bp.output(Removed)
@bp.doc(responses=_CHANGED)
@needs("admin")
def delete_collection(name: str) -> Response:
    """Remove a collection that no rule uses."""
    return _delete("collection", name)


@bp.get("/collections/<name>/revisions")
@bp.input(Page, location="query", arg_name="query")
@bp.output(Revisions)
@needs("admin")
def collection_revisions(name: str, query: Page) -> Response:
    """List the revisions of a collection, the newest first."""
    return _revisions("collection", name, query)


@bp.post("/collections/<string:name>:undo")
@bp.output(CollectionEntry)
@bp.doc(responses=_CHANGED)
@needs("admin")
def undo_collection(name: str) -> Response:
    """Undo the latest change of a collection."""
    return _undo("collection", name)


def author() -> str:
    """Return the name of the request's key."""
    return g.get("key_name") or LOCAL


def expected_revision() -> int:
    """Return the revision of the header If-Match; raises a `Problem` (428) if there is none."""
    text = request.headers.get("If-Match", "")
    if not (found := re.fullmatch(r'(?:W/)?"?(\d{1,18})"?', text.strip())):
        detail = "If-Match names no revision; expected the ETag of what was edited, or 0 for what is new"
        raise Problem(428, "precondition-required", detail)
    return int(found[1])


def _list(kind: str, query: Page) -> Response:
    here = service()
    listed = [_body(entry) for entry in editing.entries(here.placements.state, kind).values()]
    page, cursor = page_of(listed, ("name",), query.limit, query.cursor)
    body = {f"{kind}s": page, "next_cursor": cursor, "revision": max(here.placements.state.revision, 0)}
    return json_response(body)


def _shown(kind: str, entry: ServedDefinition) -> Response:
    body = {**_body(entry), kind: entry.model.value()}
    return json_response(body, headers={"ETag": f'"{entry.revision}"'})


def _body(entry: ServedDefinition) -> dict[str, Any]:
    latest = entry.latest
    return {
        "name": entry.name,
        "source": entry.source,
        "revision": entry.revision,
        "author": None if latest is None else latest.author,
        "changed_at": None if latest is None else moment_of(latest),
        "warnings": editing.warnings_of(service(), entry),
    }


def _put(kind: str, name: str, model: Any) -> Response:
    return _shown(kind, editing.put(service(), kind, name, model, author(), expected_revision()))


def _delete(kind: str, name: str) -> Response:
    editing.delete(service(), kind, name, author(), expected_revision())
    revision = editing.revision_of(service(), kind, name)
    return json_response({"name": name, "revision": revision})


def _undo(kind: str, name: str) -> Response:
    here = service()
    found = editing.undo(here, kind, name, author(), expected_revision())
    if found is not None:
        return _shown(kind, found)
    revision = editing.revision_of(here, kind, name)
    return json_response({"name": name, "revision": revision, "source": None, "warnings": []})


def _revisions(kind: str, name: str, query: Page) -> Response:
    before = None if query.cursor is None else int(decode(query.cursor, int)[0])
    known = service().store.definitions.revisions(kind, name, query.limit + 1, before)
    if not known and before is None:
        editing.current(service(), kind, name)  # a 404 for a name never seen
    page = [_revision(each) for each in known[: query.limit]]
    cursor = encode(page[-1]["revision"]) if len(known) > query.limit else None
    return json_response({"revisions": page, "next_cursor": cursor})


def _revision(each: Definition) -> dict[str, Any]:
    return {
        "revision": each.revision,
        "author": each.author,
        "changed_at": moment_of(each),
        "restores": each.restores,
        "value": each.value,
    }


def moment_of(each: Definition) -> str:
    """Return when a revision was made, in ISO 8601."""
    moment = datetime.fromtimestamp(each.changed_at, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")
