"""Baskets of products: read in both forms, split without leakage, filtered by labels."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from recommender.errors import DataError
from recommender.evaluation.baskets import read_baskets, split_baskets, without_same_label

IDS = pd.Series([f"p{row}" for row in range(6)])


def written(tmp_path, text):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    return path


def test_a_column_names_the_basket(tmp_path):
    path = written(tmp_path, "sku,room,room_type\np1,r1,hall\np0,r1,hall\np0,r1,hall\np2,r2,hall\nzz,r2,hall\n")
    assert read_baskets(path, IDS).to_numpy().tolist() == [["r1", 0], ["r1", 1], ["r2", 2]]


def test_a_pair_is_a_basket_in_either_direction(tmp_path):
    path = written(tmp_path, "sku,kind,linked\np1,up,p0\np0,up,p1\np2,cross,p3\n")
    assert read_baskets(path, IDS, "up").to_numpy().tolist() == [["p0 p1", 0], ["p0 p1", 1]]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("a,b\n1,2\n", None, "no columns of products and baskets"),
        ("sku\np1\n", None, "no columns of products and baskets"),
        ("sku,linked\np1,p2\n", "up", "no line is of kind 'up'"),
    ],
)
def test_other_files_are_refused(tmp_path, text, kind, message):
    with pytest.raises(DataError, match=message):
        read_baskets(written(tmp_path, text), IDS, kind)


def test_held_out_baskets_are_not_in_training():
    draw = np.random.default_rng(1)
    lines = [(f"b{basket}", row) for basket in range(40) for row in draw.choice(20, 4, replace=False)]
    baskets = pd.DataFrame(lines, columns=["basket", "row"])
    parted = split_baskets(baskets, 20, seed=3)
    assert parted.train["basket"].nunique() == 32
    assert parted.relevant.nnz > 0
    assert parted.known.multiply(parted.relevant).nnz == 0
    for matrix in (parted.known, parted.relevant):
        assert not matrix.diagonal().any()
        assert (matrix != matrix.T).nnz == 0
    held = baskets[~baskets["basket"].isin(parted.train["basket"])]
    both = {(a, b) for _, rows in held.groupby("basket")["row"] for a in rows for b in rows if a != b}
    a, b = parted.relevant.tocoo().coords
    assert set(zip(a.tolist(), b.tolist(), strict=True)) <= both
    assert split_baskets(baskets, 20, seed=3).train.equals(parted.train)


def test_pairs_of_one_label_are_left_out():
    pairs = csr_array(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]], bool))
    pairs_of_others = without_same_label(pairs, pd.Series(["lamp", "lamp", "vase"]), pd.Series(["", "", ""]))
    assert pairs_of_others.toarray().tolist() == [[False, False, True], [False, False, True], [True, True, False]]
