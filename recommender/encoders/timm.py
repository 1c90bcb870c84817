"""Image backbones of timm, with downloaded weights or a local file."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recommender.encoders.base import Vectors
from recommender.encoders.offline import IMAGE_WEIGHTS, packaged
from recommender.encoders.support.hub import hub_answers, something_cached
from recommender.encoders.support.image_tower import ImageTower
from recommender.encoders.support.torchvision_shim import ensure_torchvision
from recommender.errors import EncoderError, nearest

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "checkpoint")
_PACKAGED = "tf_efficientnet_lite0"
_NO_CROP = {"crop_mode": "squash", "crop_pct": 1.0}  # the centre of a tall image has no shoes
_CANNOT_LOAD = (RuntimeError, OSError, ValueError, KeyError, UnpicklingError)


class TimmEncoder:
    """Pooled features below the classifier, images alone; see `recommender.encoders.base.Encoder`.

    Parameters
    ----------
    name
        As in the config.
    model
        A timm model without its classifier.
    batch_size
        Images per forward pass.
    """

    aligned = False
    text_dim = 0

    def __init__(self, name: str, model: Any, batch_size: int = 32) -> None:
        from timm.data import create_transform, resolve_data_config

        self.name = f"timm {name}"
        recipe = resolve_data_config({}, model=model) | _NO_CROP
        self.fingerprint = f"timm-{_fingerprint(model, recipe)}"
        self.image_dim = int(getattr(model, "head_hidden_size", model.num_features))
        transform: Any = create_transform(**recipe, is_training=False)
        self._tower = ImageTower(model, transform, self.image_dim, batch_size)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return pooled features (b, image_dim) of RGB images."""
        return self._tower(images)

    def preprocess(self, image: Image.Image) -> Image.Image:
        """See `recommender.encoders.base.Preprocesses`."""
        return self._tower.preprocess(image)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return vectors of dimension 0: texts are not supported."""
        return np.empty((len(texts), 0), np.float32)


def create(config: "EncoderChoice") -> TimmEncoder:
    """Load a backbone; without a name the EfficientNet-Lite0 that comes with the installation.

    Raises
    ------
    EncoderError
        If the model is unknown, or its weights can neither be downloaded nor found on disk.
    """
    ensure_torchvision()
    import timm

    name = config.model or _PACKAGED
    if name.split(".")[0] not in timm.list_models():
        guess = nearest(name, timm.list_models())
        raise EncoderError(f"timm knows no model {name!r}" + (f"; did you mean {guess!r}?" if guess else ""))
    download = config.model is not None and config.checkpoint is None
    if download and not (something_cached() or hub_answers()):
        raise EncoderError(f"{name}: no model hub answers and no weights are on disk; give a checkpoint")
    try:
        model: Any = timm.create_model(name, pretrained=download)
        if not download:
            _load_weights(model, config.checkpoint or packaged(*IMAGE_WEIGHTS))
    except _CANNOT_LOAD as error:
        reason = str(error).splitlines()[0]
        raise EncoderError(f"timm cannot load {name} with weights {config.checkpoint}: {reason}") from error
    model.reset_classifier(0)
    return TimmEncoder(name, model, config.batch_size)


def _load_weights(model: Any, weights: Path) -> None:
    """Load a file of weights, with timm's names or, as in files of other libraries, in the same order."""
    from timm.models import load_state_dict

    tensors = load_state_dict(str(weights), use_ema=False, weights_only=True)
    names = model.state_dict().keys()
    if tensors.keys() != names and len(tensors) == len(names):
        tensors = dict(zip(names, tensors.values(), strict=True))
    model.load_state_dict(tensors)


def _fingerprint(model: Any, recipe: Any) -> str:
    hashed = sha256(repr(sorted(recipe.items())).encode())
    for name, tensor in sorted(model.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.detach().cpu().float().numpy().tobytes())
    return hashed.hexdigest()[:16]
