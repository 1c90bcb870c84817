"""Self-contained HTML pages: the map of the products, the report of a bundle, two generations compared."""

from recommender.pages.comparison_page import write_comparison
from recommender.pages.data_page import write_data_page
from recommender.pages.map_page import write_map
from recommender.pages.projection import METHODS, positions
from recommender.pages.report import write_report

__all__ = ["METHODS", "positions", "write_comparison", "write_data_page", "write_map", "write_report"]
