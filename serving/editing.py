"""Change placements and collections: checked, by revision, with undo."""

from collections.abc import Mapping
from typing import Any

from recommender.errors import RequestError, RevisionConflictError
from recommender.filters import FilterTable
from recommender.recommender import Recommender
from serving.placements import PlacementState, ServedDefinition
from serving.problems import Problem
from serving.rules import ParsedRule, parsed
from serving.schemas.placements import Collection, Placement, Rule
from serving.service import Service


def entries(state: PlacementState, kind: str) -> Mapping[str, ServedDefinition]:
    """Return the placements or the collections in service by name."""
    return state.placements if kind == "placement" else state.collections


def put(service: Service, kind: str, name: str, model: Any, author: str, expected: int) -> ServedDefinition:
    """Store a placement or a collection in the place of the revision that was edited, and return it.

    Raises
    ------
    Problem
        422 if its rules contradict each other, or name a collection that is not there; 409, with what changed,
        if the latest revision is another one.
    """
    if kind == "placement":
        _check(service, model)
    return _store(service, kind, name, model.value(), author, expected)


def delete(service: Service, kind: str, name: str, author: str, expected: int) -> None:
    """Remove a placement or a collection from the store, so that the settings' holds, if they have one."""
    entry = current(service, kind, name)
    if entry.latest is None or entry.latest.value is None:
        raise Problem(409, "conflict", f"the {kind} {name} is in the service's TOML; remove it there")
    if kind == "collection" and name not in service.settings.collections:
        users = {
            other.name
            for other in service.placements.state.placements.values()
            for rule in other.model.rules
            if rule.collection == name
        }
        if users:
            raise Problem(409, "conflict", f"rules of {', '.join(sorted(users))} use the collection {name}")
    _store(service, kind, name, None, author, expected)


def undo(
    service: Service, kind: str, name: str, author: str, expected: int, to: int | None = None
) -> ServedDefinition | None:
    """Restore an earlier revision, and return what is in service then; None if nothing of that name is.

    Parameters
    ----------
    to
        The revision to restore, 0 for what was before the first; by default the one before the latest change: to
        undo again goes back further.
    """
    known = service.store.definitions.revisions(kind, name, 1000)
    if not known:
        raise Problem(409, "conflict", f"the {kind} {name} was never changed here; there is nothing to undo")
    value = None
    if to is None:
        start = known[0].revision if known[0].restores is None else known[0].restores
        earlier = [each for each in known if each.revision < start and each.restores is None]
        if start == 0:
            raise Problem(409, "conflict", f"all changes of the {kind} {name} are undone")
        to = earlier[0].revision if earlier else 0
    if to:
        found = next((each for each in known if each.revision == to), None)
        if found is None:
            raise Problem(404, "unknown-revision", f"the {kind} {name} has no revision {to}")
        value = found.value
    _store(service, kind, name, value, author, expected, to)
    return entries(service.placements.state, kind).get(name)


def current(service: Service, kind: str, name: str) -> ServedDefinition:
    """Return what is in service under a name; raises a `Problem` (404) if nothing is."""
    found = entries(service.placements.state, kind).get(name)
    if found is None:
        known = ", ".join(entries(service.placements.state, kind)) or "none"
        raise Problem(404, f"unknown-{kind}", f"unknown {kind} {name!r}; known: {known}")
    return found


def revision_of(service: Service, kind: str, name: str) -> int:
    """Return the latest revision of a name, of what was removed too; 0 before the first."""
    latest = service.placements.state.definitions.get((kind, name))
    return 0 if latest is None else latest.revision


def _store(
    service: Service,
    kind: str,
    name: str,
    value: Mapping[str, Any] | None,
    author: str,
    expected: int,
    restores: int | None = None,
) -> ServedDefinition:
    definitions = service.store.definitions
    try:
        stored = definitions.put(kind, name, value, author=author, expected=expected, restores=restores)
    except RevisionConflictError as error:
        raise conflict(service, error) from None
    service.placements.refresh()
    found = entries(service.placements.state, kind).get(name)
    return found or ServedDefinition(name, None, stored)


def conflict(service: Service, error: RevisionConflictError) -> Problem:
    """Return the problem of the later of two editors: who changed what meanwhile."""
    known = service.store.definitions.revisions(error.kind, error.name, 1000)
    latest = known[0] if known else None
    before = next((each.value for each in known if each.revision == error.expected), None)
    who = "nobody" if latest is None else latest.author
    detail = (
        f"{who} changed the {error.kind} {error.name} meanwhile: it is at revision {error.found}, and yours is a"
    )
    detail += f" change of revision {error.expected}; read it again and repeat your change"
    changed = changes(before, None if latest is None else latest.value)
    return Problem(409, "conflict", detail, [{"pointer": "", "detail": each} for each in changed])


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    """Return what differs between two values of a definition, a sentence for each."""
    if after is None:
        return ["it was removed"]
    if before is None:
        return ["it was created", *_changes({}, after)]
    return _changes(before, after)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    old, new = ({rule["name"]: rule for rule in value.get("rules", ())} for value in (before, after))
    found = [f"rule {name} was removed" for name in old if name not in new]
    found += [f"rule {name} was added" for name in new if name not in old]
    found += [
        f"rule {name}: {_members(old[name], new[name])}" for name in new if old.get(name, new[name]) != new[name]
    ]
    if [name for name in old if name in new] != [name for name in new if name in old]:
        found.append("the rules are in another order")
    rest = [{name: value for name, value in each.items() if name != "rules"} for each in (before, after)]
    return found + ([_members(*rest)] if rest[0] != rest[1] else [])


def _members(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {_short(before.get(name))} → {_short(after.get(name))}" for name in names)


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(each.get("name", "") if isinstance(each, dict) else str(each) for each in value)
    if isinstance(value, dict):
        value = ", ".join(f"{name} {_short(each)}" for name, each in value.items())
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _check(service: Service, placement: Placement) -> None:
    """Raise a `Problem` if rules contradict each other, or name what is not there."""
    collections, recommender = service.placements.state.collection_models, service.live.recommender
    shown = {*placement.question.get("fields", ())} & {*service.settings.private_fields}
    if shown:
        raise _invalid("/question/fields", f"{min(shown)} is among private_fields of the settings")
    try:
        rules = [parsed(rule, collections) for rule in placement.all_rules()]
    except RequestError as error:
        raise _invalid("/rules", str(error)) from None
    for rule, block in contradictions(rules, recommender):
        found = f"rule {rule.name} pins {rule.item_id}, which rule {block.name} blocks at the same time"
        raise _invalid("/rules", f"{found}; remove one of them, or give them periods that do not overlap")


def _invalid(pointer: str, detail: str) -> Problem:
    return Problem(422, "invalid-request", detail, [{"pointer": pointer, "detail": detail}])


def contradictions(rules: list[ParsedRule], recommender: Recommender) -> list[tuple[Rule, Rule]]:
    """Return the pairs of a pin and a rule that blocks its product at the same time."""
    attributes = recommender.attributes
    pins = [each.rule for each in rules if each.rule.action == "pin"]
    blocks = []
    for each in rules:
        if each.rule.action == "block" and not each.compares_with_seed:
            try:
                blocks.append((each.rule, FilterTable([each.products], attributes), each.products))
            except RequestError:
                continue  # of a field that this bundle lacks
    return [
        (pin, block)
        for pin in pins
        for block, table, _ in blocks
        if _coincide(pin, block) and (row := attributes.row_of(pin.item_id or "")) >= 0
        if table.matches(row, recommender.live_attributes)[0]
    ]


def _coincide(pin: Rule, block: Rule) -> bool:
    """Return whether a block holds wherever and as soon as a pin does, for a while at least."""
    periods = [(pin.from_, block.until), (block.from_, pin.until)]
    overlap = all(begin is None or end is None or begin < end for begin, end in periods)
    return overlap and (block.when is None or block.when == pin.when)


def warnings_of(service: Service, entry: ServedDefinition) -> list[dict[str, str]]:
    """Return what is wrong with a placement or a collection now, by rule."""
    found = [{"rule": "", "detail": f"the store's revision cannot be used: {entry.error}"}] if entry.error else []
    recommender, state = service.live.recommender, service.placements.state
    if isinstance(entry.model, Collection):
        return found + _collection_warnings(entry.model, recommender)
    compiled = state.rules(entry.name, entry.model, recommender)
    found += [{"rule": rule, "detail": detail} for rule, detail in compiled.warnings.items()]
    rules = []
    for rule in entry.model.all_rules():
        if rule.name not in compiled.warnings:
            rules.append(parsed(rule, state.collection_models))
            if rule.item_id is not None and not recommender.is_available(rule.item_id):
                detail = f"{rule.item_id} cannot be bought now, so that it is not shown"
                found.append({"rule": rule.name, "detail": detail})
    for pin, block in contradictions(rules, recommender):
        found.append({"rule": pin.name, "detail": f"the rule {block.name} blocks {pin.item_id}"})
    for arm in entry.model.experiment.arms if entry.model.experiment else ():
        if arm.generation and not service.live.has(arm.generation):
            detail = f"arm {arm.name}: generation {arm.generation} is not open; the current one answers"
            found.append({"rule": "", "detail": detail})
    return found


def _collection_warnings(collection: Collection, recommender: Recommender) -> list[dict[str, str]]:
    attributes = recommender.attributes
    if collection.item_ids is not None:
        unknown = [item_id for item_id in collection.item_ids if attributes.row_of(item_id) < 0]
        detail = f"{len(unknown)} products are not in this bundle, such as {', '.join(unknown[:3])}"
        return [{"rule": "", "detail": detail}] if unknown else []
    try:
        FilterTable([collection.node()], attributes)
    except RequestError as error:
        return [{"rule": "", "detail": f"left out: {error}"}]
    return []
