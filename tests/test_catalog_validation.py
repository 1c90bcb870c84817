import io
import json
import tomllib

import pytest
from PIL import Image

from recommender.catalog import validate
from recommender.catalog.advice import ADVICE
from recommender.config import Config
from recommender.errors import DataError
from recommender.filters import parse
from recommender.pages import write_data_page
from tests.browser import quiet_page


def photo():
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def config(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(photo())
    (tmp_path / "photos" / "b.jpg").write_bytes(b"no photo")
    (tmp_path / "products.csv").write_text("id,image,price\na,a.jpg,1\nb,b.jpg,\nc,c.jpg,2\nd,,x\n")
    (tmp_path / "events.csv").write_text(
        "user_id,item_id,event_name,timestamp\nu,z,purchase,2026-01-01\nu,a,purchase,2026-01-01\n"
    )
    return Config.from_files(tmp_path / "products.csv", tmp_path / "photos", tmp_path / "events.csv")


def test_every_file_is_read_and_every_problem_reported(config):
    report = validate(config)
    assert report.facts["products"] == 4
    assert report.facts["products with a photo"] == 1
    assert report.facts["events"] == 1
    assert [str(problem) for problem in report.problems] == [
        'products.csv row 5 (id "d"): price is "x"; expected a number such as 12.50; taken as missing',
        "products.csv (id \"c\"): the photo 'c.jpg' is not there; taken as without a photo",
        "products.csv (id \"b\"): the photo 'b.jpg' is no image, or is damaged; expected JPEG, PNG, WebP, GIF, "
        "AVIF, TIFF or BMP; taken as without a photo",
        'events.csv row 2 (id "z"): the catalogue has no such product; left out',
    ]
    assert report.errors == 2
    assert json.loads(json.dumps(report.to_dict()))["counts"]["missing photo"] == 1
    assert "4 products" in report.lines()
    with pytest.raises(DataError, match="2 problems with --strict"):
        validate(config, strict=True)


def test_valid_input_has_no_problems(tmp_path):
    (tmp_path / "products.csv").write_text("id,title\na,A\n")
    report = validate(Config.from_files(tmp_path / "products.csv"), strict=True)
    assert report.lines()[-1] == "no problem found"


@pytest.fixture
def odd_shop(tmp_path):
    """A mapped title, a template, a list, and a title that would run as a script in a page."""
    title = "<script>document.title = 'gone'</script> mug"
    (tmp_path / "p.csv").write_text(
        "sku;label;tags;price\n" + "".join(f"S{n};{title} {n};a|b;{n}\n" for n in range(1, 7)) + ";nobody;;\n"
    )
    (tmp_path / "e.csv").write_text(
        "user_id,item_id,event_name,timestamp\n" + "".join(f"u,S{n},purchase,2025-01-0{n}\n" for n in range(1, 7))
    )
    tables = {"catalog": {"path": "p.csv", "id": "sku", "title": "label", "separators": {"tags": "|"}}}
    (tmp_path / "photos").mkdir()
    return Config.model_validate({**tables, "events": {"path": "e.csv"}, "data_dir": tmp_path})


def test_what_was_understood_of_each_column(odd_shop):
    columns = {(column.file, column.name): column for column in validate(odd_shop).columns}
    label, price, tags = (columns["p.csv", name] for name in ("title", "price", "tags"))
    assert (label.heading, label.kind, label.use, label.filled) == ("label", "text", "encoded text", 1.0)
    assert (price.kind, price.distinct, price.examples) == ("number", 6, ("1", "4", "6"))
    assert (tags.kind, tags.distinct, tags.examples) == ("multi", 2, ("a", "b"))
    assert columns["p.csv", "id"].heading == "sku"
    assert columns["e.csv", "timestamp"].examples[0].startswith("2025-01-01")
    assert ("e.csv", "value") not in columns  # nothing in it


def test_the_report_as_a_page(odd_shop, tmp_path, browser):
    write_data_page(validate(odd_shop), tmp_path / "data.html")
    with quiet_page(browser, (tmp_path / "data.html").as_uri()) as page:
        assert page.title() == "The shop's files"
        rows = page.locator("tr").all_inner_texts()
        assert any("label" in row and "encoded text" in row for row in rows)
        assert page.locator("details[open] summary").all_inner_texts() == ["no id\n1 left out"]
        assert "[catalog]" in page.locator("details[open] pre").inner_text()
        assert page.locator(".banner").inner_text() == "LOST: 14% of 7 products (14% no id)"


def test_a_heading_that_looks_like_a_standard_column_is_named(tmp_path):
    (tmp_path / "p.csv").write_text(
        "sku,Bezeichnung,brand,marke\n" + "".join(f"S{n},Becher {n},A,B\n" for n in range(9))
    )
    with pytest.raises(DataError, match=r"no column 'id' .*did you mean 'sku'"):
        validate(Config.from_files(tmp_path / "p.csv"))
    report = validate(Config.from_mapping({"catalog": {"path": tmp_path / "p.csv", "id": "sku"}}))
    (problem,) = [problem for problem in report.problems if problem.kind == "column not used"]
    assert 'title = "Bezeichnung"' in problem.message  # brand is there, so that marke is one more attribute


def test_standard_headings_are_known_in_any_case(tmp_path):
    (tmp_path / "p.csv").write_text("ID,Title,Product Type\na,Mug,Home\nb,Lamp,Home\n")
    (tmp_path / "e.csv").write_text("User ID,itemId,Event Name,TIMESTAMP\nu,a,purchase,2025-01-01\n")
    config = Config.from_files(tmp_path / "p.csv", events=tmp_path / "e.csv")
    report = validate(config, strict=True)
    assert (report.facts["products"], report.facts["products without a text"], report.facts["events"]) == (2, 0, 1)


def test_a_heading_that_the_config_names_keeps_its_spelling(tmp_path):
    (tmp_path / "p.csv").write_text("ID,Title,Brand\na,Mug,Home\nb,Lamp,Home\n")
    entries = {"path": tmp_path / "p.csv", "id": "ID", "title": "Title", "attributes": ["Brand"]}
    report = validate(Config.from_mapping({"catalog": entries}), strict=True)
    assert [column.name for column in report.columns] == ["id", "title", "Brand"]


@pytest.mark.parametrize("kind", [kind for kind, text in ADVICE.items() if text.startswith("[")])
def test_advice_can_be_pasted_into_a_config(kind):
    tables = tomllib.loads(ADVICE[kind])
    for name in ("catalog", "events"):
        tables.setdefault(name, {})["path"] = "file.csv"
    config = Config.from_mapping(tables)
    for where in filter(None, (config.catalog.where, config.events.where)):
        parse(where)
