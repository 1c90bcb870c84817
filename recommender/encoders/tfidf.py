"""TF-IDF reduced by SVD, a baseline for texts: trained by `training.encoders.texts.tfidf`, in numpy here."""

from typing import TYPE_CHECKING

from recommender.encoders.support.trained import trained_folder
from recommender.encoders.support.words import WordVectors

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "dimensions")


def create(config: "EncoderChoice") -> WordVectors:
    """Open the model that a fit has trained; raises `EncoderError` if there is none."""
    return WordVectors("tfidf", trained_folder(config))
