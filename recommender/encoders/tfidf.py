"""TF-IDF, reduced by SVD: the honest floor. Trained by `training.encoders.texts.tfidf`, numpy alone here."""

from typing import TYPE_CHECKING

from recommender.encoders.support.trained import trained_folder
from recommender.encoders.support.words import WordVectors

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "dimensions")


def create(config: "EncoderChoice") -> WordVectors:
    """Open what a fit has trained; raises `EncoderError` if there is nothing."""
    return WordVectors("tfidf", trained_folder(config))
