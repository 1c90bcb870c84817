"""Baskets of products that belong together (a set, a room, a link), split into training and held-out baskets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recommender.errors import DataError

HELD_OUT = 0.2  # share of the baskets


@dataclass(frozen=True)
class Baskets:
    """Baskets split into a training and a held-out part.

    Attributes
    ----------
    train
        Columns basket and row: the training baskets.
    known
        (n, n) boolean: pairs that are together in a training basket.
    relevant
        (n, n) boolean: pairs that are together in a held-out basket and in no training basket.
    """

    train: pd.DataFrame
    known: csr_array
    relevant: csr_array


def read_baskets(path: Path, ids: pd.Series, kind: str | None = None) -> pd.DataFrame:
    """Read baskets of products as a frame of basket and row, sorted, without duplicates.

    Where two columns hold ids of the catalogue, every line is a basket of two. Where one does, the other column
    with most distinct values is the basket id.

    Parameters
    ----------
    path
        CSV, or Parquet by its suffix.
    ids
        (n,) by row.
    kind
        Keep only lines with this value in the column ``kind``.

    Raises
    ------
    DataError
        If no column holds ids of the catalogue, none identifies the baskets, or no line is of the kind.
    """
    table = (pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)).astype(str)
    if kind is not None:
        table = table[table["kind"] == kind] if "kind" in table else table[:0]
        if table.empty:
            raise DataError(f"{path}: no line is of kind {kind!r}; expected it in a column named kind")
    known = table.isin(set(ids)).mean()
    best = known[known > 0].nlargest(2).index
    products = [name for name in table.columns.tolist() if name in best]
    names = [name for name in table.columns.tolist() if name not in products]
    if not products or (len(products) == 1 and not names):
        raise DataError(f"{path}: no columns of products and baskets (columns: {', '.join(table.columns)})")
    if len(products) == 2:
        table = table.assign(basket=[" ".join(sorted(pair)) for pair in table[products].to_numpy().tolist()])
    else:
        table = table.assign(basket=table[max(names, key=lambda name: table[name].nunique())])
    ends = [pd.DataFrame({"basket": table["basket"], "id": table[name]}) for name in products]
    lines = pd.concat(ends, ignore_index=True)
    lines = lines.assign(row=pd.Index(ids).get_indexer(lines["id"]))
    lines = lines.loc[lines["row"] >= 0, ["basket", "row"]]
    return lines.drop_duplicates().sort_values(["basket", "row"], ignore_index=True)


def split_baskets(baskets: pd.DataFrame, n: int, seed: int) -> Baskets:
    """Hold out a random share of the baskets."""
    names = baskets["basket"].unique()
    drawn = np.random.default_rng(seed).permutation(names)[: max(1, round(HELD_OUT * len(names)))]
    held_out = baskets["basket"].isin(set(drawn))
    train = baskets[~held_out].reset_index(drop=True)
    known = _pairs(train, n)
    pairs = _pairs(baskets[held_out], n)
    return Baskets(train, known, csr_array(pairs > pairs.multiply(known)))


def _pairs(baskets: pd.DataFrame, n: int) -> csr_array:
    basket, names = pd.factorize(baskets["basket"])
    cells = (np.ones(len(baskets), np.int32), (basket, baskets["row"].to_numpy()))
    contains = csr_array(cells, shape=(len(names), n))
    pairs = (contains.T @ contains).tocsr()
    pairs.setdiag(0)
    pairs.eliminate_zeros()
    return csr_array(pairs > 0)


def without_same_label(pairs: csr_array, *labels: pd.Series) -> csr_array:
    """Return the pairs whose products differ in every label (n,); "" differs from everything."""
    a, b = pairs.tocoo().coords
    mask = np.ones(len(a), bool)
    for label in labels:
        values = label.to_numpy(object)
        mask &= (values[a] != values[b]) | (values[a] == "")
    return csr_array((np.ones(int(mask.sum()), bool), (a[mask], b[mask])), shape=pairs.shape)
