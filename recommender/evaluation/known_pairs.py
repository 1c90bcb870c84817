"""Known pairs of products (bought together, related) as sparse matrices."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from recommender.errors import DataError


def read_known_pairs(path: Path, ids: pd.Series) -> dict[str, csr_array]:
    """Read pairs of products by kind as (n, n) boolean matrices: the column's product is relevant to the row's.

    The two columns that hold most ids of the catalogue are the pair, in their order in the file; a column ``kind``
    groups the pairs, otherwise their kind is "all". Repeated pairs count once; a product with itself and unknown
    ids are left out. Pairs of variants stay: a list without variants misses them.

    Parameters
    ----------
    path
        CSV, or Parquet by its suffix.
    ids
        (n,) by row.

    Raises
    ------
    DataError
        If no two columns hold ids of the catalogue.
    """
    table = (pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)).astype(str)
    known = table.isin(set(ids)).mean()
    pair = [name for name in table.columns if name in known.nlargest(2).index and known[name] > 0]
    if len(pair) < 2:
        raise DataError(f"{path}: no two columns hold ids of the catalogue (columns: {', '.join(table.columns)})")
    rows = pd.DataFrame(
        {end: pd.Index(ids).get_indexer(table[name]) for end, name in zip("ab", pair, strict=True)}
    )
    rows["kind"] = table.get("kind", "all")
    rows = rows[(rows["a"] >= 0) & (rows["b"] >= 0) & (rows["a"] != rows["b"])]
    return {str(kind): _matrix(part, len(ids)) for kind, part in rows.groupby("kind")}


def _matrix(pairs: pd.DataFrame, n: int) -> csr_array:
    cells = (np.ones(len(pairs), np.int32), (pairs["a"].to_numpy(), pairs["b"].to_numpy()))
    return csr_array(cells, shape=(n, n)) > 0
