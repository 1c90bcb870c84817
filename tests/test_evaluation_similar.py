"""Neighbours by label and by known pairs; catalogues with a column held out."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from recommender.errors import DataError
from recommender.evaluation import frames
from recommender.evaluation.held_out_attribute import hold_out, leading_brand, nestedness, stem, without_words
from recommender.evaluation.known_pairs import read_known_pairs
from recommender.evaluation.similar_items import complementary_items, label_precision, neighbours, pair_recall


class Line:
    """Products on a line: the nearest are the neighbours; the text block knows nothing and answers nothing."""

    n = 6
    weights = {"item": {"image": 0.7, "text": 0.3, "prior": 0.1}}  # noqa: RUF012
    attributes = SimpleNamespace(id_of="p{}".format)

    def similar_many(self, item_ids, k, *, variants, filter=None, plan="auto", weights=None):
        assert variants == "all"
        allowed = range(self.n) if filter is None else [int(i[1:]) for i in filter["must"][0]["ids"]]
        rows = np.full((len(item_ids), k), -1, np.int32)
        for line, item_id in enumerate(item_ids):
            at = int(item_id[1:])
            near = sorted(set(allowed) - {at}, key=lambda row: (abs(row - at), row))[:k]
            if not weights or weights["image"]:
                rows[line, : len(near)] = near
        return SimpleNamespace(rows=rows)


def test_neighbours_by_every_ranker():
    lists = neighbours(Line(), np.array([0, 3]), 2)
    assert list(lists) == ["hybrid", "hybrid, annoy", "image alone", "text alone", "content, equal weights"]
    assert lists["hybrid"].tolist() == [[1, 2], [2, 4]]
    assert lists["text alone"].tolist() == [[-1, -1], [-1, -1]]
    only = np.array([True, False, False, False, False, True])
    assert neighbours(Line(), np.array([3]), 2, only)["hybrid"].tolist() == [[5, 0]]


def test_complementary_lists_are_without_variants_of_the_query():
    answers = {"p0": [1, 4, 5], "p3": [2, -1, -1]}

    def recommend_many(histories, k, *, strategy, variants, plan, filter=None):
        assert (strategy, variants, filter) == ("complementary", "all", None)
        return SimpleNamespace(rows=np.array([answers[item_id][:k] for (item_id,) in histories], np.int32))

    segment = SimpleNamespace(groups=np.array([0, 0, 1, 2, 3, 4]))
    shop = SimpleNamespace(attributes=Line.attributes, segment=segment, recommend_many=recommend_many)
    assert complementary_items(shop, np.array([0, 3]), 2).tolist() == [[4, 5], [2, -1]]


def test_labels_exclude_variants_and_unknown_ids():
    labels = pd.Series(["red", "red", "red", "blue", "blue", ""])
    groups = pd.Series(["g", "g", "", "", "", ""])
    rows = np.array([0, 3, 5])
    lists = {"x": np.array([[2, 3], [4, 0], [0, 1]], np.int32)}
    figures = label_precision(lists, rows, labels, groups, k=1)
    assert figures["queries"] == 2
    assert figures["chance"] == pytest.approx(1 / 5)  # each has one to find among five others
    assert figures["x"]["precision@1"]["mean"] == figures["x"]["map@2"]["mean"] == 1.0


def test_padding_is_never_the_last_row():
    labels = pd.Series(["red", "blue", "red"])
    figures = label_precision({"x": np.array([[-1, -1]], np.int32)}, np.array([0]), labels, pd.Series([""] * 3))
    assert figures["x"]["map@2"]["mean"] == 0


def test_edges_are_a_set_of_known_pairs(tmp_path):
    path = tmp_path / "links.csv"
    path.write_text("no,sku,kind,linked\n1,p0,up,p1\n2,p0,up,p1\n3,p0,up,p0\n4,p2,cross,p1\n5,p2,cross,zz\n")
    edges = read_known_pairs(path, pd.Series([f"p{row}" for row in range(6)]))
    assert {kind: np.argwhere(matrix.toarray()).tolist() for kind, matrix in edges.items()} == {
        "up": [[0, 1]],
        "cross": [[2, 1]],
    }
    figures = pair_recall({"x": np.array([[1, 2]], np.int32)}, edges["up"][[0]])
    expected = {"mean": 1.0, "std_error": 0.0, "first_lead": {"low": 0.0, "high": 0.0}}
    assert figures == {"queries": 1, "pairs": 1, "x": {"recall@2": expected}}
    frame = frames.similar_items(figures).set_index(["ranker", "metric"])
    assert frame.loc[("x", "recall@2")].to_dict() == {"mean": 1, "std_error": 0, "lead_low": 0, "lead_high": 0}


def test_the_first_ranker_is_compared_with_the_others():
    right = csr_array(np.eye(50, 3, dtype=bool)[[0] * 50])
    lists = {"first": np.zeros((50, 1), np.int32), "other": np.ones((50, 1), np.int32)}
    figures = pair_recall(lists, right)
    assert figures["other"]["recall@1"]["first_lead"] == {"low": 1.0, "high": 1.0}
    assert figures["first"]["recall@1"]["first_lead"] == {"low": 0.0, "high": 0.0}


def test_edges_without_ids_are_refused(tmp_path):
    path = tmp_path / "links.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"no two columns hold ids.*a, b"):
        read_known_pairs(path, pd.Series(["p0", "p1"]))


FRAME = pd.DataFrame(
    {
        "title": ["Acme Navy-Blue T-Shirts", "Acme red tshirt", "Bolt Men's Red Dresses", "Bolt gown"] * 10,
        "product_type": ["Tshirts", "Tshirts", "Dress", "Gown"] * 10,
        "group": ["top", "top", "long", "long"] * 10,
        "color": ["Navy Blue", "Red", "Red", "Green"] * 10,
        "serial": [f"s{row}" for row in range(40)],
        "price": np.arange(40.0),
        "tags": [["a"], ["b"], [], ["c", "d"]] * 10,
    }
)
LEARNED = ["product_type", "group", "color", "serial", "price"]


def test_a_masked_column_is_removed_with_its_copies():
    held = hold_out(FRAME, FRAME["group"], LEARNED)
    assert held.columns == ("group", "product_type")  # a type has one group; serial numbers predict nothing
    assert set(held.frame.columns) == {"title", "color", "serial", "price", "tags"}
    assert held.frame["title"][:4].tolist() == ["Acme Navy-Blue", "Acme red", "Bolt Men's Red", "Bolt"]


def test_words_of_a_masked_value_are_removed_from_titles():
    held = hold_out(FRAME, FRAME["color"], ["color"])
    assert held.frame["title"][:4].tolist() == ["Acme T-Shirts", "Acme tshirt", "Bolt Men's Dresses", "Bolt gown"]
    assert held.mentioned == 0.75
    assert FRAME["title"][0] == "Acme Navy-Blue T-Shirts"


def test_nestedness():
    types, groups = FRAME["product_type"], FRAME["group"]
    assert nestedness(types, groups) == nestedness(groups, types) == 1.0
    assert nestedness(groups, FRAME["serial"]) <= 0
    assert nestedness(pd.Series(["a", "a"]), pd.Series(["x", "y"])) == 0


def test_brands_are_found_in_titles():
    titles = ["Nike Men Shoe", "Nike Women Bag", "Peter England Shirt", "Peter England Tie", "Solo"] * 5 + ["Nike"]
    brand = leading_brand(pd.Series(titles), min_count=10, share=0.9)
    assert brand[:5].tolist() == ["Nike", "Nike", "Peter England", "Peter England", ""]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("T-Shirts", "tshirt"), ("Men's", "men"), ("Dresses", "dress"), ("glass", "glass"), ("Bus", "bus")],
)
def test_stems(word, expected):
    assert stem(word) == expected


def test_only_whole_words_are_removed():
    assert without_words("Red redder navy-blue, men's", {"red", "navy", "men"}) == "redder ,"
