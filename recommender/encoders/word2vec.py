"""Word2Vec: trained by `training.encoders.texts.word2vec` or loaded from a file; in numpy here."""

from typing import TYPE_CHECKING

from recommender.encoders.support.trained import trained_folder
from recommender.encoders.support.words import WordVectors

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "checkpoint", "dimensions")


def create(config: "EncoderChoice") -> WordVectors:
    """Open the model that a fit has trained; raises `EncoderError` if there is none."""
    return WordVectors("word2vec", trained_folder(config))
