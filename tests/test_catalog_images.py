import os
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from recommender.catalog import Catalog
from recommender.catalog.images.files import FolderImages, ZipImages
from recommender.catalog.images.names import inside
from recommender.errors import DataError

PHOTOS = {"a.jpg": b"photo a", "m/h/b.jpg": b"photo b", "ü 1.jpg": b"photo u"}


def folder_of(tmp_path):
    for name, data in PHOTOS.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return FolderImages(tmp_path / "photos")


def zip_of(tmp_path, prefix="", name="photos.zip"):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for member, data in PHOTOS.items():
            archive.writestr(prefix + member, data)
    return ZipImages(tmp_path / name)


@pytest.mark.parametrize("source_of", [folder_of, zip_of])
def test_images_by_reference(tmp_path, source_of):
    source = source_of(tmp_path)
    assert {ref: source.read(ref) for ref in PHOTOS} == PHOTOS
    assert source.read("/m/h/b.jpg") == source.read("m\\h\\b.jpg") == source.read("./m/h/../h/b.jpg") == b"photo b"
    keys = [source.key(ref) for ref in PHOTOS]
    assert all(keys)
    assert len(set(keys)) == len(keys)
    for ref in ("no.jpg", "", ".", "m", "m/h", "../photos/a.jpg", "a.jpg/x", "x\0y", "x" * 5000):
        assert source.key(ref) == "", ref
        with pytest.raises(DataError, match="photo "):
            source.read(ref)
    source.close()


def test_a_key_follows_the_content_of_a_file(tmp_path):
    source = folder_of(tmp_path)
    before = source.key("a.jpg")
    assert source.key("a.jpg") == before
    path = tmp_path / "photos" / "a.jpg"
    path.write_bytes(b"photo b")
    os.utime(path, ns=(1, 1))
    assert source.key("a.jpg") != before


def test_a_key_in_a_zip_depends_on_the_content_alone(tmp_path):
    one, other = zip_of(tmp_path), zip_of(tmp_path, "shop/photos/", "other.zip")
    assert {ref: one.key(ref) for ref in PHOTOS} == {ref: other.key(ref) for ref in PHOTOS}


def test_a_folder_that_all_members_share_may_be_left_out(tmp_path):
    source = zip_of(tmp_path, "shop/photos/")
    assert source.read("a.jpg") == source.read("shop/photos/a.jpg") == b"photo a"
    assert source.read("m/h/b.jpg") == b"photo b"


def test_a_zip_is_read_by_many_threads_at_once(tmp_path):
    source = zip_of(tmp_path)
    refs = [*PHOTOS] * 300
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, refs)) == [PHOTOS[ref] for ref in refs]


def test_a_damaged_member_is_an_expected_error(tmp_path):
    zip_of(tmp_path).close()
    path = tmp_path / "photos.zip"
    path.write_bytes(path.read_bytes().replace(b"photo a", b"PHOTO A", 1))
    source = ZipImages(path)
    with pytest.raises(DataError, match=r"'a\.jpg' cannot be read from .*photos\.zip: Bad CRC-32"):
        source.read("a.jpg")
    assert source.read("m/h/b.jpg") == b"photo b"


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04 cut off"])
def test_a_broken_zip(tmp_path, data):
    (tmp_path / "photos.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"photos\.zip is not a readable zip"):
        Catalog.from_frame(pd.DataFrame({"id": ["a"], "image": ["a.jpg"]}), tmp_path / "photos.zip")


def test_a_truncated_zip(tmp_path):
    zip_of(tmp_path).close()
    path = tmp_path / "photos.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="is not a readable zip"):
        ZipImages(path)


def test_an_empty_zip(tmp_path):
    zipfile.ZipFile(tmp_path / "photos.zip", "w").close()
    assert ZipImages(tmp_path / "photos.zip").key("a.jpg") == ""


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("a", "a"),
        ("/a//b", "a/b"),
        ("..", ""),
        ("a/../../b", ""),
        ("a/..", ""),
        ("..a/b", "..a/b"),
        ("C:\\a", "C:/a"),
    ],
)
def test_references_cannot_leave_their_folder(ref, path):
    assert inside(ref) == path


def test_a_catalogue_opens_folder_and_zip(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b"], "image": ["a.jpg", ""]})
    folder_of(tmp_path)
    zip_of(tmp_path)
    for where in (tmp_path / "photos", tmp_path / "photos.zip", str(tmp_path / "photos.zip")):
        catalog = Catalog.from_frame(frame, where)
        assert [catalog.images.read(ref) if ref else None for ref in catalog.image_refs()] == [b"photo a", None]
    own = FolderImages(tmp_path / "photos")
    assert Catalog.from_frame(frame, own).images is own
