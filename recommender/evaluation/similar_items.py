"""Evaluate similar items without users: precision of a shared label, and recall of known pairs."""

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

MAP_CUTOFF = 100
CHUNK = 256


def neighbours(
    recommender: "Recommender", rows: NDArray[np.intp], k: int, candidates: Mask | None = None
) -> dict[str, Rows]:
    """Return the similar items of q rows by the hybrid, by Annoy, and by each component alone; (q, k) each.

    The variants of the query are excluded; several variants of another product may be in a list.

    Parameters
    ----------
    recommender
        To be evaluated.
    rows
        Of the query products, (q,).
    k
        Length of the lists.
    candidates
        Mask of products that may be in a list, (n,); None: every one.
    """
    ids = _ids(recommender, rows)
    allowed = None if candidates is None else {"must": [{"ids": _ids(recommender, np.flatnonzero(candidates))}]}
    lists = {}
    rankers = list(_rankers(recommender.weights["item"]))
    for name, options in progress(rankers, "neighbours", len(rankers), "ranker"):
        chunks = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
        tables = [
            recommender.similar_many(chunk, k, variants="all", filter=allowed, **options).rows for chunk in chunks
        ]
        lists[name] = np.concatenate([np.empty((0, k), np.int32), *tables])
    return lists


def complementary_items(
    recommender: "Recommender", rows: NDArray[np.intp], k: int, candidates: Mask | None = None
) -> Rows:
    """Return the complementary products of q rows, without variants of the query, (q, k), padded with -1."""
    allowed = None if candidates is None else {"must": [{"ids": _ids(recommender, np.flatnonzero(candidates))}]}
    groups = recommender.segment.groups
    wider = k + int(np.bincount(groups)[groups[rows]].max(initial=1))
    table = recommender.recommend_many(
        [[item_id] for item_id in _ids(recommender, rows)],
        wider,
        strategy="complementary",
        filter=allowed,
        variants="all",
        plan="exact",
    ).rows
    dropped = (table < 0) | (groups[table] == groups[rows][:, None])
    first = np.argsort(dropped, axis=1, kind="stable")[:, :k]
    lists: Rows = np.where(np.take_along_axis(dropped, first, 1), -1, np.take_along_axis(table, first, 1))
    return lists


def label_precision(
    lists: Mapping[str, Rows], rows: NDArray[np.intp], labels: pd.Series, groups: pd.Series, k: int = 10
) -> dict[str, Any]:
    """Return precision@k and MAP@100 of lists; relevant is the query's label, its variants excluded.

    Parameters
    ----------
    lists
        Ranker to (q, 100) rows.
    rows
        (q,) the query of each list.
    labels
        (n,) text, "" unknown: such queries have no value.
    groups
        (n,) ``item_group_id``, "" where a product has no variants.
    """
    codes = pd.factorize(labels)[0]
    variants = labels.groupby([labels, groups]).transform("size")
    others = np.bincount(codes)[codes] - np.where(groups == "", 1, variants)
    count = np.where(labels == "", 0, others)[rows].astype(np.float64)
    figures: dict[str, Any] = {"queries": int((count > 0).sum())}
    figures["chance"] = round(float((count[count > 0] / (len(labels) - 1)).mean()), 4) if count.any() else None
    columns = {}
    for name, listed in lists.items():
        hit = (codes[listed] == codes[rows][:, None]) & (listed >= 0)
        precision = metrics.precision(hit[:, :k], count)
        average = metrics.average_precision(hit, np.minimum(count, hit.shape[1]))
        columns[name] = {f"precision@{k}": precision, f"map@{hit.shape[1]}": average}
    return figures | paired_comparison(columns)


def pair_recall(lists: Mapping[str, Rows], relevant: csr_array) -> dict[str, Any]:
    """Return recall@k of known pairs.

    Parameters
    ----------
    lists
        Ranker to (q, k) rows.
    relevant
        (q, n) the products paired with each query.
    """
    count = metrics.counts(relevant)
    figures: dict[str, Any] = {"queries": int((count > 0).sum()), "pairs": int(relevant.nnz)}
    columns = {
        name: {f"recall@{listed.shape[1]}": metrics.recall(metrics.hits(listed, relevant), count)}
        for name, listed in lists.items()
    }
    return figures | paired_comparison(columns)


def _rankers(weights: Mapping[str, float]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "hybrid", {"plan": "exact"}
    yield "hybrid, annoy", {"plan": "annoy"}
    for name, alone in component_weights(weights).items():
        yield name, {"plan": "exact", "weights": alone}


def paired_comparison(columns: Mapping[str, Mapping[str, metrics.Floats]]) -> dict[str, Any]:
    """Return each ranker's metrics with a standard error, and the first ranker's lead as a 95 % interval.

    Parameters
    ----------
    columns
        Ranker to metric to (q,) values, NaN where a query has none; all paired by query.
    """
    first = next(iter(columns.values()), {})
    pairs = [(name, metric) for name, values in columns.items() for metric in values]
    values = [
        column
        for name, metric in pairs
        for column in (columns[name][metric], first[metric] - columns[name][metric])
    ]
    intervals = bootstrap(np.column_stack(values), np.arange(len(values[0])).astype(object)) if values else []
    figures: dict[str, Any] = {name: {} for name in columns}
    for (name, metric), value, lead in zip(pairs, intervals[::2], intervals[1::2], strict=True):
        figures[name][metric] = {
            "mean": round(value.mean, 4),
            "std_error": round(value.std_error, 4),
            "first_lead": {"low": round(lead.low, 4), "high": round(lead.high, 4)},
        }
    return figures


def _ids(recommender: "Recommender", rows: Sequence[int] | NDArray[np.intp]) -> list[str]:
    return [recommender.attributes.id_of(int(row)) for row in rows]
