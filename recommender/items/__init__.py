"""Item ids and attributes as a bundle stores them: memory-mapped columns by row, without pandas."""

from recommender.items.attributes import Attributes, write_attributes
from recommender.items.ids import Ids

__all__ = ["Attributes", "Ids", "write_attributes"]
