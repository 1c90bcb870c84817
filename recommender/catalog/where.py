"""Rows of a file that a condition in the filter language selects."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import Mask, is_multi, lists, numbers, strings
from recommender.catalog.values.moments import read_moments
from recommender.errors import ConfigError, DataError, RequestError
from recommender.filters import fields_of, parse
from recommender.filters.compile import evaluate
from recommender.filters.conditions import And, IdIn, In, Leaf, Node, Not, Or, Range, SameAsSeed, SharedFilter
from recommender.items import Attributes
from recommender.items.columns import KINDS, Cells
from recommender.items.ids import Ids


def select(table: Table, where: str, section: str, columns: Mapping[str, str], report: DataReport) -> Mask:
    """Return the mask of the rows for which a condition holds; the number of the others is a fact of the report.

    Parameters
    ----------
    where
        The condition. A column is compared as numbers, dates or strings, whichever it is compared with.
    section
        Of the config, for messages: "catalog" or "events".
    columns
        Standard names to columns of the table, for those that the table does not have itself.

    Raises
    ------
    ConfigError
        If it is no condition.
    DataError
        If it names a column that does not exist, or holds for no row.
    """
    others = {name: column for name, column in columns.items() if name not in table.frame}
    try:
        mask = _evaluate(parse(where, trusted=True, pointer=""), table, others)
    except RequestError as error:
        raise ConfigError(f"[{section}] where: {error}") from None
    if len(mask) and not mask.any():
        raise DataError(f"[{section}] where = {where!r} holds for no row of {table.name}; expected at least one")
    fact = f"rows of {table.name} left out by [{section}] where"
    if not mask.all():
        report.facts[fact] = report.facts.get(fact, 0) + int((~mask).sum())
    return mask


def names_in(where: str, section: str) -> set[str]:
    """Return the columns that a condition names.

    Raises
    ------
    ConfigError
        If it is no condition.
    """
    try:
        return fields_of(parse(where, trusted=True, pointer=""))
    except RequestError as error:
        raise ConfigError(f"[{section}] where: {error}") from None


def _evaluate(node: Node, table: Table, columns: Mapping[str, str]) -> Mask:
    """Evaluate a condition; each comparison by itself, since it decides what its column is read as."""
    if isinstance(node, And | Or):
        masks = [_evaluate(inner, table, columns) for inner in node.nodes]
        combine = np.logical_and if isinstance(node, And) else np.logical_or
        return combine.reduce(masks) if masks else np.full(len(table.frame), isinstance(node, And))
    if isinstance(node, Not):
        return ~_evaluate(node.node, table, columns)
    if isinstance(node, SharedFilter):
        return _evaluate(node.node, table, columns)
    if isinstance(node, SameAsSeed):
        raise RequestError("same_as_seed needs a seed item, and a file has none")
    leaf = In("id", node.ids) if isinstance(node, IdIn) else node
    name = columns.get(leaf.name, leaf.name)
    table.require(name, "named in where")
    kind, cells = _column(table.frame[name], leaf)
    rows = Attributes(Ids.of([]), {leaf.name: kind}, {leaf.name: cells})
    return evaluate(leaf, rows)


def _column(cells: pd.Series, leaf: Leaf) -> tuple[str, Cells]:
    """Return a column as what it is compared with."""
    if isinstance(leaf, Range):
        bounds = [bound for bound in (leaf.gt, leaf.gte, leaf.lt, leaf.lte) if bound is not None]
        if any(isinstance(bound, str) for bound in bounds):
            return "date", KINDS["date"].of(read_moments(cells).times.to_numpy())
        return "number", KINDS["number"].of(numbers(cells)[0])
    if isinstance(leaf, In) and not any(isinstance(value, str) for value in leaf.values):
        return "number", KINDS["number"].of(numbers(cells)[0])
    if is_multi(cells):
        return "multi", KINDS["multi"].of(lists(cells))
    return "category", KINDS["category"].of(strings(cells))
