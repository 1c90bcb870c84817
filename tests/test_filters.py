import numpy as np
import pytest

from recommender.errors import RequestError
from recommender.filters import SubsetCache, fields_of, parse
from tests.attribute_tables import attributes
from tests.filter_masks import mask_of, with_overlay

SHOP = attributes(
    ["A", "B", "C", "D"],
    brand=("category", ["Acme", "Ark", "", "Acme"]),
    price=("number", [10.0, 50.0, np.nan, 99.5]),
    tags=("multi", [["new", "oak"], ["oak"], [], ["new"]]),
    title=("text", ["Oak chair", "Ash chair", "Oak chair", ""]),
    published_at=("date", np.array(["2026-01-01", "2026-06-01T12:00", "NaT", "2025-01-01"], "datetime64[us]")),
    **{"sleeve length": ("category", ["long", "", "", "short"])},
)
GROUPS = np.arange(4)


def found(filter, seed_row=None, overlay=None):
    return "".join(SHOP.id_of(row) for row in np.flatnonzero(mask_of(filter, SHOP, seed_row, overlay)))


def problem(filter, **options):
    with pytest.raises(RequestError) as caught:
        mask_of(filter, SHOP, **options)
    return caught.value


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "ABCD"),
        (" \n", "ABCD"),
        ('brand = "Acme"', "AD"),
        ("brand = 'Acme'", "AD"),
        ('brand = "Nobody"', ""),
        ('brand != "Acme"', "BC"),
        ('NOT brand = "Acme"', "BC"),
        ('NOT NOT brand = "Acme"', "AD"),
        ('brand: ANY("Acme", "Ark")', "ABD"),
        ('brand: EXCEPT("Acme")', "B"),
        ("brand: EXISTS", "ABD"),
        ("price < 50", "A"),
        ("price <= 50", "AB"),
        ("price > 5e1", "D"),
        ("price>=+50.", "BD"),
        ("price = 10", "A"),
        ("price: ANY(10, 99.5, -3)", "AD"),
        ("NOT price < 50", "BCD"),
        ('tags = "oak"', "AB"),
        ('tags: EXCEPT("oak")', "AD"),
        ('tags: ANY("new", "oak") and not tags = "oak"', "D"),
        ('title = "Oak chair"', "AC"),
        ('published_at >= "2026-01-01"', "AB"),
        ('published_at = "2026-06-01T14:00+02:00"', "B"),
        ('"sleeve length" = "long"', "A"),
        ('id = "C" OR id: ANY("A", "nobody")', "AC"),
        ('brand = "Acme" AND price < 50 OR brand = "Ark"', "AB"),
        ('brand = "Ark" OR brand = "Acme" AND price < 50', "AB"),
        ('(brand = "Ark" OR brand = "Acme") AND price > 50', "D"),
        ('NOT (brand = "Ark" OR price > 50)', "AC"),
        (r'title = "a \"quoted\" \\ one"', ""),
    ],
)
def test_text_form(line, expected):
    assert found(line) == expected


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (None, "ABCD"),
        ({}, "ABCD"),
        ({"must": []}, "ABCD"),
        ({"should": []}, "ABCD"),
        ({"field": "brand", "match": "Acme"}, "AD"),
        ({"must": [{"field": "brand", "any": ["Acme", "Ark"]}, {"field": "price", "range": {"gte": 50}}]}, "BD"),
        ({"field": "price", "range": {"gt": 10, "lt": 99.5}}, "B"),
        ({"should": [{"field": "brand", "match": "Ark"}, {"field": "price", "match": 10}]}, "AB"),
        ({"must": [{"field": "tags", "match": "new"}], "should": [{"field": "price", "match": 10}]}, "A"),
        ({"must_not": [{"field": "brand", "match": "Acme"}, {"field": "brand", "match": "Ark"}]}, "C"),
        ({"must": [{"must_not": [{"should": [{"field": "brand", "exists": True}]}]}]}, "C"),
        ({"field": "brand", "exists": False}, "C"),
        ({"field": "tags", "except": ["new"]}, "AB"),
        ({"field": "brand", "any": []}, ""),
        ({"field": "brand", "except": []}, "ABD"),
        ({"ids": ["B", "D", "D", "nobody"]}, "BD"),
        ({"must_not": [{"ids": ["B"]}]}, "ACD"),
        ({"field": "id", "except": ["B"]}, "ACD"),
    ],
)
def test_json_form(tree, expected):
    assert found(tree) == expected


@pytest.mark.parametrize(
    ("seed", "field", "expected"),
    [(0, "brand", "AD"), (2, "brand", ""), (0, "tags", "ABD"), (1, "price", "B"), (0, "published_at", "A")],
)
def test_same_as_seed(seed, field, expected):
    assert found({"field": field, "same_as_seed": True}, seed) == expected
    assert found(f"{field}: SAME_AS_SEED", seed) == expected
    assert set(found({"field": field, "same_as_seed": False}, seed)) == set("ABCD") - set(expected)


def test_same_as_seed_needs_a_seed():
    error = problem({"must": [{"field": "brand", "same_as_seed": True}]})
    assert "needs one seed" in str(error)
    assert error.pointer == "/filter/must/0"


def test_the_overlay_overrides_the_bundle():
    overlay = {0: {"price": 60}, 2: {"price": 20, "brand": "New one"}, 3: {"brand": None, "tags": ["oak"]}}
    assert found("price < 50", overlay=overlay) == "C"
    assert found('brand = "New one"', overlay=overlay) == "C"
    assert found('brand = "Acme"', overlay=overlay) == "A"
    assert found("brand: EXISTS", overlay=overlay) == "ABC"
    assert found('tags = "oak"', overlay=overlay) == "ABD"
    assert found("brand: SAME_AS_SEED", 2, overlay) == "C"
    assert found({"field": "tags", "same_as_seed": True}, 3, overlay) == "ABD"


def test_a_change_that_does_not_fit_its_column_is_null():
    assert found("price: EXISTS", overlay={0: {"price": "cheap"}, 1: {"price": 10**400}}) == "D"
    assert found("published_at: EXISTS", overlay={0: {"published_at": "soon"}, 1: {"published_at": 7}}) == "D"
    assert found('tags: ANY("x", "oak")', overlay={0: {"tags": "x"}, 1: {"tags": [1, "x"]}}) == "AB"


@pytest.mark.parametrize(
    ("tree", "pointer", "suggestion", "says"),
    [
        ({"must": [{"field": "brnad", "match": "x"}]}, "/must/0/field", "brand", "unknown field 'brnad'"),
        ({"msut": []}, "/msut", "must", "unknown member 'msut'"),
        ({"must": {}}, "/must", None, "expected a list"),
        ({"must": ["x"]}, "/must/0", None, "expected an object"),
        ([], "", None, "expected an object"),
        ({"field": "brand"}, "", None, "one of match, any"),
        ({"match": "x"}, "/match", None, "unknown member"),
        ({"field": "brand", "matches": "x"}, "/matches", "match", "unknown member"),
        ({"field": "brand", "match": "x", "any": ["y"]}, "", None, "one of match, any"),
        ({"field": "brand", "ids": ["x"]}, "", None, "one of match, any"),
        ({"field": 3, "match": "x"}, "/field", None, "expected strings"),
        ({"field": "brand", "match": None}, "/match", None, "a string or a finite number"),
        ({"field": "brand", "match": True}, "/match", None, "a string or a finite number"),
        ({"field": "price", "any": [1, [2]]}, "/any/1", None, "a string or a finite number"),
        ({"field": "price", "any": 1}, "/any", None, "expected a list"),
        ({"field": "price", "range": {"gte": float("nan")}}, "/range/gte", None, "finite"),
        ({"field": "price", "range": {"gte": 10**400}}, "/range/gte", None, "finite"),
        ({"field": "price", "range": {"from": 1}}, "/range/from", None, "unknown member"),
        ({"field": "price", "range": {}}, "/range", None, "gt, gte, lt, lte"),
        ({"field": "price", "match": "10"}, "", None, "price holds numbers; found the string '10'"),
        ({"field": "brand", "match": 10}, "", None, "brand holds text; found the number 10"),
        ({"field": "brand", "range": {"gt": "A"}}, "", None, "a range needs a field of numbers or dates"),
        ({"field": "published_at", "range": {"gt": "soon"}}, "", None, "dates; found 'soon'"),
        ({"field": "brand", "exists": "yes"}, "/exists", None, "true or false"),
        ({"ids": ["A", 3]}, "/ids", None, "expected strings"),
    ],
)
def test_a_wrong_tree_has_a_pointer(tree, pointer, suggestion, says):
    error = problem(tree)
    assert (error.pointer, error.suggestion) == (f"/filter{pointer}", suggestion)
    assert says in str(error)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "brand = Acme",
            "character 9: expected a quoted string or a number, found 'Acme'; did you mean '\"Acme\"'",
        ),
        ("brand", "character 6: expected =, !=, <, <=, >, >= or :, found its end"),
        ('brand = "Acme', "character 9: expected a quoted string"),
        ('brand = "Acme" price < 3', "character 16: expected AND, OR or its end"),
        ('(brand = "Acme"', "expected ')'"),
        ("price <", "found its end"),
        ("price < 3 AND", "expected a field's name, found its end"),
        ("price < 1e999", "expected a quoted string or a number"),
        ("brand: IN(3)", "expected ANY or EXCEPT or EXISTS or SAME_AS_SEED"),
        ("brand: ANY()", "expected a quoted string or a number, found ')'"),
        ("price < 3 && price > 1", "found '&& price > 1'"),
        ('brnad = "Acme"', "did you mean 'brand'"),
    ],
)
def test_a_wrong_text_has_a_position(line, says):
    error = problem(line)
    assert error.pointer == "/filter"
    assert says in str(error)


def nested(depth, leaf):
    return {"must": [nested(depth - 1, leaf)]} if depth else leaf


LEAF = {"field": "price", "range": {"lt": 50}}


@pytest.mark.parametrize(
    ("within", "beyond", "says"),
    [
        (nested(5, LEAF), nested(6, LEAF), "too deep"),
        ("(((((price < 50)))))", "((((((price < 50))))))", "too deep"),
        ({"must": [LEAF] * 200}, {"must": [LEAF] * 201}, "more than 200 conditions"),
        ("OR ".join(["price < 50 "] * 200), "OR ".join(["price < 50 "] * 201), "more than 200 conditions"),
        ({"ids": ["A"] * 10_000}, {"ids": ["A"] * 10_001}, "more than 10000 values"),
        ("NOT " * 398 + "price < 50", "NOT " * 404 + "price < 50", "more than 200 conditions"),
        ({"must": [{}, LEAF]}, {"must": [*[{}] * 200, LEAF]}, "more than 200 conditions"),
        ("price < 50".ljust(300_000), "price < 50".ljust(300_001), "300001 characters"),
    ],
)
def test_filters_are_bounded_unless_trusted(within, beyond, says):
    assert found(within) == "A"
    assert says in str(problem(beyond))
    assert np.flatnonzero(mask_of(beyond, SHOP, trusted=True)).tolist() == [0]


@pytest.mark.parametrize("hostile", ["(" * 10**5, "NOT " * 10**5, '"' * 10**5, '"' + r"\"" * 10**5, "a" * 10**5])
def test_a_hostile_text_is_refused_quickly(hostile):
    assert problem(hostile).pointer == "/filter"


def test_pointers_start_at_the_filters_own():
    error = problem({"field": "x", "match": "y"}, pointer="/boost/0/when")
    assert error.pointer == "/boost/0/when/field"


def test_fields_of_a_filter():
    assert fields_of(parse('a = 1 OR NOT (b < 2 AND id = "x") AND c: SAME_AS_SEED')) == {"a", "b", "c", "id"}


def test_the_cache_shares_subsets_of_equivalent_filters():
    cache = SubsetCache(SHOP, GROUPS)
    tree = {"must_not": [{"field": "brand", "match": "Acme"}], "must": [{"must": [LEAF, LEAF]}]}
    subset = cache.subset(parse(tree))
    assert cache.subset(parse('price < 50 AND NOT brand = "Acme"')) is subset
    assert cache.subset(parse('NOT NOT (NOT brand = "Acme" AND price < 50)')) is subset
    assert cache.subset(parse('price < 50 OR NOT brand = "Acme"')) is not subset
    assert cache.subset(parse('price < 50 AND brand: EXCEPT("Acme")')).mask.tolist() == [False] * 4
    assert cache.subset(parse('price < 50 AND brand: ANY("Acme")')).mask.tolist() == [True, False, False, False]
    with pytest.raises(ValueError, match="read-only"):
        subset.mask[0] = True


def test_the_cache_distinguishes_seeds_and_revisions():
    cache = SubsetCache(SHOP, GROUPS)
    same = "brand: SAME_AS_SEED"
    assert (
        cache.subset(parse(same), seed_row=0)
        is cache.subset(parse(same), seed_row=3)
        is cache.subset(parse('brand = "Acme"'))
    )
    assert cache.subset(parse(same), seed_row=1).mask.tolist() == [False, True, False, False]
    before = cache.subset(parse("price < 50"))
    after = cache.subset(parse("price < 50"), attributes=with_overlay(SHOP, {0: {"price": 60.0}}), version=1)
    assert (before.mask.tolist(), after.mask.tolist()) == ([True, False, False, False], [False] * 4)


def test_the_cache_evicts_the_least_recently_used(monkeypatch):
    monkeypatch.setattr("recommender.filters.cache._BYTES", 0)
    cache = SubsetCache(SHOP, GROUPS)
    first, second = cache.subset(parse("price < 0")), cache.subset(parse("price < 1"))
    for bound in range(2, 8):
        cache.subset(parse(f"price < {bound}"))
    assert cache.subset(parse("price < 0")) is first
    cache.subset(parse("price < 8"))
    assert cache.subset(parse("price < 0")) is first
    assert cache.subset(parse("price < 1")) is not second


def test_texts_that_come_again_are_parsed_once():
    assert parse("price < 42") is parse("price < 42")
    assert parse("price < 42", pointer="/block") == parse("price < 42")
    long = " AND ".join(["price < 42"] * 100)
    assert parse(long) == parse(long)
    for pointer in ("/filter", "/boost/0/when"):
        with pytest.raises(RequestError) as caught:
            parse("price <", pointer=pointer)
        assert caught.value.pointer.startswith(pointer)
