"""Pages of the studio about collections of products."""

from typing import Any

from flask import g, redirect, request, url_for
from flask.wrappers import Response
from werkzeug.wrappers import Response as BaseResponse

from recommender.errors import RequestError
from serving import editing
from serving.access import accepts_forms, needs
from serving.placements import ServedDefinition
from serving.problems import Problem
from serving.schemas.placements import Collection
from serving.service import service
from serving.studio import forms
from serving.studio.preview import matching
from serving.studio.views import PlacementName, _columns, _revision, bp, page, part


@bp.get("/collections")
@needs(None)
def collections() -> Response:
    """List the collections."""
    here, rows = service(), []
    for entry in here.placements.state.collections.values():
        warnings = editing.warnings_of(here, entry)
        is_left_out = any(each["detail"].startswith("left out") for each in warnings)
        cards, count = ([], 0) if is_left_out else matching(here, entry.model)
        rows.append({"entry": entry, "warnings": warnings, "cards": cards[:6], "count": count})
    return page("collections", rows=rows)


@bp.get("/collections/<name>")
@needs(None)
def collection(name: str) -> Response:
    """Show the form of a collection."""
    return _collection_page(editing.current(service(), "collection", name))


@bp.get("/new-collection")
@needs(None)
def new_collection() -> Response:
    """Show the form of a new collection."""
    return _collection_page(None)


@bp.post("/collections")
@accepts_forms
@needs(None)
def save_collection() -> BaseResponse:
    """Save a collection."""
    name = request.form.get("name", "").strip()
    entry = service().placements.state.collections.get(name) if request.form.get("old_name") else None
    try:
        name = PlacementName.model_validate({"name": name}).name
        model = Collection.model_validate(forms.collection_value(request.form))
        if entry is None and name in service().placements.state.collections:
            raise Problem(409, "conflict", f"there is a collection {name} already")
        revision = _revision() if entry else editing.revision_of(service(), "collection", name)
        editing.put(service(), "collection", name, model, g.editor.name, revision)
    except Problem as problem:
        return _collection_page(entry, problem)
    return redirect(url_for("studio.collections"), 303)


@bp.post("/collections/<name>/remove")
@accepts_forms
@needs(None)
def remove_collection(name: str) -> BaseResponse:
    """Remove a collection."""
    editing.delete(service(), "collection", name, g.editor.name, _revision())
    return redirect(url_for("studio.collections"), 303)


@bp.post("/collection-preview")
@accepts_forms
@needs(None)
def collection_preview() -> Response:
    """Show the products of a collection that is not saved yet."""
    try:
        cards, count = matching(service(), Collection.model_validate(forms.collection_value(request.form)))
    except (Problem, RequestError) as error:
        return part("products", cards=[], count=0, message=str(error))
    return part("products", cards=cards, count=count, message="")


def _collection_page(entry: ServedDefinition | None, problem: Problem | None = None) -> Response:
    model: Any = entry.model if entry else Collection(item_ids=())
    value = {
        "name": entry.name if entry else "",
        "kind": "ids" if model.item_ids is not None else "filter",
        "item_ids": "\n".join(model.item_ids or ()),
        "filter": forms.filter_text(model.filter),
        "note": model.note,
    }
    if problem is not None:
        value |= {name: request.form.get(name, "") for name in value}
    status = 200 if problem is None else problem.status
    return page("collection", status, entry=entry, value=value, problem=problem, columns=_columns())
