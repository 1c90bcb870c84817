"""Availability of a catalogue: words, columns of stock and states, parents, and what is not understood."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.catalog import Catalog
from recommender.errors import DataError

IN, OUT = "in_stock", "out_of_stock"


def load(config: dict[str, Any] | None = None, **columns: Any) -> Catalog:
    n = len(next(iter(columns.values())))
    ids = columns.pop("id", [f"p{i}" for i in range(n)])
    return Catalog.from_frame(pd.DataFrame({"id": ids, **columns}), **(config or {}))


def availability(config: dict[str, Any] | None = None, **columns: Any) -> list[str]:
    values: list[str] = load(config, **columns).frame["availability"].tolist()
    return values


def test_an_unknown_word_is_an_error_and_not_in_stock() -> None:
    catalog = load(availability=["in stock", "maybe", "sold out", ""])
    assert catalog.frame["availability"].tolist() == [IN, OUT, OUT, ""]
    (problem,) = catalog.report.problems
    assert (problem.kind, problem.severity, problem.id) == ("unknown availability", "error", "p1")
    assert '"maybe"; expected in_stock, out_of_stock, preorder, backorder' in problem.message
    assert catalog.report.facts["products out of stock"] == 2


def test_a_shop_teaches_its_words() -> None:
    words = {"maybe": "backorder", "Yes": "out_of_stock"}
    found = availability({"availability_words": words}, availability=["Maybe", "MAYBE", "yes", "in stock"])
    assert found == ["backorder", "backorder", OUT, IN]


def test_a_catalogue_of_unknown_words_fails() -> None:
    with pytest.raises(
        DataError, match=r'of 2 of 3 products is not understood: "perhaps" \(2\).*"perhaps" = "in_'
    ):
        load(availability=["perhaps", "perhaps", "in stock"])


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("quantity", [5, 0, -1, 2], [IN, OUT, OUT, IN]),
        ("Stock Quantity", ["5", "0", "", "2.0"], [IN, OUT, "", IN]),
        ("qty", [5.0, 0.0, np.nan, 1.0], [IN, OUT, "", IN]),
        ("is_in_stock", [True, False, True, True], [IN, OUT, IN, IN]),
        ("stock_status", ["instock", "outofstock", "onbackorder", "instock"], [IN, OUT, "backorder", IN]),
        ("available", ["yes", "no", "yes", "yes"], [IN, OUT, IN, IN]),
        ("status", ["active", "draft", "archived", "active"], ["", OUT, OUT, ""]),
        ("published", ["TRUE", "FALSE", "TRUE", "TRUE"], ["", OUT, "", ""]),
        ("published", [1, 0, -1, 1], ["", OUT, OUT, ""]),
        ("visibility", ["visible", "hidden", "catalog", "search"], ["", OUT, "", ""]),
    ],
)
def test_columns_of_stock_and_states_say_what_can_be_bought(name: str, cells: Any, expected: list[str]) -> None:
    catalog = load(**{name: cells})
    assert catalog.frame["availability"].tolist() == expected
    assert catalog.report.counts.keys() <= {"availability guessed", "not for sale"}
    assert catalog.report.counts
    assert name in catalog.frame


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("quantity", ["500 ml", "1 l", "0.5 l", "6 x 1 l"]),
        ("status", ["new", "used", "new", "refurbished"]),
        ("status", [1, 2, 2, 1]),  # 2 is Magento's word for disabled, and another's for something else
        ("available", ["2024-01-01", "2024-02-01", "", ""]),
        ("published", ["2024-01-01", "2023-02-01", "2022-02-03", ""]),
        ("stock", ["wood", "steel", "wood", "wood"]),
        ("active", ["", "", "", ""]),
    ],
)
def test_other_columns_say_nothing(name: str, cells: Any) -> None:
    catalog = load(**{name: cells})
    assert "availability" not in catalog.frame
    assert not catalog.report.counts


@pytest.mark.parametrize(("name", "cells"), [("quantity", [0, 0, 0]), ("status", ["draft", "draft", "draft"])])
def test_a_column_by_which_nothing_is_for_sale_is_not_believed(name: str, cells: Any) -> None:
    catalog = load(**{name: cells})
    assert "availability" not in catalog.frame
    assert len(catalog.report.problems) == 1


def test_a_mapped_column_of_quantities_and_missing_words() -> None:
    assert availability({"availability": "pieces"}, pieces=["3", "0", "12", ""]) == [IN, OUT, IN, ""]
    assert availability(availability=["in stock", "", ""], quantity=[0, 0, 4]) == [IN, OUT, IN]


def test_drafts_are_off_sale_whatever_their_availability() -> None:
    assert availability(availability=[IN, IN, "preorder"], status=["active", "draft", "active"]) == [
        IN,
        OUT,
        "preorder",
    ]


def test_variants_of_a_parent_off_sale_are_off_sale() -> None:
    parents = ["", "a", "a", "", "d", "unknown"]
    found = availability(
        id=list("abcdef"), parent_id=parents, status=["draft", "active", "active", "active", "active", "active"]
    )
    assert found == [OUT, OUT, OUT, "", "", ""]


STOCKS = st.lists(
    st.sampled_from(["in stock", "Out of stock", "preorder", "0", "7", "", "draft", "no"]), min_size=1
)


@given(STOCKS, st.sampled_from(["str", object]))
def test_every_product_has_a_canonical_word_or_none(cells: list[str], dtype: Any) -> None:
    catalog = load(availability=pd.Series(cells, dtype=dtype))
    assert set(catalog.frame["availability"]) <= {IN, OUT, "preorder", "backorder", ""}
    buyable = {"in stock", "preorder", "7", ""}
    by_id = catalog.frame.set_index("id")["availability"]
    assert [by_id[f"p{i}"] != OUT for i in range(len(cells))] == [cell in buyable for cell in cells]
