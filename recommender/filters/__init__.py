"""Filters: from JSON or text to a tree of conditions, and from that to a mask over rows."""

from recommender.filters.cache import SubsetCache
from recommender.filters.conditions import Node, fields_of, uses_seed
from recommender.filters.parse import parse
from recommender.filters.subset import Subset

__all__ = ["Node", "Subset", "SubsetCache", "fields_of", "parse", "uses_seed"]
