"""How good the neighbours of a product are, without any customer: by shared labels and by known pairs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.core.blocks import Mask, Rows
from recommender.evaluation import metrics
from recommender.evaluation.bootstrap import bootstrap
from recommender.evaluation.rankers import component_weights
from recommender.progress import progress

if TYPE_CHECKING:
    from recommender.recommender import Recommender

DEEP = 100  # places that mAP looks at
CHUNK = 256


def neighbours(
    recommender: "Recommender", rows: NDArray[np.intp], k: int, candidates: Mask | None = None
) -> dict[str, Rows]:
    """Ask the product for the neighbours of q rows: whole, by Annoy, and by each part alone; (q, k) each.

    The query's own variants never stand in its list; several variants of another product may.
    """
    ids = _ids(recommender, rows)
    only = None if candidates is None else {"must": [{"ids": _ids(recommender, np.flatnonzero(candidates))}]}
    lists = {}
    ways = list(_ways(recommender.weights["item"]))
    for name, options in progress(ways, "neighbours", len(ways), "ranker"):
        chunks = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
        tables = [
            recommender.similar_many(chunk, k, variants="all", filter=only, **options).rows for chunk in chunks
        ]
        lists[name] = np.concatenate([np.empty((0, k), np.int32), *tables])
    return lists


def label_precision(
    lists: Mapping[str, Rows], rows: NDArray[np.intp], labels: pd.Series, groups: pd.Series, k: int = 10
) -> dict[str, Any]:
    """Precision@k and mAP@100 of lists, right being the query's label and not its variant.

    Parameters
    ----------
    lists
        Ranker to (q, 100) rows.
    rows
        (q,) the query of each line.
    labels
        (n,) text, "" unknown: such queries have no value.
    groups
        (n,) ``item_group_id``, "" where a product has no variants.
    """
    codes = pd.factorize(labels)[0]
    alike = labels.groupby([labels, groups]).transform("size")
    others = np.bincount(codes)[codes] - np.where(groups == "", 1, alike)
    count = np.where(labels == "", 0, others)[rows].astype(np.float64)
    figures: dict[str, Any] = {"queries": int((count > 0).sum())}
    figures["chance"] = round(float((count[count > 0] / (len(labels) - 1)).mean()), 4) if count.any() else None
    columns = {}
    for name, listed in lists.items():
        hit = (codes[listed] == codes[rows][:, None]) & (listed >= 0)
        precise = metrics.precision(hit[:, :k], count)
        deep = metrics.average_precision(hit, np.minimum(count, hit.shape[1]))
        columns[name] = {f"precision@{k}": precise, f"map@{hit.shape[1]}": deep}
    return figures | compared(columns)


def pair_recall(lists: Mapping[str, Rows], relevant: csr_array) -> dict[str, Any]:
    """Recall of known pairs; `relevant` (q, n) says for each query what goes with it."""
    count = metrics.counts(relevant)
    figures: dict[str, Any] = {"queries": int((count > 0).sum()), "edges": int(relevant.nnz)}
    columns = {
        name: {f"recall@{listed.shape[1]}": metrics.recall(metrics.hits(listed, relevant), count)}
        for name, listed in lists.items()
    }
    return figures | compared(columns)


def _ways(weights: Mapping[str, float]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "hybrid", {"plan": "exact"}
    yield "hybrid, annoy", {"plan": "annoy"}
    for name, alone in component_weights(weights).items():
        yield name, {"plan": "exact", "weights": alone}


def compared(columns: Mapping[str, Mapping[str, metrics.Floats]]) -> dict[str, Any]:
    """Give each ranker's measures a standard error, and the first's lead over it an interval.

    Parameters
    ----------
    columns
        Ranker to measure to (q,) values, NaN where a query has none; all paired by query.
    """
    first = next(iter(columns.values()), {})
    pairs = [(name, measure) for name, measures in columns.items() for measure in measures]
    values = [column for name, measure in pairs for column in _beside(columns[name][measure], first[measure])]
    found = bootstrap(np.column_stack(values), np.arange(len(values[0])).astype(object)) if values else []
    figures: dict[str, Any] = {name: {} for name in columns}
    for (name, measure), own, ahead in zip(pairs, found[::2], found[1::2], strict=True):
        lead = {"low": round(ahead.low, 4), "high": round(ahead.high, 4)}
        figures[name][measure] = {"mean": round(own.mean, 4), "error": round(own.error, 4), "first_lead": lead}
    return figures


def _beside(values: metrics.Floats, first: metrics.Floats) -> tuple[metrics.Floats, metrics.Floats]:
    return values, first - values


def _ids(recommender: "Recommender", rows: Sequence[int] | NDArray[np.intp]) -> list[str]:
    return [recommender.attributes.id_of(int(row)) for row in rows]
