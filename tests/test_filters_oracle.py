"""Random filters over random tables, against a plain reading of the filter row by row."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.filters import FilterTable, SharedFilter, SubsetCache, parse, uses_seed
from tests.attribute_tables import attributes
from tests.filter_masks import mask_of, with_overlay

words = st.sampled_from(["", "a", "b", "ä", 'a "b"', "c"])
numbers = st.sampled_from([math.nan, -1.0, 0.0, 2.0, 2.5])
dates = st.sampled_from([None, "2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z", "1969-12-31T00:00:00Z"])
FIELDS = {"word": words, "words": st.lists(words.filter(bool), max_size=3), "number": numbers, "date": dates}
rows = st.fixed_dictionaries(FIELDS)
bounds = st.sampled_from(["gt", "gte", "lt", "lte"])


def operands_of(field):
    """Return operands for a field, those that no row has among them."""
    if field == "number":
        return st.sampled_from([-1, 0, 2.0, 2.5, 7])
    return dates.filter(bool) if field == "date" else words


@st.composite
def conditions(draw):
    field = draw(st.sampled_from([*FIELDS, "id"]))
    several = st.lists(operands_of(field), max_size=3)
    if field == "id":
        return {"ids": draw(st.lists(st.sampled_from(["0", "1", "2", "x"])))}
    operands = {
        "match": operands_of(field),
        "any": several,
        "except": several,
        "exists": st.booleans(),
        "same_as_seed": st.booleans(),
    }
    if field in ("number", "date"):
        operands["range"] = st.dictionaries(bounds, operands_of(field), min_size=1)
    operator = draw(st.sampled_from(sorted(operands)))
    return {"field": field, operator: draw(operands[operator])}


def groups(inner):
    return st.dictionaries(
        st.sampled_from(["must", "should", "must_not"]), st.lists(inner, min_size=1, max_size=3), min_size=1
    )


trees = st.recursive(conditions(), groups, max_leaves=6)


def comparable(field, value):
    return datetime.fromisoformat(value) if field == "date" else value


def values_of(row, field):
    """Return what a row holds of a field as a list, empty for null."""
    value = row[field]
    listed = value if isinstance(value, list) else [value]
    return [comparable(field, v) for v in listed if v not in ("", None) and v == v]


def holds(tree, row, seed):
    """Read a filter aloud."""
    if "ids" in tree:
        return row["id"] in tree["ids"]
    if "field" not in tree:
        return (
            all(holds(inner, row, seed) for inner in tree.get("must", []))
            and (not tree.get("should") or any(holds(inner, row, seed) for inner in tree["should"]))
            and not any(holds(inner, row, seed) for inner in tree.get("must_not", []))
        )
    field = tree["field"]
    operator = next(key for key in tree if key != "field")
    operand, values = tree[operator], values_of(row, field)
    if operator == "exists":
        return bool(values) == operand
    if operator == "same_as_seed":
        return any(value in values_of(seed, field) for value in values) == operand
    if operator == "range":
        compare = {"gt": "__gt__", "gte": "__ge__", "lt": "__lt__", "lte": "__le__"}
        limits = [(compare[bound], comparable(field, limit)) for bound, limit in operand.items()]
        return any(all(getattr(value, name)(limit) for name, limit in limits) for value in values)
    listed = [comparable(field, v) for v in ([operand] if operator == "match" else operand)]
    return any((value in listed) != (operator == "except") for value in values)


def as_text(tree):
    """Write a tree as a line of text."""
    if "ids" in tree:
        return f"id: ANY({', '.join(map(json.dumps, tree['ids']))})" if tree["ids"] else NEVER
    if "field" not in tree:
        parts = [f"({as_text(inner)})" for inner in tree.get("must", [])]
        parts += (
            [f"({' OR '.join(f'({as_text(inner)})' for inner in tree['should'])})"] if tree.get("should") else []
        )
        parts += [f"NOT ({as_text(inner)})" for inner in tree.get("must_not", [])]
        return " AND ".join(parts) or f"NOT ({NEVER})"
    field, operator = tree["field"], next(key for key in tree if key != "field")
    operand = tree[operator]
    if operator in ("exists", "same_as_seed"):
        return f"{'' if operand else 'NOT '}{field}: {operator.upper()}"
    if operator == "range":
        signs = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
        return " AND ".join(f"{field} {signs[bound]} {json.dumps(limit)}" for bound, limit in operand.items())
    if operator == "match":
        return f"{field} = {json.dumps(operand, ensure_ascii=False)}"
    if not operand:
        return NEVER if operator == "any" else f"{field}: EXISTS"
    test = "ANY" if operator == "any" else "EXCEPT"
    return f"{field}: {test}({', '.join(json.dumps(v, ensure_ascii=False) for v in operand)})"


NEVER = 'word = "no row has it"'


def stored(table):
    day = [
        row["date"] and datetime.fromisoformat(row["date"]).astimezone(UTC).replace(tzinfo=None) for row in table
    ]
    return attributes(
        [str(position) for position in range(len(table))],
        word=("category", [row["word"] for row in table]),
        words=("multi", [row["words"] for row in table]),
        number=("number", np.array([row["number"] for row in table], np.float64)),
        date=("date", pd.Series(day, dtype="datetime64[us]")),
    )


@settings(deadline=None, max_examples=60)
@given(
    st.lists(rows, min_size=4, max_size=6),
    st.dictionaries(st.integers(0, 3), st.fixed_dictionaries({}, optional=FIELDS), max_size=3),
    st.integers(0, 3),
    st.lists(trees, min_size=3, max_size=8),
)
def test_masks_equal_a_reference_implementation(table, overlay, seed_row, sampled):
    shop = stored(table)
    cache = SubsetCache(shop, np.arange(len(shop)))
    now = [{**row, "id": str(position), **overlay.get(position, {})} for position, row in enumerate(table)]
    for tree in sampled:
        for form in (tree, as_text(tree), {"must_not": [tree]}):
            expected = [holds(tree, row, now[seed_row]) == (form in (tree, as_text(tree))) for row in now]
            assert mask_of(form, shop, seed_row, overlay, trusted=True).tolist() == expected
            live = with_overlay(shop, overlay)
            assert cache.subset(parse(form, trusted=True), seed_row, live).mask.tolist() == expected


@settings(deadline=None, max_examples=60)
@given(
    st.lists(rows, min_size=4, max_size=6),
    st.dictionaries(st.integers(0, 3), st.fixed_dictionaries({}, optional=FIELDS), max_size=3),
    st.lists(trees, max_size=8),
)
def test_filters_that_are_evaluated_together_match_as_each_alone(table, overlay, drawn):
    bundle = stored(table)
    live = with_overlay(bundle, overlay)
    nodes = [node for node in (parse(tree, trusted=True) for tree in drawn) if not uses_seed(node)]
    together = FilterTable(nodes, bundle)
    for row in range(len(table)):
        found = together.matches(row, live).tolist()
        assert found == [bool(mask_of(node, live)[row]) for node in nodes]
    cache = SubsetCache(live, np.arange(len(table)))
    for node in nodes:  # and a shared filter matches what its conditions match
        assert cache.subset(SharedFilter(node)).mask.tolist() == cache.subset(node).mask.tolist()
