import contextlib
import csv
import io
import json
from datetime import date
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.catalog import Catalog, read_events
from recommender.catalog.files.tables import read_table
from recommender.catalog.report import DataReport
from recommender.config import Config, EventsConfig
from recommender.errors import DataError, RecommenderError


def read(tmp_path, name, data):
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    report = DataReport()
    return read_table(tmp_path / name, report), report


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("p.csv", b"", "p.csv is empty; expected a header and rows"),
        ("p.csv", b"\n\n ", "p.csv is empty"),
        ("p.csv", b"id,name\n", "p.csv has no rows"),
        ("p.csv", b"id,name\n\n\n", "p.csv has no rows"),
        ("p.xlsx", b"PK", "p.xlsx is of no known format; expected one of .csv, .tsv, .txt"),
        ("p.parquet", b"PAR1 and no more", "p.parquet is not a Parquet file, or is cut off or damaged"),
        ("p.jsonl", b"\xff\xfe", "p.jsonl is empty"),
        ("p.jsonl", b"[1, 2]\n", "p.jsonl has no rows"),
    ],
)
def test_unreadable_files(tmp_path, name, data, message):
    with pytest.raises(DataError) as error:
        read(tmp_path, name, data)
    assert message in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_table(tmp_path / "p.csv", DataReport())


def test_rows_are_numbered_as_in_a_spreadsheet(tmp_path):
    data = 'id,name\n1,one\n\n2,"two\nlines"\n3,a,b\n4\n5,five\n'
    table, report = read(tmp_path, "p.csv", data)
    assert table.frame["id"].tolist() == ["1", "2", "4", "5"]
    assert table.rows.tolist() == [2, 4, 6, 7]
    assert [str(problem) for problem in report.problems] == [
        "p.csv row 5: has 3 cells; expected 2; left out",
        "p.csv row 6: has 1 cells; expected 2; the others are taken as missing",
    ]
    assert report.errors == 1


@pytest.mark.parametrize(("name", "separator"), [("p.csv", ","), ("p.csv", ";"), ("p.tsv", "\t"), ("p.csv", "|")])
def test_the_separator_is_inferred_from_the_header(tmp_path, name, separator):
    data = "\ufeff" + separator.join(["id", "name"]) + "\r\n" + separator.join(["0007", "NA"]) + "\r\n"
    table, _ = read(tmp_path, name, data)
    assert table.frame.to_dict("records") == [{"id": "0007", "name": "NA"}]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 99).map(str), cells, cells), min_size=1, max_size=8))
def test_files_written_by_python_round_trip(tmp_path, rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([("id", "a,b", 'c"d'), *rows])
    table, report = read(tmp_path, "p.csv", out.getvalue())
    assert list(table.frame.itertuples(index=False, name=None)) == rows
    assert table.rows.tolist() == list(range(2, len(rows) + 2))
    assert not report.problems


def test_json_lines(tmp_path):
    lines = [{"id": 1, "tags": ["a"], "size": {"w": 2, "h": {"cm": 3}}}, {"id": "2", "tags": None}]
    data = json.dumps(lines[0]) + "\n\nnot json\n" + json.dumps(lines[1]) + "\n[]\n"
    table, report = read(tmp_path, "p.jsonl", data)
    assert list(table.frame) == ["id", "tags", "size.w", "size.h.cm"]
    assert table.rows.tolist() == [1, 4]
    assert [problem.row for problem in report.problems] == [3, 5]


def test_parquet_keeps_its_types(tmp_path):
    frame = pd.DataFrame({"id": ["0001", "2"], "price": [1.5, None], "tags": [["a", "b"], []]})
    frame["at"] = pd.to_datetime(["2026-01-01", "2026-01-02"])
    frame.to_parquet(tmp_path / "p.parquet")
    table = read_table(tmp_path / "p.parquet", DataReport())
    assert table.frame["id"].tolist() == ["0001", "2"]
    assert table.frame["price"].dtype == "float64"
    assert [list(tags) for tags in table.frame["tags"]] == [["a", "b"], []]
    assert table.rows.tolist() == [1, 2]


def test_parquet_of_any_type_becomes_values(tmp_path):
    columns = {
        "id": pa.array([7, None, 9], pa.int32()),
        "title": pa.array(["x", "x", None]).dictionary_encode(),
        "price": pa.array([Decimal("1.50"), None, Decimal("2.00")]),
        "published_at": pa.array([date(2026, 1, 1), None, None]),
        "new": pa.array([True, True, None]),
        "tags": pa.array([["a"], None, []]),
        "size": pa.array([{"cm": 3}, None, {"cm": 4}]),
        "raw": pa.array([b"a", None, b"b"]),
    }
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    frame = Catalog.load(Config.from_files(tmp_path / "p.parquet")).frame
    assert frame.astype(object).where(frame.notna(), None).to_dict("records")[0] == {
        "id": "7",
        "title": "x",
        "price": 1.5,
        "published_at": pd.Timestamp("2026-01-01"),
        "new": "true",
        "tags": ["a"],
        "raw": "a",
        "size.cm": 3.0,
    }


odd = st.lists(
    st.sampled_from(["id", "price", "image", "1", "12,5", "{", '{"a": 1}', "[]", "null", *'",;\n\r '])
    | st.characters(codec="utf-8"),
    max_size=40,
).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd | odd.map("id,price\n1,2\n{}".format), st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_no_file_raises_an_unexpected_error(tmp_path, text, kind):
    path = tmp_path / f"p{kind}"
    path.write_bytes(text.encode())
    with contextlib.suppress(RecommenderError):
        catalog = Catalog.load(Config.from_files(path))
        assert catalog.ids == sorted(set(catalog.ids))
    with contextlib.suppress(RecommenderError):
        list(read_events(path, EventsConfig(path=path, user_id="id", item_id="id", timestamp="price")))


def test_line_ends_of_old_and_headers_of_several_lines(tmp_path):
    table, _ = read(tmp_path, "p.csv", 'id,"two\nlines"\r1,a\r2,b\r')
    assert list(table.frame) == ["id", "two\nlines"]
    assert table.frame["id"].tolist() == ["1", "2"]
