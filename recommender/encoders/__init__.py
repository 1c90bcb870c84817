"""Encode texts and images as vectors, with a cache."""

from recommender.encoders.base import Encoder as Encoder
from recommender.encoders.pipeline import EncodedCatalog as EncodedCatalog
from recommender.encoders.pipeline import encode_catalog as encode_catalog
from recommender.encoders.registry import create as create
from recommender.encoders.registry import create_for as create_for
