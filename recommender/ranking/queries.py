"""A query from words or a picture, which come from no product of the bundle."""

from typing import TYPE_CHECKING

import numpy as np

from recommender.bundle import Bundle
from recommender.core.scoring import Query
from recommender.errors import RequestError
from recommender.towers.item import ItemTower

if TYPE_CHECKING:
    from PIL.Image import Image

    from recommender.encoders.base import Encoder


class FreeQueries:
    """Makes queries with the encoder that a bundle's vectors came from.

    Parameters
    ----------
    bundle
        Names its encoder, or carries it.
    tower
        Makes blocks of what the encoder gives.
    encoder
        By default the bundle's own, loaded (with torch) on first use.
    """

    def __init__(self, bundle: Bundle, tower: ItemTower, encoder: "Encoder | None" = None) -> None:
        if encoder is not None and hasattr(encoder, "fingerprint"):  # one that runs elsewhere has seen to it
            from recommender.encoders.registry import check_fingerprint

            check_fingerprint(bundle.manifest.encoders["fingerprint"], encoder)
        self._bundle, self._tower, self._encoder = bundle, tower, encoder

    def query(self, text: str | None, image: "Image | bytes | None") -> tuple[Query, tuple[str, ...]]:
        """Return the query, and what is to be known of it.

        Parameters
        ----------
        text, image
            At least one of them; an encoder that runs elsewhere takes a picture's file as it is.

        Raises
        ------
        RequestError
            If both are missing.
        """
        if text is None and image is None:
            raise RequestError("give a text, an image or both", "/text")
        encoder = self._loaded()
        vector = np.zeros(self._tower.layout.d, np.float32)
        if text is not None:
            vector += self._tower.query("text", encoder.encode_texts([text]), encoder.aligned)
        if image is not None:
            vector += self._tower.query("image", encoder.encode_images([image]), encoder.aligned)  # type: ignore[list-item]
        if encoder.aligned or self._tower.projection is not None:
            return Query.free(vector), ()
        asked = " and ".join(name for name, given in (("text", text), ("image", image)) if given is not None)
        return Query.free(vector), (f"the encoder is not aligned: the {asked} block alone was asked",)

    def _loaded(self) -> "Encoder":
        if self._encoder is None:
            from recommender.encoders.registry import create_for

            self._encoder = create_for(self._bundle)
        return self._encoder
