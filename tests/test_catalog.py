import json
import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.catalog import Catalog, ColumnSpec, DataReport
from recommender.config import Config
from recommender.errors import ConfigError, DataError, RecommenderError

SHOP = """\
sku,name,kind,price,rooms,stock,born,note,extra
B-2,Oak chair,Chair,64.9,hall|kitchen|hall,in_stock,2026-01-02,,"{""wood"": ""oak"", ""legs"": 4}"
A-1, Ash chair ,Chair,,,,,Plain.,
0010,Lamp,Lamp,12.50,hall,in_stock,2026-01-03T10:00:00+02:00,Bright.,"{""wood"": ""ash""}"
"""
MAPPING = """\
[catalog]
path = "products.csv"
id = "sku"
title = "{name}, {kind}"
description = "note"
image = "{sku}.jpg"
product_type = "kind"
availability = "stock"
published_at = "born"
[catalog.separators]
rooms = "|"
"""


def shop(tmp_path, table=SHOP, mapping=MAPPING):
    (tmp_path / "products.csv").write_text(table, encoding="utf-8")
    (tmp_path / "shop.toml").write_text(mapping, encoding="utf-8")
    return Config.load(tmp_path / "shop.toml")


def test_a_catalogue_is_read(tmp_path):
    catalog = Catalog.load(shop(tmp_path), strict=True)
    assert catalog.ids == ["0010", "A-1", "B-2"]
    assert len(catalog) == 3
    assert {column.name: column.kind for column in catalog.columns} == {
        "title": "text",
        "description": "text",
        "image_link": "text",
        "product_type": "category",
        "price": "number",
        "availability": "category",
        "published_at": "date",
        "name": "text",
        "rooms": "multi",
        "extra.wood": "text",
        "extra.legs": "number",
    }
    assert list(catalog.frame) == ["id", *(column.name for column in catalog.columns)]
    rows = catalog.frame.to_dict("list")
    assert rows["title"] == ["Lamp, Lamp", "Ash chair, Chair", "Oak chair, Chair"]
    assert rows["rooms"] == [["hall"], [], ["hall", "kitchen"]]
    assert rows["availability"] == ["in_stock", "", "in_stock"]
    assert rows["extra.wood"] == ["ash", "", "oak"]
    np.testing.assert_array_equal(catalog.frame["price"], [12.5, np.nan, 64.9])
    np.testing.assert_array_equal(catalog.frame["extra.legs"], [np.nan, np.nan, 4.0])
    assert catalog.frame["published_at"].dtype == "datetime64[us]"
    assert rows["published_at"][0] == pd.Timestamp("2026-01-03T08:00:00")
    assert rows["published_at"][1] is pd.NaT
    assert catalog.texts() == ["Lamp, Lamp. Bright.", "Ash chair, Chair. Plain.", "Oak chair, Chair"]
    assert catalog.image_refs() == ["0010.jpg", "A-1.jpg", "B-2.jpg"]
    assert catalog.row_of(["B-2", "nobody", "0010"]).tolist() == [2, -1, 0]
    assert catalog.row_of([]).dtype == np.int32


def test_missing_values_are_counted(tmp_path):
    table = "id,title,brand\na,,Acme\nb,Bee,\nc,Cee,Acme\nd,,Best\ne,Eee,Best\n"
    catalog = Catalog.load(shop(tmp_path, table, '[catalog]\npath = "products.csv"\n'))
    assert catalog.report.facts == {
        "products": 5,
        "products without a text": 2,
        "products without an image link": 5,
        "products without a category": 1,
    }
    assert catalog.texts() == ["", "Bee", "Cee", "", "Eee"]
    assert catalog.image_refs() == [""] * 5


def test_a_text_template_reads_columns_of_the_catalogue(tmp_path):
    config = shop(tmp_path, mapping=MAPPING.replace("[catalog]", '[catalog]\ntext = "{title} / {rooms}"', 1))
    assert Catalog.load(config).texts()[2] == "Oak chair, Chair / hall, kitchen"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("id = ", "#"), "(the product's id); did you mean 'sku'? If so, name it in the config, which `recomm"),
        (('"sku"', '"skus"'), "products.csv has no column 'skus' (the product's id); did you mean 'sku'?"),
        (('"note"', '"notes"'), "no column 'notes' (mapped to description); did you mean 'note'?"),
        (("{name}", "{nam}"), "there is no column 'nam'; did you mean 'name'?"),
        (("{name}", "{}"), "there is no column ''"),
        (("{name}", "{name"), "expected such as '{name} {type}'"),
        (("rooms =", "room ="), "no column 'room' (named in separators); did you mean 'rooms'?"),
        (("[catalog]", '[catalog]\nlearn = ["colour"]'), "learn: there is no column 'colour'; there are title"),
        (("[catalog]", '[catalog]\nlearn = ["rooom"]'), "did you mean 'rooms'?"),
        (("[catalog]", '[catalog]\nlearn = ["title"]'), "'title' is a text; expected categories or numbers"),
        (("[catalog]", '[catalog]\nattributes = ["nmae"]'), "'nmae' (named in attributes); did you mean 'name'?"),
        (("[catalog]", '[catalog]\nattributes = ["price"]'), "'price' is a standard column; leave it out there"),
        (("[catalog]", '[catalog]\nimages = "no.zip"'), "no.zip is not there; expected the folder or zip"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_names_the_nearest_column(tmp_path, change, message):
    with pytest.raises(RecommenderError) as error:
        Catalog.load(shop(tmp_path, mapping=MAPPING.replace(*change, 1)))
    assert message in str(error.value)


BAD = """\
id,price,published_at
a,"12,5x",2026-01-01
b,NaN,yesterday
,1,
a,2,
c,-3,
d,inf,
e,4.5,
"""


def test_bad_cells_and_rows_are_reported_with_row_and_id(tmp_path):
    config = shop(tmp_path, BAD, '[catalog]\npath = "products.csv"\n')
    catalog = Catalog.load(config)
    assert catalog.ids == ["a", "b", "c", "d", "e"]
    np.testing.assert_array_equal(catalog.frame["price"], [np.nan, np.nan, np.nan, np.nan, 4.5])
    problems = [str(problem) for problem in catalog.report.problems]
    assert problems == [
        "products.csv row 4: has no id; expected one; left out",
        'products.csv row 5 (id "a"): row 2 has the same id; expected one row a product; left out',
        'products.csv row 2 (id "a"): price is "12,5x"; expected a number such as 12.50; taken as missing',
        'products.csv row 3 (id "b"): price is "NaN"; expected a number such as 12.50; taken as missing',
        'products.csv row 6 (id "c"): price is "-3"; expected a number such as 12.50; taken as missing',
        'products.csv row 7 (id "d"): price is "inf"; expected a number such as 12.50; taken as missing',
        'products.csv row 3 (id "b"): published_at is "yesterday"; expected a date such as 2026-11-23 or '
        "2026-11-23T06:41:07Z; taken as missing",
    ]
    assert catalog.report.counts == {"no id": 1, "duplicate id": 1, "bad price": 4, "bad published_at": 1}
    with pytest.raises(DataError, match=r"7 problems with --strict, the first: products\.csv row 4"):
        Catalog.load(config, strict=True)


def test_only_some_problems_of_a_kind_are_shown(tmp_path):
    table = "id,title\n" + "".join(f"twin,{n}\n" for n in range(100))
    report = Catalog.load(shop(tmp_path, table, '[catalog]\npath = "products.csv"\n')).report
    assert report.counts == {"duplicate id": 99}
    assert len(report.problems) == report.shown == 20
    assert report.lines()[-2:] == ["  ... and 79 more", "LOST: 99% of 100 products (99% duplicate id)"]
    assert json.loads(json.dumps(report.to_dict()))["errors"] == 99


def test_merged_reports_have_the_same_limit():
    one, other = DataReport(shown=3), DataReport(shown=3)
    for report in (one, other):
        report.add("odd", "file", [2, 3], ["a", "b"], str)
    one.merge(other)
    assert one.counts == {"odd": 4}
    assert one.errors == 4
    assert [problem.row for problem in one.problems] == [2, 3, 2]


def test_a_warning_is_not_fatal():
    report = DataReport()
    report.add("odd", "file", [2], ["a"], str, "warning")
    report.raise_if_strict(True)
    assert report.counts == {"odd": 1}


def test_photos_without_links_get_a_hint(tmp_path):
    (tmp_path / "photos").mkdir()
    catalog = Catalog.load(shop(tmp_path, "id\na\n", '[catalog]\npath = "products.csv"\nimages = "photos"\n'))
    assert 'expected such as image_link = "{id}.jpg"' in str(catalog.report.problems[0])


def test_kinds_of_columns_and_learned_columns():
    n = 40
    frame = pd.DataFrame(
        {
            "id": [f"{i:02}" for i in range(n)],
            "title": ["one name"] * n,
            "brand": [f"brand {i % 4}" for i in range(n)],
            "price": np.arange(n) + 0.5,
            "availability": ["in_stock", "out_of_stock"] * (n // 2),
            "item_group_id": [str(i // 4) for i in range(n)],
            "code": [f"0{i % 3}" for i in range(n)],
            "year": [str(2000 + i % 3) for i in range(n)],
            "weight": [str(i / 8) for i in range(n)],
            "constant": ["same"] * n,
            "prose": ["words and more words " * 5] * n,
            "tags": [["a"], ["a", "b"]] * (n // 2),
            "new": [True, False] * (n // 2),
            "seen": ["2026-01-01", "2026-01-02"] * (n // 2),
            "empty": [None] * n,
        }
    )
    columns = {column.name: column for column in Catalog.from_frame(frame).columns}
    assert [column.name for column in columns.values() if column.learn] == [
        "brand", "price", "code", "year", "tags", "new",
    ]  # fmt: skip
    kinds = {
        name: columns[name].kind for name in ("code", "year", "weight", "prose", "tags", "new", "seen", "empty")
    }
    assert kinds == {
        "code": "category",
        "year": "number",
        "weight": "number",
        "prose": "text",
        "tags": "multi",
        "new": "category",
        "seen": "date",
        "empty": "category",
    }
    chosen = Catalog.from_frame(frame, learn=["availability"]).columns
    assert ColumnSpec("availability", "category", True) in chosen
    assert ColumnSpec("brand", "category", False) in chosen


def test_from_frame_takes_any_types():
    frame = pd.DataFrame(
        {
            "number": [7, 10, 8],
            "label": ["x", None, float("nan")],
            "price": [1, 2, None],
            "tags": [("b", "a"), None, ["b", "", "b"]],
            "published_at": pd.to_datetime(["2026-01-01T00:00Z", None, "2026-01-02T00:00Z"]),
        },
        index=[5, 5, 5],
    )
    catalog = Catalog.from_frame(frame, id="number")
    assert catalog.ids == ["10", "7", "8"]
    assert catalog.frame["label"].tolist() == ["", "x", ""]
    assert catalog.frame["tags"].tolist() == [[], ["b", "a"], ["b"]]
    assert str(catalog.frame["published_at"].dtype) == "datetime64[us]"
    with pytest.raises(ConfigError, match="did you mean 'title'"):
        Catalog.from_frame(frame, id="number", titel="label")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            pd.DataFrame({"sku": ["a"], "title": ["x"]}),
            "products frame has no column 'id' (the product's id); did you mean 'sku'? If so, rename a column, or "
            'pass its name, such as id="sku". Its columns are sku, title',
        ),
        (pd.DataFrame({"id": []}), "the products frame has no rows; expected at least one"),
        (
            pd.DataFrame({"id": [12.5, None]}),
            "the products frame has floats in the column 'id', such as 12.5; expected strings or whole numbers. "
            "Read ids with dtype=str, such as pd.read_csv(path, dtype={'id': str})",
        ),
        (pd.DataFrame([["a", "b"]], columns=["id", "id"]), "products frame has the column 'id' twice; rename one"),
        ([{"id": "a"}], "the products frame is a list; expected a pandas DataFrame or a path"),
    ],
)
def test_a_frame_that_cannot_be_used_says_what_to_do(frame, message):
    with pytest.raises(DataError) as error:
        Catalog.from_frame(frame)
    assert str(error.value) == message


def test_whole_numbers_are_ids():
    digits = [12, 9007199254740993]
    assert Catalog.from_frame(pd.DataFrame({"id": digits})).ids == ["12", "9007199254740993"]
    nullable = pd.DataFrame({"id": pd.array([*digits, None], "Int64")})
    assert Catalog.from_frame(nullable).ids == ["12", "9007199254740993"]
    assert Catalog.from_frame(pd.DataFrame({"title": "x"}, index=pd.Index([7], name="id"))).ids == ["7"]


def test_problems_of_a_frame_name_its_rows():
    frame = pd.DataFrame({"id": ["a", "b", None], "price": ["1", "two", "3"]})
    assert [str(problem) for problem in Catalog.from_frame(frame).report.problems] == [
        "products frame row 3: has no id; expected one; left out",
        'products frame row 2 (id "b"): price is "two"; expected a number such as 12.50; taken as missing',
    ]
    with pytest.raises(DataError, match="2 problems with --strict, the first: products frame row 3"):
        Catalog.from_frame(frame, strict=True)


ids = st.text(string.ascii_letters + string.digits + "-_/é中 𝔸", min_size=1, max_size=6).filter(str.strip)


@settings(deadline=None)
@given(st.lists(ids, min_size=1, max_size=30))
def test_rows_are_in_the_order_of_ids(given_ids):
    catalog = Catalog.from_frame(pd.DataFrame({"id": given_ids}))
    expected = sorted({each.strip() for each in given_ids})
    assert catalog.ids == expected
    assert catalog.row_of(expected).tolist() == list(range(len(expected)))
    left_out = catalog.report.counts["repeated row"] + catalog.report.counts["duplicate id"]
    assert len(catalog) + left_out == len(given_ids)


def test_levels_are_separated_as_by_google_merchant(tmp_path):
    table = "id,path,paths\na,Men/Tops/,Men/Tops|Sale\nb,Men / Shoes,\nc,,Women\n"
    mapping = '[catalog]\npath = "products.csv"\nproduct_type = "path"\nseparators = {paths = "|"}\n'
    catalog = Catalog.load(shop(tmp_path, table, mapping + 'levels = {path = "/", paths = "/"}\n'))
    assert catalog.frame["product_type"].tolist() == ["Men > Tops", "Men > Shoes", ""]
    assert catalog.frame["paths"].tolist() == [["Men > Tops", "Sale"], [], ["Women"]]
    with pytest.raises(DataError, match=r"no column 'way' \(named in levels\)"):
        Catalog.load(shop(tmp_path, table, mapping + 'levels = {way = "/"}\n'))
