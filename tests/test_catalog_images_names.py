"""Photos are found by names as file systems and shops spell them, and only where that is unambiguous."""

import io
import logging
import zipfile
from unicodedata import normalize
from urllib.parse import quote

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from recommender.catalog import Catalog, validate
from recommender.catalog.images.files import FolderImages, ZipImages
from recommender.catalog.images.names import Names, is_stray, shared_folder
from recommender.catalog.images.sources import _links
from recommender.catalog.images.web import is_url, url_of
from recommender.config import Config
from recommender.encoders.pipeline import encode_catalog
from recommender.errors import DataError
from recommender.testing import TinyEncoder


def photo(colour="red"):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "JPEG")
    return out.getvalue()


def sources(tmp_path, names, prefixes=()):
    """Return a folder and a zip with these files, each holding its name."""
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
            archive.writestr(name, name.encode())
    return FolderImages(tmp_path / "photos", prefixes), ZipImages(tmp_path / "shop.zip", prefixes)


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("mug.JPG", "mug.jpg"),
        ("Mug.jpg", "mUG.JPG"),
        ("mug.jpeg", "mug.jpg"),
        ("mug.webp", "mug.jpg"),
        ("mug.jpg", "mug"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("Stra\u00dfe.jpg", "STRASSE.jpg"),
        ("lamp.jpg", "lamp.jpg?v=3"),
        ("lamp.jpg", "lamp.jpg?next=/a/b#top"),
        ("lamp.jpg?v=3", "lamp.jpg"),
        ("a lamp.jpg", "a%20lamp.jpg"),
        ("a%20lamp.jpg", "a lamp.jpg"),
        ("m/h/a.jpg", "m%2Fh%2Fa.jpg"),
        ("M/H/a.jpg", "m\\h\\A.jpg"),
        ("a.jpg", "./photos/a.jpg"),
        ("a.jpg", "/var/www/photos/a.jpg"),
        ("all/a.jpg", "a.jpg"),
    ],
)
def test_photos_are_found_by_other_spellings(tmp_path, name, ref):
    folder, archive = sources(tmp_path, [name], prefixes=["var/www/photos/", "photos/"])
    for source in (folder, archive):
        assert source.read(ref) == name.encode()
        assert source.key(ref) == source.key(name) != ""


def test_the_same_name_comes_first_and_of_several_others_none(tmp_path):
    folder, archive = sources(tmp_path, ["A.jpg", "a.jpg", "b.png", "b.gif", "x#1.jpg", "x#2.jpg"])
    for source in (folder, archive):
        assert source.read("A.jpg") == b"A.jpg"
        assert source.read("a.jpg") == b"a.jpg"
        assert source.read("x#2.jpg") == b"x#2.jpg"
        assert source.read("b.PNG") == b"b.png"
        assert {source.key(ref) for ref in ("a.JPG", "b.jpg", "b", "x.jpg", "c.jpg", "../a.jpg")} == {""}
        with pytest.raises(DataError, match=r"photo 'a\.JPG' is not in "):
            source.read("a.JPG")
        assert source.matched == {"b.PNG": "b.png"}


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0?#%", exclude_categories=["Cc", "Cs"]), min_size=1
)


@given(st.lists(NAMES, min_size=1, max_size=5), st.data())
def test_a_name_is_found_in_any_case_form_and_escape_or_not_at_all(stems, data):
    files = [f"{stem}.jpg" for stem in stems if not is_stray(f"{stem}.jpg")]
    names = Names(lambda folder: [] if folder else files)
    for name in files:
        for spelling in (name, name.upper(), normalize("NFD", name), quote(name), f"{name}?v=1"):
            found = names.find(spelling)
            folded = {normalize("NFC", each.casefold()).casefold() for each in (found, name)}
            assert found == "" or len(folded) == 1
            if len(files) == 1:
                assert spelling != name or found == name


def test_shared_folders():
    assert shared_folder([]) == shared_folder(["a.jpg"]) == shared_folder(["ab/1.jpg", "ac/1.jpg"]) == ""
    assert shared_folder(["p/a/1.jpg"]) == "p/a/"


def test_only_a_folder_that_all_references_have_is_left_out(tmp_path):
    """red/1.jpg and blue/1.jpg are not both 1.jpg."""
    for source in sources(tmp_path, ["1.jpg"]):
        assert source.key("red/1.jpg") == ""


def test_strays_of_operating_systems_are_ignored(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("__MACOSX/photos/._a.jpg", b"\0\5\x16\7")
        for name in ("photos/a.jpg", "photos/.DS_Store", "photos/Thumbs.db"):
            archive.writestr(name, name)
    source = ZipImages(tmp_path / "photos.zip")
    assert source.read("a.jpg") == source.read("photos/a.jpg") == b"photos/a.jpg"
    assert source.key(".DS_Store") == source.key("__MACOSX/photos/._a.jpg") == ""


@pytest.mark.parametrize("codec", ["utf-8", "cp850", "cp866", "gbk", "cp932", "cp949"])
def test_names_of_members_in_other_encodings(tmp_path, codec):
    name = {
        "cp866": "\u0447\u0430\u0448\u043a\u0430",
        "gbk": "\u676f\u5b50",
        "cp932": "\u30e9\u30f3\u30d7",
        "cp949": "\uc7a5\uac11",
    }.get(codec, "m\u00f6bel")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        member = zipfile.ZipInfo("x" * len(name.encode(codec)) + ".jpg")
        archive.writestr(member, b"photo")
    data = (tmp_path / "photos.zip").read_bytes().replace(b"x" * len(name.encode(codec)), name.encode(codec))
    (tmp_path / "photos.zip").write_bytes(data)
    assert ZipImages(tmp_path / "photos.zip").read(f"{name}.jpg") == b"photo"


def test_encrypted_members_are_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", b"photo")
    data = bytearray((tmp_path / "photos.zip").read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "photos.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"is encrypted in .*; expected a zip without a password"):
        ZipImages(tmp_path / "photos.zip").read("a.jpg")


@pytest.mark.parametrize(
    ("ref", "url"),
    [
        ("https://s.example/a.jpg?w=1&amp;h=2", "https://s.example/a.jpg?w=1&h=2"),
        ("HTTP://s.example/a.jpg", "HTTP://s.example/a.jpg"),
        ("//s.example/a.jpg", "https://s.example/a.jpg"),
        ("//127.0.0.1:8711/a.png", "https://127.0.0.1:8711/a.png"),
        ("cdn.shopify.com/s/a.jpg", "https://cdn.shopify.com/s/a.jpg"),
        ("//photos/a.jpg", ""),
        ("//a.jpg", ""),
        ("photos.old/a.jpg", ""),
        ("a.jpg", ""),
        ("C:\\a.jpg", ""),
        ("", ""),
    ],
)
def test_urls(ref, url):
    assert url_of(ref) == url
    assert is_url(ref) == (bool(url) and "//" in ref)


@pytest.mark.parametrize(
    ("cell", "links"),
    [
        ("a.jpg", ["a.jpg"]),
        ("a.jpg|b.jpg", ["a.jpg|b.jpg", "a.jpg", "b.jpg"]),
        ("a.jpg, b.jpg", ["a.jpg, b.jpg", "a.jpg", "b.jpg"]),
        ('["a.jpg", "b.jpg"]', ["a.jpg", "b.jpg"]),
        ("https://s.example/w_1,h_2/a.jpg", ["https://s.example/w_1,h_2/a.jpg"]),
        (
            "https://s.example/a.jpg,https://s.example/b.jpg",
            ["https://s.example/a.jpg", "https://s.example/b.jpg"],
        ),
        ("//s.example/a.jpg //s.example/b.jpg", ["//s.example/a.jpg", "//s.example/b.jpg"]),
    ],
)
def test_several_links_in_a_cell(cell, links):
    assert [*_links(cell)][: len(links)] == links


def test_the_first_link_that_exists_is_taken(tmp_path):
    for name in ("b.jpg", "x, y.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    frame = pd.DataFrame({"id": ["1", "2", "3"], "image": ["a.jpg; b.jpg", "x, y.jpg", "c.jpg|d.jpg"]})
    images = Catalog.from_frame(frame, tmp_path).images
    assert images.read("a.jpg; b.jpg") == b"b.jpg"
    assert images.read("x, y.jpg") == b"x, y.jpg"
    assert images.key("c.jpg|d.jpg") == ""


def test_photos_of_urls_that_are_in_the_given_folder_are_not_downloaded(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "b c.jpg").write_bytes(b"photo")
    urls = ["https://nowhere.invalid/s/a.jpg?v=1", "https://nowhere.invalid/s/b%20c.jpg?v=1"]
    frame = pd.DataFrame({"id": ["1", "2"], "image": urls})
    given = Catalog.from_frame(frame, tmp_path / "photos").images
    assert given.read(urls[1]) == b"photo"
    assert given.key(urls[0]) == urls[0]


def test_validate_and_fit_report_the_spelling_that_was_taken(tmp_path, caplog):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.JPG").write_bytes(photo())
    links = ["a.jpg", "https://shop.invalid/s/a.jpg?v=2", "no.jpg|a.JPG"]
    rows = [f"{row},Mug {row},{link}\n" for row, link in enumerate(links)]
    (tmp_path / "products.csv").write_text("id,title,image\n" + "".join(rows))
    config = Config.from_files(tmp_path / "products.csv", tmp_path / "photos")
    report = validate(config)
    assert report.facts["products with a photo"] == 3
    assert report.counts == {"photo of another spelling": 3}
    assert "there is no photo 'a.jpg'; 'a.JPG' is taken" in report.problems[0].message
    with caplog.at_level(logging.INFO, "recommender"):
        encode_catalog(Catalog.load(config), TinyEncoder(), tmp_path / "cache")
    assert "3 photos have another spelling than their links, such as 'a.JPG' for 'a.jpg'" in caplog.messages
    assert report.errors == 0
