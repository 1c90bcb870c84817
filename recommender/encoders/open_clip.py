"""CLIP-style models of open_clip: built-in names, ``hf-hub:``, ``local-dir:``, checkpoints.

Where open_clip would warn and return a model with random weights, this raises an error.
"""

import json
from collections.abc import Sequence
from copy import copy
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn

from recommender.core.blocks import unit
from recommender.encoders.base import INT8_SUFFIX, Vectors
from recommender.encoders.support.clip_texts import ClipTexts
from recommender.encoders.support.hub import hub_answers, something_cached
from recommender.encoders.support.image_tower import ImageTower
from recommender.encoders.support.torchvision_shim import ensure_torchvision
from recommender.errors import EncoderError, nearest

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "pretrained", "checkpoint")
DEFAULT = ("ViT-B-32", "laion2b_s34b_b79k")  # the largest that is practical on two CPU cores

_CANNOT_LOAD = (RuntimeError, OSError, ValueError, KeyError, AssertionError, UnpicklingError)


class OpenClipEncoder:
    """A CLIP-style model: texts and images in one space, norm 1; see `recommender.encoders.base.Encoder`.

    Parameters
    ----------
    name
        Model and weights.
    model
        An open_clip model with its preprocessing configuration.
    tokenizer
        Its tokenizer.
    batch_size
        Images or texts per forward pass.

    Attributes
    ----------
    device
        Of `model`: the GPU if there is one.
    transform
        From an image to the model's input, a tensor (3, side, side).
    """

    aligned = True
    quantizable = ("text", "image")

    def __init__(self, name: str, model: Any, tokenizer: Any, batch_size: int = 32) -> None:
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self.name = name
        self.fingerprint = f"open_clip-{_fingerprint(model, tokenizer)}"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.eval().to(self.device)
        self.transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
        self.tokenizer, self.batch_size = tokenizer, batch_size
        with torch.inference_mode():
            dim = model.encode_text(tokenizer(["a"]).to(self.device)).shape[1]
        self.image_dim = self.text_dim = dim
        self._images = ImageTower(_Images(model), self.transform, dim, batch_size)
        self._texts = ClipTexts(model, tokenizer, dim, batch_size)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return the image tower's vectors (b, image_dim) of RGB images, norm 1."""
        return unit(self._images(images))

    def preprocess(self, image: Image.Image) -> Image.Image:
        """See `recommender.encoders.base.Preprocesses`."""
        return self._images.preprocess(image)

    def quantized(self) -> "OpenClipEncoder":
        """See `recommender.encoders.base.Quantizable`; `model` is not changed."""
        encoder = copy(self)
        encoder._images, encoder._texts = self._images.quantized(), self._texts.quantized()
        encoder.name, encoder.fingerprint = f"{self.name} int8", self.fingerprint + INT8_SUFFIX
        return encoder

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return the text tower's vectors (b, text_dim), norm 1; most models truncate texts to 77 tokens."""
        return self._texts(texts)

    def save(self, folder: Path) -> None:
        """Write weights, architecture, preprocessing and tokenizer in the format of open_clip's ``local-dir:``."""
        from safetensors.torch import save_file

        weights = {name: tensor.cpu().contiguous() for name, tensor in self.model.state_dict().items()}
        save_file(weights, folder / "open_clip_model.safetensors")
        config = {"model_cfg": self.model.architecture, "preprocess_cfg": self.model.visual.preprocess_cfg}
        (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1), "utf-8")
        if hasattr(self.tokenizer, "save_pretrained"):  # open_clip's own tokenizer comes with the package
            self.tokenizer.save_pretrained(folder)


class _Images(nn.Module):
    """The image tower as a module, which can be exported."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.model.encode_image(pixels)
        return vectors


def create(config: "EncoderChoice") -> OpenClipEncoder:
    """Load the model and weights that the config names, or the default.

    Raises
    ------
    EncoderError
        If the model is unknown, or its weights can neither be downloaded nor found on disk.
    """
    model, weights = _model_and_weights(config)
    if not (config.checkpoint or model.startswith("local-dir:") or something_cached() or hub_answers()):
        raise EncoderError(f"{model}: no model hub answers and no weights are on disk; give a checkpoint")
    ensure_torchvision()
    import open_clip

    _check_names(model, weights)
    quick_gelu = bool(open_clip.get_pretrained_cfg(model, weights or "").get("quick_gelu"))
    try:
        loaded = open_clip.create_model(
            model, weights, force_quick_gelu=quick_gelu, require_pretrained=True, weights_only=True
        )
        loaded.architecture = open_clip.get_model_config(model) | ({"quick_gelu": True} if quick_gelu else {})
        tokenizer = open_clip.get_tokenizer(model)
    except _CANNOT_LOAD as error:
        reason = str(error).splitlines()[0]
        raise EncoderError(f"open_clip cannot load {model} with weights {weights}: {reason}") from error
    return OpenClipEncoder(f"open_clip {model} {weights or ''}".strip(), loaded, tokenizer, config.batch_size)


def _model_and_weights(config: "EncoderChoice") -> tuple[str, str | None]:
    """Return model and weights: a tag, a file, or None where the model includes them."""
    if config.model is None:
        if config.checkpoint or config.pretrained:
            raise EncoderError("the weights name no architecture; name it, such as model = 'ViT-B-32'")
        return DEFAULT
    weights = str(config.checkpoint) if config.checkpoint else config.pretrained
    if ":" in config.model and weights:
        raise EncoderError(f"{config.model} includes its weights; leave out {weights!r}")
    if ":" not in config.model and not weights:
        raise EncoderError(f"{config.model} has no weights; add pretrained = a tag or checkpoint = a file")
    return config.model, weights


def _check_names(model: str, weights: str | None) -> None:
    """Raise for unknown names, with the nearest known one; open_clip would list a hundred."""
    import open_clip

    if ":" in model:
        return
    if model not in open_clip.list_models():
        guess = nearest(model, open_clip.list_models())
        raise EncoderError(f"open_clip knows no model {model!r}" + (f"; did you mean {guess!r}?" if guess else ""))
    tags = open_clip.list_pretrained_tags_by_model(model)
    if weights and not open_clip.get_pretrained_cfg(model, weights) and not Path(weights).is_file():
        raise EncoderError(f"{weights!r} is neither a file nor a tag of {model}; those are {tags}")


def _fingerprint(model: Any, tokenizer: Any) -> str:
    """Return a digest of weights, image preprocessing and tokenizer."""
    hashed = sha256(json.dumps(model.visual.preprocess_cfg, sort_keys=True, default=str).encode())
    hashed.update(f"{type(tokenizer).__name__} {getattr(tokenizer, 'context_length', None)}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.detach().cpu().float().numpy().tobytes())
    return hashed.hexdigest()[:16]
