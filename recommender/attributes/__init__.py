"""The catalogue's columns as a bundle keeps them: mapped, by row, without pandas."""

from recommender.attributes.ids import Ids
from recommender.attributes.store import Attributes, write_attributes

__all__ = ["Attributes", "Ids", "write_attributes"]
