"""Pages for people without a notebook: one file each, which asks the network for nothing."""

from recommender.pages.map_page import write_map
from recommender.pages.projection import METHODS, positions
from recommender.pages.report import write_report

__all__ = ["METHODS", "positions", "write_map", "write_report"]
