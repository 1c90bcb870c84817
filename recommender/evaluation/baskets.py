"""Products that belong together (a room, a set, a link): some baskets to learn from, the others to foretell."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recommender.errors import DataError

HELD_OUT = 0.2  # share of the baskets


@dataclass(frozen=True)
class Baskets:
    """Baskets parted in two.

    Attributes
    ----------
    train
        Columns basket and row: the baskets to learn from.
    known
        (n, n) boolean: what stands together in one of them.
    relevant
        (n, n) boolean: what stands together in a basket held out, and in none of `train`.
    """

    train: pd.DataFrame
    known: csr_array
    relevant: csr_array


def read_baskets(path: Path, ids: pd.Series, kind: str | None = None) -> pd.DataFrame:
    """Read which products belong together: a frame of basket and row, sorted, each once.

    Where two columns hold ids of the catalogue, every line is a basket of two. Where one does, the other column of
    most values names the basket.

    Parameters
    ----------
    path
        CSV, or Parquet by its suffix.
    ids
        (n,) by row.
    kind
        Keep only lines whose column ``kind`` says so.

    Raises
    ------
    DataError
        If no column holds ids of the catalogue, none names the baskets, or no line is of the kind.
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


def part(baskets: pd.DataFrame, n: int, seed: int) -> Baskets:
    """Hold out a share of the baskets, drawn with a seed."""
    names = baskets["basket"].unique()
    drawn = np.random.default_rng(seed).permutation(names)[: max(1, round(HELD_OUT * len(names)))]
    held = baskets["basket"].isin(set(drawn))
    train = baskets[~held].reset_index(drop=True)
    known = _together(train, n)
    together = _together(baskets[held], n)
    return Baskets(train, known, csr_array(together > together.multiply(known)))


def _together(baskets: pd.DataFrame, n: int) -> csr_array:
    basket, names = pd.factorize(baskets["basket"])
    cells = (np.ones(len(baskets), np.int32), (basket, baskets["row"].to_numpy()))
    contains = csr_array(cells, shape=(len(names), n))
    together = (contains.T @ contains).tocsr()
    together.setdiag(0)
    together.eliminate_zeros()
    return csr_array(together > 0)


def among_others(pairs: csr_array, *labels: pd.Series) -> csr_array:
    """Keep the pairs whose products differ in every label (n,); "" is like no other."""
    a, b = pairs.tocoo().coords
    keep = np.ones(len(a), bool)
    for label in labels:
        values = label.to_numpy(object)
        keep &= (values[a] != values[b]) | (values[a] == "")
    return csr_array((np.ones(int(keep.sum()), bool), (a[keep], b[keep])), shape=pairs.shape)
