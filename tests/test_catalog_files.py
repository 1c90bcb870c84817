"""Files as shops have them: separators, quotation marks, encodings, headings, compression, parts, feeds in XML."""

import bz2
import gzip
import io
import json
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.catalog import Catalog
from recommender.catalog.files import delimited, encodings
from recommender.catalog.files.tables import Table, frame_table, read_parts, read_table
from recommender.catalog.report import DataReport
from recommender.config import Config
from recommender.errors import DataError

RSS = (
    '<?xml version="1.0"?><rss xmlns:g="http://base.google.com/ns/1.0"><channel><title>S</title>{}</channel></rss>'
)


def read(tmp_path, name: str, data: bytes | str) -> tuple[Table, DataReport]:
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    report = DataReport()
    return read_table(tmp_path / name, report), report


def cells(table: Table) -> list[list[str]]:
    return table.frame.to_numpy().tolist()


def lines(rows, separator=",", header=("id", "title", "price")) -> str:
    return "".join(separator.join(row) + "\n" for row in [header, *rows])


THINGS = [[f"S{n}", f"Thing {n}", str(n)] for n in range(40)]


# Quotation marks


def test_tabs_need_no_quotation_marks(tmp_path):
    rows = [list(row) for row in THINGS]
    rows[3][1], rows[7][1], rows[30][1] = '"Rustic" table', '"Rustic table', 'Shelf 24"'
    table, report = read(tmp_path, "p.tsv", lines(rows, "\t"))
    assert cells(table) == rows
    assert not report.problems


def test_tabs_have_quotation_marks_where_the_file_shows_so(tmp_path):
    data = 'id\ttitle\tprice\n1\t"Shelf 24"" wide"\t5\n2\t"two\nlines"\t6\n3\tplain\t7\n'
    table, report = read(tmp_path, "p.txt", data)
    assert table.frame["title"].tolist() == ['Shelf 24" wide', "two\nlines", "plain"]
    assert not report.problems


@pytest.mark.parametrize("separator", [",", ";", "|"])
@pytest.mark.parametrize("last", ['Shelf 24"', "Shelf"])
def test_an_unclosed_quotation_mark_swallows_no_row(tmp_path, separator, last):
    rows = [list(row) for row in THINGS]
    rows[3][1], rows[30][1] = '"Rustic table', last
    table, report = read(tmp_path, "p.csv", lines(rows, separator))
    assert table.frame["id"].tolist() == [f"S{n}" for n in range(40)]
    assert table.frame["price"].tolist() == [str(n) for n in range(40)]
    assert table.frame["title"][3] == "Rustic table"
    assert ("unclosed quote", 5) in [(problem.kind, problem.row) for problem in report.problems]


def quoted(rows) -> str:
    return "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in rows)


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("which", ["first", "last"])
def test_a_lost_quotation_mark_costs_no_other_row(tmp_path, column, which):
    text = quoted([("id", "title", "price"), *THINGS]).split("\n")
    parts = text[11].split(",")
    parts[column] = parts[column][1:] if which == "first" else parts[column][:-1]
    text[11] = ",".join(parts)
    table, _ = read(tmp_path, "p.csv", "\n".join(text))
    assert table.frame.drop(index=10).to_numpy().tolist() == [row for row in THINGS if row[0] != "S10"]
    assert table.frame["id"][10].strip('"') == "S10"


def test_marks_inside_of_a_cell_need_not_be_doubled(tmp_path):
    data = 'id,title,price\n1,"Monitor 24" black",5\n2,"He said "so" and left",6\n3, "Mug, red", 7\n'
    table, _ = read(tmp_path, "p.csv", data)
    assert table.frame["title"].tolist() == ['Monitor 24" black', 'He said "so" and left', "Mug, red"]


def test_marks_may_be_escaped_with_a_backslash(tmp_path):
    data = r"""id,title,price
1,"Monitor 24\", black",5
2,"He said \"so\", and left",6
3,"a \n b",7
"""
    table, report = read(tmp_path, "p.csv", data)
    assert table.frame["title"].tolist() == ['Monitor 24", black', 'He said "so", and left', r"a \n b"]
    assert not report.errors


def test_a_backslash_before_the_last_mark_is_a_backslash(tmp_path):
    table, _ = read(tmp_path, "p.csv", 'id,path,price\n1,"C:\\data\\",5\n2,"D:\\x\\",6\n')
    assert table.frame["path"].tolist() == ["C:\\data\\", "D:\\x\\"]


def test_descriptions_of_several_lines_stay_whole(tmp_path):
    rows = [(f"P{n}", f"First, of {n}\nsecond line, with, commas\n\nlast\n", str(n)) for n in range(30)]
    table, report = read(tmp_path, "p.csv", quoted([("id", "description", "price"), *rows]))
    assert [tuple(row) for row in cells(table)] == rows
    assert not report.problems


def test_rows_after_a_fault_are_read_as_before_it(tmp_path):
    """A block is read line by line, the blocks around it as fast as ever: the values are the same."""
    good = [(f"P{n}", f'Title "{n}", long\nand more', str(n)) for n in range(300)]
    text = quoted([("id", "title", "price"), *good])
    at = text.index('"P150"')
    whole, _ = read(tmp_path, "good.csv", text)
    faulty, report = read(tmp_path, "bad.csv", text[:at] + '"X","unclosed,9\n' + text[at:])
    assert cells(faulty)[150] == ["X", "unclosed", "9"]
    assert cells(faulty)[:150] + cells(faulty)[151:] == cells(whole)
    assert report.counts == {"unclosed quote": 1}


# Rows and headings


def test_rows_of_other_lengths(tmp_path):
    data = "id,title,price\n1,Mug,5,\n2,Lamp\n3,Chair,red,7\n\n4,Table,8,,,\n"
    table, report = read(tmp_path, "p.csv", data)
    assert cells(table) == [["1", "Mug", "5"], ["2", "Lamp", ""], ["4", "Table", "8"]]
    assert table.rows.tolist() == [2, 3, 6]
    assert [(problem.kind, problem.row, problem.severity) for problem in report.problems] == [
        ("row left out", 4, "left_out"),
        ("short row", 3, "warning"),
    ]


def test_separators_at_the_end_of_each_row(tmp_path):
    for header in ("id;title", "id;title;"):
        table, report = read(tmp_path, "p.csv", f"{header}\n1;Mug;\n2;Lamp;\n")
        assert cells(table) == [["1", "Mug"], ["2", "Lamp"]]
        assert list(table.frame) == ["id", "title"]
        assert not report.problems


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=;\r"])
def test_the_line_that_names_the_separator_of_excel(tmp_path, first):
    table, report = read(tmp_path, "p.csv", f"\ufeff{first}\nid;title, long\n1;Mug\n2;Lamp\n")
    assert list(table.frame) == ["id", "title, long"]
    assert table.rows.tolist() == [3, 4]
    assert not report.problems


def test_the_separator_is_that_of_most_rows(tmp_path):
    table, _ = read(tmp_path, "p.csv", 'id;"name, short, long";price\n1;Mug, red;1,50\n2;"a;b";2,00\n')
    assert cells(table) == [["1", "Mug, red", "1,50"], ["2", "a;b", "2,00"]]


def test_titles_above_the_header(tmp_path):
    table, report = read(
        tmp_path, "p.csv", "Products of Acme\n\nexported on Monday\nid,title,price\n1,Mug,5\n2,Cup,6\n"
    )
    assert list(table.frame) == ["id", "title", "price"]
    assert table.rows.tolist() == [5, 6]
    assert [problem.row for problem in report.problems] == [1, 3]


def test_headings_that_are_empty_or_repeated(tmp_path):
    data = "\ufeff id ,title,,title,title,size,\n1,Mug,x,Mug,Becher,,\n2,Lamp,y,,Lampe,,\n"
    table, report = read(tmp_path, "p.csv", data)
    assert list(table.frame) == ["id", "title", "column 3", "title.3", "size"]
    assert table.frame["title.3"].tolist() == ["Becher", "Lampe"]
    assert report.counts["heading"] == 3
    assert not report.errors


def test_a_repeated_header_is_no_product(tmp_path):
    table, report = read(tmp_path, "p.csv", "id,title\n1,Mug\nid,title\n2,Lamp\n")
    assert table.frame["id"].tolist() == ["1", "2"]
    assert report.errors == 1


def test_carriage_returns_and_nul_bytes(tmp_path):
    table, _ = read(tmp_path, "p.csv", b'id,title\r1,"Mug, red"\r2,Lamp\r')
    assert cells(table) == [["1", "Mug, red"], ["2", "Lamp"]]
    table, report = read(tmp_path, "p.csv", b"id,title\n1,Mug\0\0\n2,Lamp\n")
    assert cells(table) == [["1", "Mug"], ["2", "Lamp"]]
    assert report.counts == {"NUL bytes": 1}


# Encodings


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32"])
def test_encodings(tmp_path, codec):
    rows = [["1", "Café crème"], ["2", "Möbel für Küche"], ["3", "Niño"]]
    text = "".join("\t".join(row) + "\n" for row in [["id", "title"], *rows])
    table, report = read(tmp_path, "p.txt", text.encode(codec))
    assert cells(table) == rows
    guessed = codec in ("cp1252", "utf-16-le", "utf-16-be")
    assert report.counts == ({"encoding": 1} if guessed else {})


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1250", "Krzesło drewniane białe\nŁóżko dziecięce\nŚwieca żółta"),
        ("cp1251", "Красная кружка\nСтол деревянный\nЛампа"),
        ("koi8_r", "Красная кружка\nСтол деревянный для кухни"),
        ("cp1254", "Kırmızı kupa\nAhşap sandalye için örtü\nşık çanta"),
        ("gb18030", "红色杯子\n木制椅子\n台灯"),
        ("cp932", "赤いマグカップ\n木製の椅子\nランプ"),
    ],
)
def test_encodings_from_before_unicode(tmp_path, codec, text):
    titles = text.split("\n")
    data = "id,title\n" + "".join(f"{n},{title}\n" for n, title in enumerate(titles))
    table, report = read(tmp_path, "p.csv", data.encode(codec))
    assert table.frame["title"].tolist() == titles
    assert report.counts == {"encoding": 1}


def test_a_few_bad_bytes_cost_their_cells(tmp_path):
    data = "id,title\n" + "".join(f"{n},Möbel\n" for n in range(50))
    table, report = read(tmp_path, "p.csv", data.encode().replace(b"7,M\xc3\xb6", b"7,M\xff", 1))
    assert len(table.frame) == 50
    assert table.frame["title"][7] == "M\ufffdbel"
    assert [problem.row for problem in report.problems] == [9]


def test_two_encodings_in_one_file(tmp_path):
    old, new = "1,Café\n2,Crème\n".encode("cp1252"), "3,Möbel\n4,Küche\n".encode()
    table, report = read(tmp_path, "p.csv", b"id,title\n" + old + new)
    assert table.frame["title"].tolist() == ["Café", "Crème", "Möbel", "Küche"]
    assert report.counts == {"encoding": 1}


# Formats, compression, parts


@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress, bz2.compress])
def test_formats_by_content(tmp_path, compress):
    parquet = io.BytesIO()
    pq.write_table(pa.table({"id": ["1"], "title": ["Mug"]}), parquet)
    contents = {
        "p.csv": b"id,title\n1,Mug\n",
        "p.json": b'[{"id": "1", "title": "Mug"}]',
        "p.xml": RSS.format("<item><g:id>1</g:id><title>Mug</title></item>").encode(),
        "p.parquet": parquet.getvalue(),
    }
    for data in contents.values():
        for name in (*contents, "p.txt.gz", "p"):
            assert cells(read(tmp_path, name, compress(data))[0]) == [["1", "Mug"]]


def test_what_holds_no_table_is_refused_with_a_remedy(tmp_path):
    def archive(*names):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as members:
            for name in names:
                members.writestr(name, "id,title\n1,Mug\n")
        return file.getvalue()

    assert cells(read(tmp_path, "p.zip", archive("p.csv", "__MACOSX/._p.csv"))[0]) == [["1", "Mug"]]
    for data, message in {
        archive("[Content_Types].xml", "xl/workbook.xml"): "save its sheet as CSV UTF-8",
        archive("a.csv", "b.csv"): "a zip with 2 files",
        b"\xd0\xcf\x11\xe0 and so on": "Excel workbook",
        b"<!DOCTYPE html><html><body>Log in</body></html>": "is a web page",
        gzip.compress(b"id,title\n1,Mug\n" * 99)[:-20]: "cut off or damaged",
        b"%PDF-1.4": "is a PDF",
    }.items():
        with pytest.raises(DataError, match=message):
            read(tmp_path, "p.csv", data)


def test_a_folder_of_parts(tmp_path):
    folder = tmp_path / "events"
    (folder / "country=de").mkdir(parents=True)
    (folder / "part-0000.csv").write_text("id,title\n1,Mug\n2,Lamp\n")
    (folder / "country=de" / "part-0001.csv.gz").write_bytes(
        gzip.compress(b"id,title,size\n3,Chair,XL\n4,Bed,L,x\n")
    )
    (folder / "_SUCCESS").write_text("")
    (folder / ".part-0000.csv.crc").write_bytes(b"\0\1")
    report = DataReport()
    table = read_table(folder, report)
    assert sorted(table.frame["id"]) == ["1", "2", "3"]
    assert table.frame.set_index("id").loc["3"].tolist() == ["Chair", "XL", "de"]
    assert table.frame.set_index("id").loc["1"].tolist() == ["Mug", "", ""]
    report.add("any", table.name, table.rows, table.frame["id"].tolist(), lambda i: "message")
    assert sorted((problem.file, problem.row, problem.id) for problem in report.problems) == [
        ("events/country=de/part-0001.csv.gz", 2, "3"),
        ("events/country=de/part-0001.csv.gz", 3, ""),
        ("events/part-0000.csv", 2, "1"),
        ("events/part-0000.csv", 3, "2"),
    ]
    (folder / "more.json").write_text('[{"id": "9"}]')
    with pytest.raises(DataError, match="all of one format"):
        read_table(folder, DataReport())


def test_parts_of_a_large_file_are_read_as_a_small_one(tmp_path, monkeypatch):
    rows = [[f"S{n}", f'Thing, {n} "é"\nmore', str(n)] for n in range(200)]
    text = quoted([("id", "title", "price"), *rows]).replace('"S60",', '"S60,', 1).replace('"S90",', "S90,,,,", 1)
    whole, at_once = read(tmp_path, "p.csv", text)
    monkeypatch.setattr(encodings, "BLOCK", 500)
    monkeypatch.setattr(delimited, "_MAX_PENDING", 2000)
    report = DataReport()
    parts = list(read_parts(tmp_path / "p.csv", report))
    assert len(parts) > 5
    assert [row for part in parts for row in cells(part)] == cells(whole)
    assert [row for part in parts for row in part.rows.tolist()] == whole.rows.tolist()
    assert report.counts == at_once.counts


# JSON and Parquet


@pytest.mark.parametrize(
    "data",
    [
        '[{"id": 1, "price": NaN}, {"id": 2, "price": 5}]',
        '{"total": 2, "products": [{"id": 1}, {"id": 2}]}',
        '{"data": {"items": [{"id": 1}, {"id": 2}]}}',
        '\ufeff{"id": 1}\n{"id": 2}\n',
        '{"id": 1}{"id": 2}',
        '{\n  "id": 1\n}\n{\n  "id": 2\n}\n',
        '[{"id": 1},\n{"id": 2},\n]',
    ],
)
def test_shapes_of_json(tmp_path, data):
    table, report = read(tmp_path, "p.json", data)
    assert table.frame["id"].tolist() == [1, 2]
    assert not report.errors


def test_damaged_json_costs_one_object(tmp_path):
    objects = [json.dumps({"id": str(n), "title": f"Thing {n}"}) for n in range(6)]
    objects[2] = objects[2].replace('"title"', "title")
    for data in ("[" + ",\n".join(objects) + "]", "\n".join(objects)):
        table, report = read(tmp_path, "p.json", data)
        assert table.frame["id"].tolist() == ["0", "1", "3", "4", "5"]
        assert report.errors == 1


def test_long_ids_stay_exact(tmp_path):
    table, _ = read(tmp_path, "p.jsonl", '{"id": 9007199254740993}\n{"sku": 2}\n')
    assert table.frame["id"][0] == 9007199254740993
    pq.write_table(pa.table({"id": pa.array([9007199254740993, None])}), tmp_path / "p.parquet")
    assert read_table(tmp_path / "p.parquet", DataReport()).frame["id"][0] == 9007199254740993


def test_parquet_of_pandas_keeps_its_index(tmp_path):
    frame = pd.DataFrame({"title": pd.Categorical(["Mug", "Lamp"])}, index=pd.Index(["a", "b"], name="id"))
    frame.to_parquet(tmp_path / "p.parquet")
    table = read_table(tmp_path / "p.parquet", DataReport())
    assert table.frame[["id", "title"]].to_numpy().tolist() == [["a", "Mug"], ["b", "Lamp"]]
    data = (tmp_path / "p.parquet").read_bytes()
    with pytest.raises(DataError, match="cut off or damaged"):
        read(tmp_path, "q.parquet", data[: len(data) // 2])


# Frames


def test_frames_of_floats_and_of_levels():
    report = DataReport()
    table = frame_table(pd.DataFrame({"id": [104.0, None, 7.0]}), "frame", ["id"], "", report)
    assert table.frame["id"].tolist()[0] == 104
    assert report.counts == {"ids as floats": 1}
    levels = pd.DataFrame([["1", 2]], columns=pd.MultiIndex.from_tuples([("id", ""), ("price", "mean")]))
    assert list(frame_table(levels, "frame", ["id"], "", report).frame) == ["id", "price.mean"]


# XML


def items(*texts: str) -> str:
    return RSS.format("".join(f"<item><g:id>S{n}</g:id>{text}</item>" for n, text in enumerate(texts)))


def test_namespaced_and_plain_twins(tmp_path):
    table, report = read(
        tmp_path,
        "f.xml",
        items(
            "<title>Chair</title><g:title>Chair</g:title>",
            "<title>Chair of Acme</title><g:title>Chair</g:title>",
            "<g:title></g:title><title>Chair</title>",
            "<g:title>Chair</g:title><g:title>Stuhl</g:title>",
        ),
    )
    assert table.frame["title"].tolist() == ["Chair"] * 4
    assert [problem.row for problem in report.problems] == [4]


def test_nested_and_repeated_elements(tmp_path):
    shipping = "<g:shipping><g:country>{}</g:country><g:price>4.95 USD</g:price></g:shipping>"
    details = (
        "<g:product_detail><g:attribute_name>Fit</g:attribute_name><g:attribute_value>Slim</g:attribute_value>"
    )
    table, _ = read(
        tmp_path,
        "f.xml",
        items(
            shipping.format("US") + shipping.format("CA") + details + "</g:product_detail>",
            "<g:additional_image_link>a</g:additional_image_link><g:additional_image_link>b</g:additional_image_link>",
        ),
    )
    row = table.frame.iloc[0]
    assert row["shipping.country"] == ["US", "CA"]
    assert row["shipping.price"] == ["4.95 USD", "4.95 USD"]
    assert row["Fit"] == "Slim"
    assert table.frame["additional_image_link"][1] == ["a", "b"]
    assert "shipping" not in table.frame


@pytest.mark.parametrize(
    ("fault", "title", "kept"),
    [
        ("<title>a\x0bb</title>", "ab", True),
        ("<title>caf&eacute;&nbsp;bar</title>", "café\xa0bar", True),
        ("<title>Salt & Pepper</title>", "Salt & Pepper", True),
        ("<title>R&D &amp; more &#11;</title>", "R&D & more", True),
        ("<title><![CDATA[a & b &nbsp;]]></title><x>&nbsp;</x>", "a & b &nbsp;", True),
        ("<title>5 < 6</title>", None, True),
        ("<title>Chair<b></title>", "Chair", True),
        ("<title>Chair</titel>", "Chair", True),
        ("<c:title>Chair</c:title>", "Chair", True),
    ],
)
def test_a_fault_costs_at_most_one_item(tmp_path, fault, title, kept):
    table, report = read(tmp_path, "f.xml", items("<title>A</title>", fault, "<title>C</title>"))
    assert table.frame["id"].tolist() == ["S0", "S1", "S2"] if kept else ["S0", "S2"]
    assert table.frame["title"].tolist()[::2] == ["A", "C"]
    assert title is None or table.frame["title"][1] == title
    assert fault.startswith("<c:") or report.counts["malformed item"] == 1


def test_a_feed_that_is_cut_off(tmp_path):
    text = items(*[f"<title>T{n}</title>" for n in range(5)])
    table, report = read(tmp_path, "f.xml", text[: text.index("T4")])
    assert table.frame["id"].tolist() == ["S0", "S1", "S2", "S3"]
    assert [(problem.row, problem.severity) for problem in report.problems] == [(5, "left_out")]


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("utf-8", "cp1252"),
        ("utf-16", "utf-8"),
        ("iso-8859-1", "utf-8"),
        ("iso-8859-2", "iso-8859-2"),
        ("x-y", "utf-8"),
    ],
)
def test_the_declared_encoding_may_lie(tmp_path, declared, codec):
    text = items("<title>Möbel für Küche</title>", "<title>größer</title>")
    text = text.replace('version="1.0"', f'version="1.0" encoding="{declared}"', 1)
    table, _ = read(tmp_path, "f.xml", text.encode(codec))
    assert table.frame["title"].tolist() == ["Möbel für Küche", "größer"]


def test_feeds_of_other_roots(tmp_path):
    shop = "<SHOP>{}</SHOP>".format(
        f"<SHOPITEM><ITEM_ID>{1}</ITEM_ID><PRODUCTNAME>Mug</PRODUCTNAME>"
        "<PARAM><PARAM_NAME>Size</PARAM_NAME><VAL>M</VAL></PARAM></SHOPITEM>"
    )
    table, _ = read(tmp_path, "f.xml", shop)
    assert table.frame.to_dict("records") == [{"ITEM_ID": "1", "PRODUCTNAME": "Mug", "Size": "M"}]
    offers = (
        '<yml_catalog><shop><currencies><currency id="EUR"/><currency id="USD"/></currencies><offers>'
        '<offer id="7" available="true"><name>Mug</name><param name="Color">red</param></offer>'
        '<offer id="8" available="false"><name>Cup</name></offer></offers></shop></yml_catalog>'
    )
    table, _ = read(tmp_path, "f.xml", offers)
    assert table.frame["id"].tolist() == ["7", "8"]
    assert table.frame["Color"].tolist() == ["red", ""]
    things = "<things>" + "".join(f"<thing><id>{n}</id></thing>" for n in range(3)) + "</things>"
    assert read(tmp_path, "f.xml", things)[0].frame["id"].tolist() == ["0", "1", "2"]


def test_markup_in_a_description_is_no_column(tmp_path):
    table, _ = read(tmp_path, "f.xml", items("<description><p>Warm</p><p>and light</p></description>"))
    assert table.frame["description"].tolist() == ["Warm and light"]


def test_nothing_is_fetched_or_expanded(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    for doctype, reference in {
        f'<!DOCTYPE rss [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>': "&x;",
        f'<!DOCTYPE rss [<!ENTITY e0 "ha">{entities}]>': "&e11;",
        f'<!DOCTYPE rss SYSTEM "file://{tmp_path}/secret.txt">': "plain",
    }.items():
        text = items(f"<title>{reference}</title>").replace("<rss", doctype + "<rss", 1)
        table, _ = read(tmp_path, "f.xml", text)
        assert table.frame["title"].str.len().max() < 20
        assert not table.frame["title"].str.contains("secret").any()


def test_a_large_feed_takes_little_memory_beside_its_table(tmp_path, monkeypatch):
    monkeypatch.setattr(encodings, "BLOCK", 300)
    faulty = items(*[f"<title>T{n} &nbsp;</title>" for n in range(50)])
    table, report = read(tmp_path, "f.xml", faulty)
    assert len(table.frame) == 50
    assert report.counts == {"malformed item": 50}


def test_a_catalogue_of_odd_files_is_loaded(tmp_path):
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress("sep=;\nid;title;title\n1;Café;Coffee\n".encode("cp1252")))
    catalog = Catalog.load(Config.from_files(tmp_path / "p.csv.gz"))
    assert catalog.frame["title"].tolist() == ["Café"]
    assert catalog.report.counts == {"encoding": 1, "heading": 1}


def test_copies_of_a_row_with_an_unclosed_quote_are_two_rows(tmp_path):
    damaged = 'P1;"First line\nsecond line";1.50;"in_stock\n'
    table, report = read(tmp_path, "p.csv", "id;text;price;stock\n" + damaged * 2 + "P2;Soft;2.50;in_stock\n")
    assert table.frame["id"].tolist() == ["P1", "P1", "P2"]
    assert table.frame["text"].tolist() == ["First line\nsecond line"] * 2 + ["Soft"]
    assert report.counts == {"unclosed quote": 2}
