"""Which items may be answered: a tree of conditions, from JSON or a line of text to a mask over rows."""

from recommender.filters.cache import MaskCache
from recommender.filters.compile import compile
from recommender.filters.conditions import Node, fields_of
from recommender.filters.parse import parse

__all__ = ["MaskCache", "Node", "compile", "fields_of", "parse"]
