import io
import json

import pytest
from PIL import Image

from recommender.catalog import validate
from recommender.config import Config
from recommender.errors import DataError


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
    (tmp_path / "events.csv").write_text("user_id,item_id,event_name,timestamp\nu,z,purchase,2026-01-01\n")
    return Config.from_files(tmp_path / "products.csv", tmp_path / "photos", tmp_path / "events.csv")


def test_every_file_is_read_and_every_problem_reported(config):
    report = validate(config)
    assert report.facts["products"] == 4
    assert report.facts["products with a photo"] == 1
    assert report.facts["events"] == 0
    assert [str(problem) for problem in report.problems] == [
        'products.csv row 5 (id "d"): price is "x"; expected a number such as 12.50; taken as missing',
        "products.csv (id \"c\"): there is no photo 'c.jpg'; taken as without a photo",
        "products.csv (id \"b\"): the photo 'b.jpg' cannot be opened; taken as without a photo",
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
