"""The best encoder available: a CLIP model of open_clip, else the offline encoder; a notice says which."""

from typing import TYPE_CHECKING

from recommender.encoders import offline, open_clip
from recommender.encoders.base import Encoder
from recommender.errors import EncoderError
from recommender.progress import notice

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = open_clip.OPTIONS


def create(config: "EncoderChoice") -> Encoder:
    """Load open_clip's model, or the offline encoder where its weights are not available."""
    try:
        encoder: Encoder = open_clip.create(config)
    except EncoderError as error:
        encoder = offline.create(config)
        notice(f"encoder: {encoder.name} ({error})")
    else:
        notice(f"encoder: {encoder.name}")
    return encoder
