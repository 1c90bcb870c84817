"""Read and validate a shop's files: products, images and events."""

from recommender.catalog.catalog import Catalog as Catalog
from recommender.catalog.columns import ColumnSpec as ColumnSpec
from recommender.catalog.event_files import read_events as read_events
from recommender.catalog.guess import guess_config as guess_config
from recommender.catalog.images.files import ImageSource as ImageSource
from recommender.catalog.interactions import Interactions as Interactions
from recommender.catalog.report import DataReport as DataReport
from recommender.catalog.summary import ColumnSummary as ColumnSummary
from recommender.catalog.users import Users as Users
from recommender.catalog.validation import validate as validate
