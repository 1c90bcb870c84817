"""From the fields of a form to the value of a rule, a placement or a collection, and back."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from serving.problems import Problem
from serving.schemas.placements import Placement, Rule

MAX_ARMS = 4
ACTIONS: dict[str, str] = {
    "pin": "Show one product at a position",
    "fill": "Fill positions from a collection",
    "boost": "Raise or lower products",
    "bury": "Show products after all others",
    "filter": "Show these products first",
    "block": "Never show products",
}


def filter_text(value: Any) -> str:
    """Return a filter as a form shows it: its text, or its tree as JSON."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def filter_value(text: str) -> Any:
    """Return the filter of a field; None if it is empty."""
    text = text.strip()
    if not text.startswith("{"):
        return text or None
    try:
        return json.loads(text)
    except ValueError as error:
        raise _wrong(f"the filter is neither a text nor JSON: {error}") from None


def rule_value(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the value of a rule: members that its action does not have are left out."""
    action = form.get("action", "")
    value: dict[str, Any] = {"name": form.get("name", "").strip(), "action": action}
    if action == "pin":
        value |= {"item_id": form.get("item_id", "").strip() or None, "position": number(form, "position")}
    else:
        collection = form.get("collection", "").strip() or None
        value["collection"] = collection
        value["products"] = None if collection else filter_value(form.get("products", ""))
    if action == "fill":
        value |= {"position": number(form, "position"), "count": number(form, "count")}
    if action == "boost":
        value["add"] = number(form, "add", float)
    value |= {
        "when": filter_value(form.get("when", "")),
        "from": moment(form, "from"),
        "until": moment(form, "until"),
        "priority": number(form, "priority") or 0,
        "note": form.get("note", "").strip(),
    }
    return {name: each for name, each in value.items() if each is not None}


def placement_fields(placement: Placement) -> dict[str, str]:
    """Return the fields of the form of a placement's settings."""
    question, experiment = placement.question, placement.experiment
    fields = {
        "strategy": question.get("strategy", ""),
        "limit": str(question.get("limit", 12)),
        "filter": filter_text(question.get("filter")),
        "note": placement.note,
        "experiment": experiment.name if experiment else "",
    }
    arms = dict(enumerate(experiment.arms if experiment else ()))
    for position in range(MAX_ARMS):
        arm = arms.get(position)
        fields[f"arm-{position}-name"] = arm.name if arm else ""
        fields[f"arm-{position}-share"] = f"{100 * arm.share:g}" if arm else ""
        fields[f"arm-{position}-strategy"] = (arm.strategy or "") if arm else ""
    return fields


def placement_value(form: Mapping[str, str], before: Placement) -> dict[str, Any]:
    """Return the value of a placement with the settings of a form, and the rules that it has."""
    value = before.with_rules(before.all_rules()).value()
    question = dict(before.question)
    for name in ("strategy", "filter"):
        text = form.get(name, "").strip()
        question[name] = filter_value(text) if name == "filter" else text or None
    question["limit"] = number(form, "limit")
    value["question"] = {name: each for name, each in question.items() if each is not None}
    value["note"] = form.get("note", "").strip()
    value["experiment"] = _experiment(form, before)
    return {name: each for name, each in value.items() if each is not None}


def _experiment(form: Mapping[str, str], before: Placement) -> dict[str, Any] | None:
    """Return the experiment of a form; None if all of its fields are empty."""
    known = {arm.name: arm.value() for arm in before.experiment.arms} if before.experiment else {}
    arms = []
    for position in range(MAX_ARMS):
        name = form.get(f"arm-{position}-name", "").strip()
        share = number(form, f"arm-{position}-share", float)
        if not name and share is None:
            continue
        strategy = form.get(f"arm-{position}-strategy", "").strip() or None
        arm = {**known.get(name, {}), "name": name, "share": 0.0 if share is None else share / 100}
        arms.append({key: each for key, each in {**arm, "strategy": strategy}.items() if each is not None})
    name = form.get("experiment", "").strip()
    return {"name": name, "arms": arms} if name or arms else None


def collection_value(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the value of a collection: ids, one a line, or a filter."""
    note = form.get("note", "").strip()
    if form.get("kind") == "filter":
        return {"filter": filter_value(form.get("filter", "")) or {}, "note": note}
    ids = dict.fromkeys(line.strip() for line in form.get("item_ids", "").splitlines() if line.strip())
    return {"item_ids": [*ids], "note": note}


def with_rule(placement: Placement, old_name: str, rule: Rule | None) -> Placement:
    """Return a placement with a rule in the place of the one of that name, at the end if there is none."""
    rules: list[Rule] = []
    found = False
    for each in placement.all_rules():
        if each.name != old_name:
            rules.append(each)
        elif rule is not None:
            rules.append(rule)
            found = True
    return placement.with_rules(rules if rule is None or found else [*rules, rule])


def free_name(action: str, placement: Placement) -> str:
    """Return a name that no rule of a placement has."""
    names = {rule.name for rule in placement.all_rules()}
    return next(name for n in range(1, len(names) + 2) if (name := f"{action}-{n}") not in names)


def number(form: Mapping[str, str], name: str, kind: type[int] | type[float] = int) -> Any:
    """Return the number of a field; None if it is empty."""
    text = form.get(name, "").strip()
    try:
        return kind(text) if text else None
    except ValueError:
        raise _wrong(f"{name} is {text!r}; expected a {'whole ' if kind is int else ''}number") from None


def moment(form: Mapping[str, str], name: str) -> str | None:
    """Return the moment of a field, whose time is in UTC; None if it is empty."""
    text = form.get(name, "").strip()
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).isoformat() if text else None
    except ValueError:
        raise _wrong(f"{name} is {text!r}; expected a date and a time") from None


def sentence(rule: Rule, titles: Mapping[str, str]) -> str:
    """Return what a rule does as a sentence; `titles` has those of products by id."""
    what = f"the collection {rule.collection}" if rule.collection else _described(rule.products)
    match rule.action:
        case "pin":
            return f"{titles.get(rule.item_id or '', rule.item_id)} at position {rule.position}"
        case "fill":
            return f"{rule.count or 'All'} positions from {rule.position or 1} with {what}"
        case "boost":
            return f"{what} {'up' if (rule.add or 0) > 0 else 'down'} by {abs(rule.add or 0):g}"
    return what


def _described(products: Any) -> str:
    """Return a filter as its text, and one of ids alone in words."""
    if isinstance(products, dict) and products.keys() == {"ids"}:
        ids = products["ids"]
        more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
        return f"product{'s' if len(ids) > 1 else ''} {', '.join(ids[:3])}{more}"
    return filter_text(products)


def status(rule: Rule, left_out: Sequence[str]) -> str:
    """Return whether a rule is in force, scheduled, ended or left out."""
    now = datetime.now(UTC)
    if rule.name in left_out:
        return "left out"
    if rule.until is not None and rule.until <= now:
        return "ended"
    return "scheduled" if rule.from_ is not None and rule.from_ > now else "in force"


def _wrong(detail: str) -> Problem:
    return Problem(422, "invalid-request", detail)
