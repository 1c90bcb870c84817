import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.errors import DataError, RequestError
from recommender.items import Attributes, Ids, write_attributes
from recommender.items.ids import other_form
from recommender.items.strings import Words
from tests.attribute_tables import Column, Table, attributes

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
# Ids that only a true code point order sorts aright: UTF-16 would put the last before the one before it.
ids = st.lists(text | st.sampled_from(["a", "ab", "é", "z", "￿", "\U00010000"]), unique=True).map(sorted)


@pytest.mark.parametrize(
    ("requested", "meant"),
    [
        ("104.0", "104"),
        (" '104 ", "104"),
        ("gid://shopify/Product/104", "104"),
        ("7", "0007"),
        ("00104", "104"),
        ("ab", "AB"),
        ("e\u0301", "\u00e9"),
        ("104", None),  # removed, or else it would not be asked for
        ("105", None),
        ("", None),
    ],
)
def test_an_unknown_id_names_the_one_in_another_form(requested, meant):
    assert other_form(requested, {"104", "0007", "AB", "\u00e9"}.__contains__) == meant


@given(ids, st.lists(st.text(max_size=9)))
def test_known_ids_have_rows_and_unknown_ids_minus_one(known, others):
    index = Ids.of(known)
    ids = known + others + [item_id + more for item_id in known for more in ("\0", "x")]
    expected = [known.index(item_id) if item_id in known else -1 for item_id in ids]
    assert [index.row_of(item_id) for item_id in ids] == expected
    assert index.rows_of(ids).tolist() == expected
    assert index.rows_of(ids).dtype == np.int32
    assert [index.id_of(row) for row in range(len(index))] == known
    assert index.ids_of(range(len(index))) == known


@pytest.mark.parametrize("wrong", [["b", "a"], ["a", "a"], ["a\0"], ["\ud800"]])
def test_ids_that_cannot_be_stored_are_refused(wrong):
    with pytest.raises(DataError, match=re.escape(repr(wrong[0]))):
        Ids.of(wrong)


@given(st.data())
def test_values_round_trip(data):
    known = data.draw(ids)
    n = len(known)

    def draw(values):
        return data.draw(st.lists(values, min_size=n, max_size=n))

    brand, tags = draw(text), draw(st.lists(text.filter(bool), max_size=3))
    price = draw(st.floats(allow_infinity=False))
    date = draw(st.datetimes(pd.Timestamp("1900-01-01"), pd.Timestamp("2200-01-01")) | st.none())
    stored = attributes(
        known,
        brand=("category", brand),
        tags=("multi", tags),
        price=("number", np.array(price, np.float64)),
        date=("date", pd.Series(date, dtype="datetime64[us]")),
        title=("text", brand),
    )
    assert (stored.names, len(stored)) == (["brand", "tags", "price", "date", "title"], n)
    for row in range(n):
        assert stored.fields(row, stored.names) == {
            "brand": brand[row] or None,
            "tags": tags[row] or None,
            "price": price[row] if price[row] == price[row] else None,
            "date": date[row].isoformat() + "Z" if date[row] else None,
            "title": brand[row] or None,
        }


def test_columns_as_arrays():
    stored = attributes(
        ["1", "2", "3"],
        color=("category", ["red", "", "blue"]),
        tags=("multi", [["b", "a"], [], ["a"]]),
        price=("number", [9.5, np.nan, 3.0]),
        date=("date", np.array(["1970-01-02", "NaT", "1970-01-01T00:00:00.5"], "datetime64[us]")),
    )
    assert stored.categories("color") == ["blue", "red"]
    assert stored.codes("color").tolist() == [1, -1, 0]
    starts, codes = stored.multi("tags")
    assert (starts.tolist(), codes.tolist(), stored.categories("tags")) == ([0, 2, 2, 3], [1, 0, 0], ["a", "b"])
    np.testing.assert_array_equal(stored.numbers("price"), [9.5, np.nan, 3.0])
    np.testing.assert_array_equal(stored.numbers("date"), [86400.0, np.nan, 0.5])
    assert [stored.kind(name) for name in stored.names] == ["category", "multi", "number", "date"]


def test_a_column_may_have_any_name():
    stored = attributes(["1"], **{"../a/b ä": ("category", ["x"]), "": ("category", ["y"])})
    assert stored.fields(0, ["", "../a/b ä"]) == {"": "y", "../a/b ä": "x"}


def test_an_unknown_field_names_the_nearest():
    stored = attributes(["1"], brand=("category", ["x"]), price=("number", [1.0]))
    with pytest.raises(RequestError, match=r"unknown field 'brnad'; this catalogue has brand, price") as caught:
        stored.fields(0, ["price", "brnad"])
    assert (caught.value.suggestion, caught.value.pointer) == ("brand", "/fields")


def test_opening_reads_no_column_into_memory(tmp_path):
    n = 1000
    frame = pd.DataFrame({"title": [f"title {i}" for i in range(n)], "tags": [["x", str(i)] for i in range(n)]})
    table = Table([f"{i:04}" for i in range(n)], frame, [Column("title", "text"), Column("tags", "multi")])
    write_attributes(tmp_path, table)
    stored = Attributes.open(tmp_path)
    mapped = [stored.ids.keys, stored.codes("title"), *stored.multi("tags")]
    assert all(isinstance(array.base, np.memmap) for array in mapped)


@given(st.sets(st.text(min_size=1, max_size=3), max_size=80), st.text(max_size=3))
def test_words_are_found_however_many_there_are(words: set[str], other: str) -> None:
    packed = Words.of(sorted(words))
    assert [packed.code_of(word) for word in sorted(words)] == list(range(len(words)))
    assert (packed.code_of(other) >= 0) == (other in words)
