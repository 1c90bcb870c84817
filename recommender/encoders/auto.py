"""The best encoder that can be had here: real CLIP weights, else the offline encoder; it says which."""

from typing import TYPE_CHECKING

from recommender.encoders import offline, open_clip
from recommender.encoders.base import Encoder
from recommender.errors import EncoderError
from recommender.progress import notice

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = open_clip.OPTIONS


def create(config: "EncoderChoice") -> Encoder:
    """Return open_clip's model, or the offline encoder where none can be loaded."""
    try:
        encoder: Encoder = open_clip.create(config)
    except EncoderError as error:
        encoder = offline.create(config)
        notice(f"encoder: {encoder.name} ({error})")
    else:
        notice(f"encoder: {encoder.name}")
    return encoder
