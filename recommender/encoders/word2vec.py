"""Word2Vec: trained by `training.texts.word2vec` on the shop's texts or read from a file; numpy alone here."""

from typing import TYPE_CHECKING

from recommender.encoders.trained import trained_folder
from recommender.encoders.words import WordVectors

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "checkpoint", "dimensions")


def create(config: "EncoderChoice") -> WordVectors:
    """Open what a fit has trained; raises `EncoderError` if there is nothing."""
    return WordVectors("word2vec", trained_folder(config))
