"""Image models of Keras Applications such as VGG16, without the classifier; they run on torch, not TensorFlow."""

import os
from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recommender.encoders.base import Vectors
from recommender.encoders.support.extras import require
from recommender.errors import EncoderError, nearest

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "checkpoint")
_DEFAULT = "VGG16"
_DEFAULT_SIDE = 224
_SIDES = {"InceptionV3": 299, "InceptionResNetV2": 299, "Xception": 299, "NASNetLarge": 331}
_SIDES |= {f"EfficientNetB{i}": side for i, side in enumerate((224, 240, 260, 300, 380, 456, 528, 600))}
_SIDES |= {"EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300}
_SIDES |= {"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480}


class KerasEncoder:
    """Global average pooling of the last convolution; see `recommender.encoders.base.Encoder`.

    Parameters
    ----------
    name
        Of the model in Keras.
    model
        With ``include_top=False, pooling="avg"``.
    normalize
        From pixels (b, side, side, 3), 0 to 255, to the model's input.
    side
        Of the square that images are resized to, in pixels.
    batch_size
        Images per forward pass.
    """

    aligned = False
    text_dim = 0

    def __init__(self, name: str, model: Any, normalize: Any, side: int, batch_size: int = 32) -> None:
        self.name = f"keras {name}"
        self.fingerprint = f"keras-{_fingerprint(name, model, side)}"
        self.image_dim = int(model.output_shape[-1])
        self._model, self._normalize, self._side, self._batch_size = model, normalize, side, batch_size

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return pooled features (b, image_dim) of RGB images, resized to squares without cropping."""
        import torch

        out = [np.empty((0, self.image_dim), np.float32)]
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            pixels = np.stack([np.asarray(self.preprocess(image), np.float32) for image in batch])
            with torch.inference_mode():
                out.append(self._model(self._normalize(pixels), training=False).cpu().numpy())
        return np.concatenate(out)

    def preprocess(self, image: Image.Image) -> Image.Image:
        """See `recommender.encoders.base.Preprocesses`."""
        return image.resize((self._side, self._side), Image.Resampling.BICUBIC)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return vectors of dimension 0: texts are not supported."""
        return np.empty((len(texts), 0), np.float32)


def create(config: "EncoderChoice") -> KerasEncoder:
    """Load a model of Keras Applications with a local file of weights, or with downloaded ones of ImageNet.

    Raises
    ------
    EncoderError
        If Keras is not installed, the model is unknown, or its weights are not available.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    applications = require("keras.applications", "keras")
    name, known = config.model or _DEFAULT, [name for name in vars(applications) if name[0].isupper()]
    if name not in known:
        guess = nearest(name, known)
        raise EncoderError(f"keras knows no model {name!r}" + (f"; did you mean {guess!r}?" if guess else ""))
    build, side = getattr(applications, name), _SIDES.get(name, _DEFAULT_SIDE)
    weights = str(config.checkpoint) if config.checkpoint else "imagenet"
    try:
        model = build(include_top=False, weights=weights, pooling="avg", input_shape=(side, side, 3))
    except Exception as error:  # a download that fails is a bare Exception
        reason = str(error).strip().splitlines()[0]
        raise EncoderError(f"keras cannot load {name} with weights {weights}: {reason}") from error
    normalize = import_module(build.__module__).preprocess_input
    return KerasEncoder(name, model, normalize, side, config.batch_size)


def _fingerprint(name: str, model: Any, side: int) -> str:
    hashed = sha256(f"{name} squash{side} avg".encode())
    for weights in model.weights:
        hashed.update(weights.value.detach().cpu().numpy().tobytes())
    return hashed.hexdigest()[:16]
