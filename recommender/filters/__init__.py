"""Filters: parse JSON or text into conditions, and evaluate them as masks over rows."""

from recommender.filters.cache import SubsetCache
from recommender.filters.conditions import Node, SharedFilter, fields_of, leaves, size, uses_seed
from recommender.filters.parse import parse
from recommender.filters.subset import Subset
from recommender.filters.table import FilterTable

__all__ = [
    "FilterTable",
    "Node",
    "SharedFilter",
    "Subset",
    "SubsetCache",
    "fields_of",
    "leaves",
    "parse",
    "size",
    "uses_seed",
]
