"""Search by words: an index of the products' words and identifiers, facets, and completion of what is typed."""

from recommender.search.index import SearchIndex

__all__ = ["SearchIndex"]
