"""Which items may be answered: a tree of conditions, from JSON or a line of text to a mask over rows."""

from recommender.filters.cache import SubsetCache
from recommender.filters.compile import compile
from recommender.filters.conditions import Node, fields_of
from recommender.filters.parse import parse
from recommender.filters.subset import Subset

__all__ = ["Node", "Subset", "SubsetCache", "compile", "fields_of", "parse"]
