import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.catalog import Catalog, Interactions
from recommender.catalog.values.ids import match_ids, without_decimals


def named(ids, catalog, aliases=None):
    """Return the id of the product that each id names, "" for none, and how it was found."""
    catalog = sorted(catalog)
    rows, how = match_ids(pd.Series(ids, dtype="str"), catalog, aliases or {})
    return [catalog[row] if row >= 0 else "" for row in rows], how.tolist()


@pytest.mark.parametrize(
    ("written", "expected", "way"),
    [
        ("104", "104", "exact"),
        ("104.0", "104", "a decimal point"),
        (" '104 ", "104", "blanks or quotes"),
        ("\ufeff104\u00a0", "104", "blanks or quotes"),
        ("'104.00", "104", "a decimal point"),
        ("gid://shopify/Product/104", "104", "Shopify's global id"),
        ("7", "00007", "leading zeros"),
        ("0104", "104", "leading zeros"),
        ("ab-9", "AB-9", "letter case or Unicode form"),
        ("Cafe\u0301", "Caf\u00e9", "letter case or Unicode form"),
        ("1.23457E+12", "1234567890123", "scientific notation"),
        ("1.2e+12", "1234567890123", "scientific notation"),
        ("5E+03", "", "another form"),  # 4999 and 5001
        ("TWIN", "", "another form"),  # Twin and twin
        ("Twin", "Twin", "exact"),
        ("999.0", "", "another form"),
        ("sku_AB_9", "", "another form"),
        ("A104", "", ""),
        ("105", "", ""),
        ("", "", ""),
    ],
)
def test_ids_in_another_form(written, expected, way):
    catalog = ["104", "00007", "AB-9", "Caf\u00e9", "1234567890123", "4999", "5001", "Twin", "twin"]
    assert named([written], catalog) == ([expected], [way])


digits = st.text("0123456789", min_size=1, max_size=6)
letters = st.text("aAbB0-. ", min_size=1, max_size=4)


@given(st.sets(digits | letters, min_size=1), st.lists(digits | letters))
def test_known_ids_match_themselves_and_others_never_more_than_one(catalog, others):
    found, how = named([*catalog, *others], catalog)
    assert found[: len(catalog)] == list(catalog)
    assert set(how[: len(catalog)]) == {"exact"}
    for written, product in zip(others, found[len(catalog) :], strict=True):
        if product and product != written:  # nothing but case, blanks, zeros and decimals was changed
            plain = [text.strip().split(".")[0].strip("0").casefold() for text in (written, product)]
            assert plain[0] == plain[1]


@given(st.lists(st.integers(0, 10**9), unique=True, min_size=1))
def test_no_shop_is_lost_to_a_column_of_floats(numbers):
    catalog = [*map(str, numbers)]
    assert named([f"{number}.0" for number in numbers], catalog)[0] == catalog
    assert named([f"{number:012d}" for number in numbers], catalog)[0] == catalog


@given(st.lists(st.integers(1, 10**9), unique=True, min_size=1))
def test_no_shop_is_lost_to_lost_zeros(numbers):
    assert named(map(str, numbers), [f"{n:010d}" for n in numbers])[0] == [f"{n:010d}" for n in numbers]


EVENT = {"user_id": "u", "item_id": "", "event_name": "purchase", "timestamp": "2026-01-01"}


def events_of(catalog, *ids, **columns):
    frame = pd.DataFrame([EVENT | {"item_id": item_id} for item_id in ids]).assign(**columns)
    return Interactions.from_frame(frame, catalog)


def test_skus_and_barcodes_name_products_where_that_is_clear():
    products = {"id": ["1", "2", "3", "4"], "Variant SKU": ["A", "B", "same", "same"], "barcode": [11, 12, 13, 14]}
    clear = Catalog.from_frame(pd.DataFrame(products).astype({"barcode": "str"}))
    found = events_of(clear, "B", "13", "0014.0", "same", "3", "b")
    assert found.frame["item_id"].tolist() == ["2", "3", "4", "3", "2"]
    assert found.report.counts == {
        "id matched by Variant SKU": 1,
        "id matched by barcode": 1,
        "id matched by barcode and leading zeros": 1,
        "id matched by Variant SKU and letter case or Unicode form": 1,
        "event of an unknown product": 1,
    }
    # numbers that are ids of other products in one column say nothing in the other
    products = {"id": ["1", "2", "3"], "sku": ["2", "9", "3"]}
    unclear = Catalog.from_frame(pd.DataFrame(products))
    assert events_of(unclear, "9", "2").frame["item_id"].tolist() == ["2"]


def test_one_warning_for_each_way_of_matching():
    catalog = Catalog.from_frame(pd.DataFrame({"id": ["104", "105", "AB"]}))
    found = events_of(catalog, "104.0", "105.0", "105.0", "ab")
    assert found.frame["row"].tolist() == [0, 1, 1, 2]
    assert found.frame["item_id"].tolist() == ["104", "105", "105", "AB"]
    assert found.report.counts == {
        "id matched by a decimal point": 3,
        "id matched by letter case or Unicode form": 1,
    }
    first = found.report.problems[0]  # the most frequent id
    assert (first.severity, first.row, first.id) == ("warning", 2, "105.0")
    assert first.message == "item_id is '105.0'; the catalogue has no such id; taken as the product '105'"


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["7.0", "8.0", ""], ["7", "8", ""]),
        (["7.0", "7", "1.5"], ["7", "7", "1.5"]),
        (["7.0", "8"], ["7", "8"]),
        (["7.0", "v2"], ["7.0", "v2"]),  # a version, for all we know
        (["7.0", "7", "v2.0", "8.0"], ["7", "7", "v2.0", "8.0"]),
        (["1.5", "2.5"], ["1.5", "2.5"]),
        ([], []),
    ],
)
def test_floats_of_whole_numbers(ids, expected):
    whole, changed = without_decimals(pd.Series(ids, dtype="str"))
    assert whole.tolist() == expected
    np.testing.assert_array_equal(changed, [a != b for a, b in zip(ids, expected, strict=True)])


def test_a_user_is_one_user_with_and_without_a_point():
    catalog = Catalog.from_frame(pd.DataFrame({"id": ["a"]}))
    found = events_of(catalog, "a", "a", "a", user_id=["7.0", "7", "8.0"])
    assert found.frame["user_id"].tolist() == ["7", "7", "8"]
    assert found.report.counts == {"user id with a decimal point": 2}


def test_ids_of_a_catalogue_that_a_spreadsheet_wrote():
    floats = Catalog.from_frame(pd.DataFrame({"id": ["104.0", "105.0"]}))
    assert floats.ids == ["104", "105"]
    assert floats.report.counts == {"id with a decimal point": 2}
    assert not floats.report.errors
    lost = Catalog.from_frame(pd.DataFrame({"id": ["1.2E+12", "1.3E+12", "7"]}))
    assert lost.report.counts == {"id in scientific notation": 2}
    assert "export the column as text" in lost.report.problems[0].message
