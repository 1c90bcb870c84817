"""Pages of the studio: sign in, placements and their rules, settings, history; htmx fills the previews."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time
from typing import Any

from flask import Blueprint, g, redirect, render_template, request, url_for
from flask.wrappers import Response
from werkzeug.wrappers import Response as BaseResponse

from recommender.errors import RecommenderError
from recommender.ranking.request import STRATEGIES
from serving import editing
from serving.access import accepts_forms, needs
from serving.pages import page_response
from serving.placements import ServedDefinition
from serving.problems import Problem, problem_of
from serving.routes.report_page import report_response
from serving.schemas.base import RequestModel
from serving.schemas.placements import Placement, Rule, Slug
from serving.service import service
from serving.studio import forms, session
from serving.studio.preview import found_products, preview, recent_users, seed_products

bp = Blueprint("studio", __name__, url_prefix="/studio")
OPEN = ("studio.sign_in_page", "studio.sign_in")


class PlacementName(RequestModel):
    """The name of a new placement or collection."""

    name: Slug


@bp.before_request
def require_editor() -> BaseResponse | None:
    """Send whoever is not signed in to the sign-in page; changes need a form's token and the scope admin."""
    g.editor = session.editor()
    if request.endpoint in OPEN:
        return None
    if g.editor is None:
        return redirect(url_for("studio.sign_in_page"))
    if request.method == "POST":
        session.check_token()
        if not g.editor.may_edit and not str(request.endpoint).endswith(("preview", "sign_out")):
            raise Problem(403, "forbidden", f"key {g.editor.name!r} has no scope 'admin', which changes need")
    return None


bp.after_request(session.set_form_cookie)


@bp.get("/")
@needs(None)
def index() -> Response:
    """List the placements."""
    here = service()
    rows = [
        {"entry": entry, "warnings": editing.warnings_of(here, entry), "rules": entry.model.all_rules()}
        for entry in here.placements.state.placements.values()
    ]
    return page("placements", rows=rows)


@bp.post("/placements")
@accepts_forms
@needs(None)
def create() -> BaseResponse:
    """Create a placement."""
    name = PlacementName.model_validate({"name": request.form.get("name", "").strip()}).name
    if name in service().placements.state.placements:
        raise Problem(409, "conflict", f"there is a placement {name} already")
    model = Placement.model_validate({"question": {"strategy": "popular", "limit": 12}})
    revision = editing.revision_of(service(), "placement", name)
    editing.put(service(), "placement", name, model, g.editor.name, revision)
    return redirect(url_for("studio.placement", name=name), 303)


@bp.get("/placements/<name>")
@needs(None)
def placement(name: str) -> Response:
    """Show a placement's rules, and what shoppers see."""
    entry = editing.current(service(), "placement", name)
    warnings = editing.warnings_of(service(), entry)
    left_out = [each["rule"] for each in warnings if each["detail"].startswith("left out")]
    rules = [
        {"rule": rule, "what": forms.sentence(rule, _titles(rule)), "status": forms.status(rule, left_out)}
        for rule in sorted(entry.model.all_rules(), key=lambda rule: -rule.priority)
    ]
    return page("placement", entry=entry, warnings=warnings, rules=rules, **_seeds(None))


@bp.post("/placements/<name>/remove")
@accepts_forms
@needs(None)
def remove(name: str) -> BaseResponse:
    """Remove what was edited of a placement."""
    editing.delete(service(), "placement", name, g.editor.name, _revision())
    known = name in service().placements.state.placements
    return redirect(url_for("studio.placement", name=name) if known else url_for("studio.index"), 303)


@bp.get("/placements/<name>/rule")
@needs(None)
def rule(name: str) -> Response:
    """Show the form of a rule, or of a new one."""
    entry = editing.current(service(), "placement", name)
    found = next((each for each in entry.model.all_rules() if each.name == request.args.get("rule")), None)
    action = found.action if found else request.args.get("action", "pin")
    if action not in forms.ACTIONS:
        raise Problem(404, "unknown-action", f"there is no action {action!r}")
    value = found.value() if found else {"name": forms.free_name(action, entry.model), "action": action}
    return _rule_page(entry, value, found.name if found else "")


@bp.post("/placements/<name>/rule")
@accepts_forms
@needs(None)
def save_rule(name: str) -> BaseResponse:
    """Save a rule; if that cannot be, show the form again with what was entered and why."""
    entry = editing.current(service(), "placement", name)
    old_name, value = request.form.get("old_name", ""), {**request.form}
    try:
        value = forms.rule_value(request.form)
        changed = forms.with_rule(entry.model, old_name, Rule.model_validate(value))
        editing.put(service(), "placement", name, changed, g.editor.name, _revision())
    except Problem as problem:
        return _rule_page(editing.current(service(), "placement", name), value, old_name, problem)
    return redirect(url_for("studio.placement", name=name), 303)


@bp.post("/placements/<name>/rule/remove")
@accepts_forms
@needs(None)
def remove_rule(name: str) -> BaseResponse:
    """Remove a rule."""
    entry = editing.current(service(), "placement", name)
    changed = forms.with_rule(entry.model, request.form.get("old_name", ""), None)
    editing.put(service(), "placement", name, changed, g.editor.name, _revision())
    return redirect(url_for("studio.placement", name=name), 303)


@bp.get("/placements/<name>/settings")
@needs(None)
def settings(name: str) -> Response:
    """Show the form of a placement's defaults and its experiment."""
    return _settings_page(editing.current(service(), "placement", name))


@bp.post("/placements/<name>/settings")
@accepts_forms
@needs(None)
def save_settings(name: str) -> BaseResponse:
    """Save the defaults and the experiment of a placement."""
    entry = editing.current(service(), "placement", name)
    try:
        changed = Placement.model_validate(forms.placement_value(request.form, entry.model))
        editing.put(service(), "placement", name, changed, g.editor.name, _revision())
    except Problem as problem:
        return _settings_page(editing.current(service(), "placement", name), problem)
    return redirect(url_for("studio.placement", name=name), 303)


@bp.post("/placements/<name>/preview")
@accepts_forms
@needs(None)
def placement_preview(name: str) -> Response:
    """Show what a form that is not saved yet does."""
    entry, form = editing.current(service(), "placement", name), request.form
    collections, changed = service().placements.state.collection_models, entry.model
    try:
        has_products = any(form.get(name, "").strip() for name in ("products", "collection", "item_id"))
        if form.get("form") == "rule" and has_products:  # one that is not filled in yet changes nothing
            drafted = Rule.model_validate(forms.rule_value(form))
            changed = forms.with_rule(entry.model, form.get("old_name", ""), drafted)
        elif form.get("form") == "settings":
            changed = Placement.model_validate(forms.placement_value(form, entry.model))
    except Problem as problem:
        return part("preview", preview=None, message=problem.detail)
    item_id, user_id = form.get("seed", ""), form.get("user_id", "").strip()
    shown = preview(service(), entry.model, changed, collections, item_id, user_id)
    return part("preview", preview=shown, message=shown.error, alone=changed is entry.model)


@bp.get("/seeds")
@needs(None)
def seeds() -> Response:
    """Show products to preview with, by words."""
    return part("seeds", **_seeds(None, request.args.get("words", "")))


@bp.get("/products")
@needs(None)
def products() -> Response:
    """Return products by the words of a field, as suggestions for it."""
    words = request.args.get(request.args.get("field", ""), "").strip()
    return part("found", found=found_products(service().live.recommender, words) if words else [])


@bp.get("/picture")
@needs(None)
def picture() -> Response:
    """Show a product's thumbnail."""
    image = service().live.recommender.thumbnail(request.args.get("id", ""))
    if image is None:
        raise Problem(404, "no-photo", "there is no photo of that")
    return Response(image, content_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


@bp.get("/<any(placement, collection):kind>/<name>/history")
@needs(None)
def history(kind: str, name: str) -> Response:
    """Show the revisions of a placement or a collection, with what each changed."""
    known = service().store.definitions.revisions(kind, name, 200)
    if not known:
        editing.current(service(), kind, name)
    befores = [each.value for each in known[1:]] + [None]
    lines = [
        {"revision": each, "changes": editing.changes(before, each.value)}
        for each, before in zip(known, befores, strict=True)
    ]
    return page("history", kind=kind, name=name, lines=lines, revision=known[0].revision if known else 0)


@bp.post("/<any(placement, collection):kind>/<name>/undo")
@accepts_forms
@needs(None)
def undo(kind: str, name: str) -> BaseResponse:
    """Undo the latest change, or restore a revision."""
    text = request.form.get("to", "")
    editing.undo(service(), kind, name, g.editor.name, _revision(), int(text) if text.isdigit() else None)
    return redirect(url_for("studio.history", kind=kind, name=name), 303)


@bp.errorhandler(RecommenderError)
def library_error(error: RecommenderError) -> Response:
    """Show an error of the library."""
    return show_problem(problem_of(error))


@bp.errorhandler(Problem)
def show_problem(problem: Problem) -> Response:
    """Show a problem; for htmx as a part with status 200, since it swaps only those."""
    if request.headers.get("HX-Request"):
        return part("preview", preview=None, message=problem.detail)
    return page("problem", problem.status, problem=problem)


def _rule_page(
    entry: ServedDefinition, value: Mapping[str, Any], old_name: str, problem: Problem | None = None
) -> Response:
    fields = {name: forms.filter_text(value.get(name)) for name in ("products", "when")}
    fields |= {name: str(value.get(name) or "")[:16] for name in ("from", "until")}
    status = 200 if problem is None else problem.status
    return page(
        "rule",
        status,
        entry=entry,
        value={**value, **fields},
        old_name=old_name,
        problem=problem,
        actions=forms.ACTIONS,
        collections=[*service().placements.state.collections],
        columns=_columns(),
        **_seeds(value.get("when")),
    )


def _settings_page(entry: ServedDefinition, problem: Problem | None = None) -> Response:
    fields = forms.placement_fields(entry.model)
    if problem is not None:
        fields = {name: request.form.get(name, "") for name in fields}
    return page(
        "settings",
        200 if problem is None else problem.status,
        entry=entry,
        problem=problem,
        strategies=STRATEGIES,
        value=fields,
        arms=range(forms.MAX_ARMS),
        columns=_columns(),
        **_seeds(None),
    )


def _seeds(when: Any, words: str = "") -> dict[str, Any]:
    return {"seeds": seed_products(service(), when, words), "users": recent_users(service()), "words": words}


def _columns() -> list[dict[str, Any]]:
    """Return the fields that conditions may name, with the values of short ones."""
    attributes = service().live.recommender.attributes
    columns = []
    for name in attributes.names:
        kind = attributes.kind(name)
        values = attributes.categories(name) if kind == "category" else []
        if kind in ("category", "multi", "number", "date"):
            columns.append({"name": name, "kind": kind, "values": values if len(values) <= 200 else []})
    return columns


def _titles(rule: Rule) -> dict[str, str]:
    recommender = service().live.recommender
    if rule.item_id is None or rule.item_id not in recommender or "title" not in recommender.attributes.names:
        return {}
    return {rule.item_id: str(recommender.fields(rule.item_id, ["title"])["title"] or rule.item_id)}


def _revision() -> int:
    text = request.form.get("revision", "")
    return int(text) if text.isdigit() else 0


def ago(seconds: float) -> str:
    """Return how long ago a moment was."""
    passed = max(time() - seconds, 0)
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if passed >= size:
            count = int(passed // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def day(moment: datetime | float | None) -> str:
    """Return a moment in UTC as a page shows it."""
    if moment is None:
        return ""
    shown = datetime.fromtimestamp(moment, UTC) if isinstance(moment, float) else moment.astimezone(UTC)
    return f"{shown:%d %b %Y, %H:%M}"


@bp.get("/reports")
@needs(None)
def reports() -> Response:
    """Show what recommendations sold, and an experiment, in a period."""
    if not g.editor.may_edit:
        raise Problem(403, "forbidden", f"key {g.editor.name!r} has no scope 'admin', which reports need")
    csv = not service().access.has_keys  # a browser sends no key with a link
    response = report_response("studio/reports.html", "/studio/reports", csv=csv, section="reports", **_common())
    response.headers["Cache-Control"] = "no-store"
    return response


def page(template: str, status: int = 200, /, **values: Any) -> Response:
    """Return a page of the studio."""
    response = page_response(_render(template, values), forms=True)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response


def part(template: str, /, **values: Any) -> Response:
    """Return a part of a page."""
    return page(f"_{template}", **values)


def _render(template: str, values: Mapping[str, Any]) -> Callable[[str], str]:
    def render(nonce: str) -> str:
        return render_template(f"studio/{template}.html", nonce=nonce, **_common(), **values)

    return render


def _common() -> dict[str, Any]:
    return {"editor": g.get("editor"), "token": session.token(), "ago": ago, "day": day}
