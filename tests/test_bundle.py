import json
import shutil

import numpy as np
import pytest

from recommender.bundle import (
    Staging,
    Thumbnails,
    current,
    generations,
    open_bundle,
    prune,
    rollback,
    write_thumbnails,
)
from recommender.errors import BundleError


def publish(root, value=0.0, ids=(b"a", b"b", b"c"), **fields):
    """Publish three items with two-dimensional vectors, all of them `value`."""
    with Staging(root) as staging:
        (staging.part("base") / "attributes").mkdir()
        np.save(staging.part("base") / "attributes" / "ids.npy", np.array(ids))
        np.save(staging.part("base") / "vectors.npy", np.full((3, 2), value, np.float32))
        (staging.part("towers") / "item.json").write_text("{}")
        return staging.publish({"n": 3, "blocks": {"text": 1, "image": 1}, **fields})


def part_folder(root, part="base"):
    bundle = open_bundle(root)
    bundle.close()
    return bundle.folder(part)


def manifest_file(root):
    return root / "generations" / f"{current(root)}.json"


def test_a_published_bundle_round_trips(tmp_path):
    weights = {"item": {"text": 0.25, "image": 0.75}}
    name = publish(tmp_path, 7.0, weights=weights, seed=np.int64(5), user_tower={"half_life": 30})
    bundle = open_bundle(tmp_path, verify=True)
    assert bundle.generation == name == current(tmp_path)
    assert bundle.array("base", "vectors.npy").tolist() == [[7.0, 7.0]] * 3
    assert bundle.path("towers", "item.json").read_text() == "{}"
    assert list(bundle.manifest.blocks) == ["text", "image"]
    assert (bundle.manifest.weights, bundle.manifest.seed) == (weights, 5)
    assert bundle.manifest.extra["user_tower"] == {"half_life": 30}
    bundle.close()


@pytest.mark.parametrize("array", [np.zeros(3, np.int64), np.zeros(4, np.float64)])  # too short, another type
def test_arrays_of_a_wrong_length_are_refused(tmp_path, array):
    with Staging(tmp_path) as staging:
        np.save(staging.part("base") / "complements_indptr.npy", array)
        with pytest.raises(BundleError, match=r"complements_indptr\.npy (has shape|holds float64)"):
            staging.publish({"n": 3, "blocks": {"text": 1}})


def test_arrays_are_mapped_and_cannot_be_written(tmp_path):
    publish(tmp_path)
    vectors = open_bundle(tmp_path).array("base", "vectors.npy")
    with pytest.raises(ValueError, match="read-only"):
        vectors[0] = 1
    assert type(vectors) is np.ndarray
    assert isinstance(vectors.base, np.memmap)


def test_an_undefined_metric_is_published_as_null(tmp_path):
    publish(tmp_path, metrics={"recall": float("nan"), "ndcg": np.float32(0.5)})
    assert generations(tmp_path)[0].metrics == {"recall": None, "ndcg": 0.5}
    json.loads(manifest_file(tmp_path).read_text(), parse_constant=pytest.fail)


def test_parts_with_the_same_content_are_stored_once(tmp_path):
    publish(tmp_path, 1.0)
    publish(tmp_path, 2.0)
    publish(tmp_path, 1.0)
    assert len(list((tmp_path / "parts").iterdir())) == 3  # two different bases, one towers


def test_a_damaged_part_is_replaced_when_the_same_content_comes_again(tmp_path):
    publish(tmp_path, 1.0)
    array = part_folder(tmp_path) / "vectors.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"x")
    publish(tmp_path, 1.0)
    open_bundle(tmp_path, verify=True)


def test_names_sort_in_the_order_of_publishing_within_a_second_and_under_a_clock_set_back(tmp_path):
    names = [publish(tmp_path) for _ in range(3)]
    ahead = "2999" + names[-1][4:]
    shutil.copy(manifest_file(tmp_path), tmp_path / "generations" / f"{ahead}.json")
    names += [ahead, publish(tmp_path)]
    assert names == sorted(set(names))


def test_exit_without_publishing_changes_nothing(tmp_path):
    name = publish(tmp_path)
    with pytest.raises(ZeroDivisionError), Staging(tmp_path) as staging:
        (staging.part("base") / "x").write_text(str(1 / 0))
    assert current(tmp_path) == name
    assert not list((tmp_path / ".staging").iterdir())


@pytest.mark.parametrize("fields", [{"n": 4}, {"blocks": {"text": 1, "image": 2}}, {"ids": (b"a", b"b")}])
def test_arrays_that_disagree_with_the_manifest_are_not_published(tmp_path, fields):
    name = publish(tmp_path)
    with pytest.raises(BundleError, match=r"\.npy has shape \(\d, ?\d?\); .* say"):
        publish(tmp_path, **fields)
    assert current(tmp_path) == name


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=r"cannot publish in .*file"):
        publish(tmp_path / "file")


@pytest.mark.parametrize("root", ["nothing", "."])
@pytest.mark.parametrize("call", [open_bundle, current, rollback, prune])
def test_without_a_bundle_the_error_has_a_remedy(tmp_path, root, call):
    with pytest.raises(BundleError, match=r"no bundle in .*recommender fit --out"):
        call(tmp_path / root)
    assert not list(tmp_path.iterdir())


def test_a_truncated_file_is_not_opened(tmp_path):
    publish(tmp_path)
    array = part_folder(tmp_path) / "vectors.npy"
    array.write_bytes(array.read_bytes()[:-1])
    with pytest.raises(BundleError, match="151 bytes; the manifest says 152; roll back"):
        open_bundle(tmp_path)


def test_a_missing_file_is_not_opened(tmp_path):
    publish(tmp_path)
    (part_folder(tmp_path) / "vectors.npy").unlink()
    with pytest.raises(BundleError, match="is missing"):
        open_bundle(tmp_path)


def test_a_flipped_bit_is_found_when_hashes_are_verified(tmp_path):
    publish(tmp_path)
    array = part_folder(tmp_path) / "vectors.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"\x01")
    open_bundle(tmp_path)
    with pytest.raises(BundleError, match="SHA-256"):
        open_bundle(tmp_path, verify=True)


def test_a_file_that_is_not_an_array_is_not_mapped(tmp_path):
    publish(tmp_path)
    bundle = open_bundle(tmp_path)
    with pytest.raises(BundleError, match="not an array"):
        bundle.array("towers", "item.json")
    with pytest.raises(BundleError, match=r"has no 'cooccurrence.npy'"):
        bundle.array("base", "cooccurrence.npy")
    with pytest.raises(BundleError, match="no part 'delta'; it has base, towers"):
        bundle.array("delta", "vectors.npy")


def test_a_newer_format_is_refused_by_name_and_version(tmp_path):
    publish(tmp_path)
    data = {"format": 99, "package_version": "9.1", "whatever": "comes"}
    manifest_file(tmp_path).write_text(json.dumps(data))
    with pytest.raises(
        BundleError, match=r"format 99, written by .* 9\.1; this version reads formats 2 to 3; upgrade"
    ):
        open_bundle(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', '{"format": 2, "n": 3, "parts": {"x": {}}}'])
def test_an_invalid_manifest_is_refused(tmp_path, content):
    publish(tmp_path)
    manifest_file(tmp_path).write_text(content)
    with pytest.raises(BundleError, match="not a manifest"):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    "path", [{"path": "../.."}, {"files": {"../x": {"bytes": 0, "sha256": ""}}}, {"files": {"/etc/passwd": {}}}]
)
def test_a_manifest_cannot_name_files_outside_the_bundle(tmp_path, path):
    publish(tmp_path)
    data = json.loads(manifest_file(tmp_path).read_text())
    data["parts"]["base"] |= path
    manifest_file(tmp_path).write_text(json.dumps(data))
    with pytest.raises(BundleError, match="not a manifest"):
        open_bundle(tmp_path)


def test_an_edited_manifest_is_refused(tmp_path):
    publish(tmp_path, weights={"item": {"text": 0.5}})
    path = manifest_file(tmp_path)
    path.write_text(path.read_text().replace("0.5", "0.9"))
    with pytest.raises(BundleError, match="changed since"):
        open_bundle(tmp_path)


def test_rollback_goes_back_one_generation_or_to_the_one_named(tmp_path):
    first, second, third = (publish(tmp_path, value) for value in (1.0, 2.0, 3.0))
    assert rollback(tmp_path) == current(tmp_path) == second
    assert rollback(tmp_path, third) == current(tmp_path) == third
    assert rollback(tmp_path, first) == current(tmp_path) == first
    with pytest.raises(BundleError, match="oldest"):
        rollback(tmp_path)
    assert open_bundle(tmp_path).array("base", "vectors.npy")[0, 0] == 1.0


def test_rollback_to_a_broken_generation_changes_nothing(tmp_path):
    first, second = publish(tmp_path, 1.0), publish(tmp_path, 2.0)
    with pytest.raises(BundleError, match=f"did you mean '{first}'"):
        rollback(tmp_path, first[:-1])
    shutil.rmtree(open_bundle(tmp_path, first).folder("base"))
    with pytest.raises(BundleError, match="missing"):
        rollback(tmp_path)
    assert current(tmp_path) == second


def test_rollback_by_name_restores_a_lost_pointer(tmp_path):
    name = publish(tmp_path)
    (tmp_path / "CURRENT").unlink()
    assert rollback(tmp_path, name) == current(tmp_path) == name


def test_a_rollback_is_possible_past_a_generation_of_a_newer_format(tmp_path):
    first = publish(tmp_path)
    publish(tmp_path)
    manifest_file(tmp_path).write_text('{"format": 99}')
    assert rollback(tmp_path) == first


def test_prune_keeps_the_newest_the_current_and_those_that_are_open(tmp_path):
    names = [publish(tmp_path, value) for value in range(6)]
    rollback(tmp_path, names[1])
    opened = open_bundle(tmp_path, names[2])
    assert prune(tmp_path, keep=2) == [names[3]]  # a rollback from the current one needs the first
    assert [manifest.generation for manifest in generations(tmp_path)] == [names[i] for i in (0, 1, 2, 4, 5)]
    assert len(list((tmp_path / "parts").iterdir())) == 5 + 1
    opened.close()
    assert prune(tmp_path, keep=1) == [names[0], names[2], names[4]]


def test_mapped_arrays_survive_pruning(tmp_path):
    name = publish(tmp_path, 5.0)
    publish(tmp_path, 6.0)
    bundle = open_bundle(tmp_path, name)
    vectors = bundle.array("base", "vectors.npy")
    bundle.close()
    assert prune(tmp_path, keep=1) == [name]
    assert vectors.tolist() == [[5.0, 5.0]] * 3


def test_a_garbage_collected_bundle_is_not_open(tmp_path):
    name = publish(tmp_path)
    publish(tmp_path)
    open_bundle(tmp_path, name)
    assert prune(tmp_path, keep=1) == [name]


def test_pruning_to_nothing_is_refused(tmp_path):
    publish(tmp_path)
    with pytest.raises(BundleError, match="at least 1"):
        prune(tmp_path, keep=0)


def test_no_part_is_removed_while_a_manifest_cannot_be_read(tmp_path):
    publish(tmp_path, 1.0)
    manifest_file(tmp_path).write_text('{"format": 99}')
    publish(tmp_path, 2.0)
    prune(tmp_path)
    assert len(list((tmp_path / "parts").iterdir())) == 3


@pytest.mark.parametrize("images", [[b"\xff\xd8one", None, b"", b"three"], [None, None], []])
def test_thumbnails_by_row(tmp_path, images):
    write_thumbnails(tmp_path, images)
    thumbnails = Thumbnails(tmp_path)
    assert [thumbnails.get(row) for row in range(len(thumbnails))] == [image or None for image in images]
