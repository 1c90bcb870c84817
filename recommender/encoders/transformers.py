"""Text models of Hugging Face: BERT, GPT-2, sentence-transformers, E5 and BGE with their prompts."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recommender.encoders.base import INT8_SUFFIX, Vectors
from recommender.encoders.offline import TEXT_WEIGHTS, packaged, split_by_tokens
from recommender.encoders.support.hub import hub_answers, something_cached
from recommender.encoders.support.sentences import Pooling, SentenceTower
from recommender.encoders.support.torchvision_shim import ensure_torchvision
from recommender.errors import EncoderError

if TYPE_CHECKING:
    from recommender.config import EncoderChoice

OPTIONS = ("model", "pooling", "prompt", "query_prompt")
_PACKAGED = "all-MiniLM-L6-v2"
_MAX_TOKENS = 512
_CAUSAL = {"gpt2", "gpt_neo", "gpt_neox", "llama", "mistral", "opt", "qwen2", "qwen3"}
_POOLINGS: Mapping[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
}
# (document, query), where the model's files do not state them; as their authors train them
_PROMPTS = {
    "e5": ("passage: ", "query: "),
    "bge": ("", "Represent this sentence for searching relevant passages: "),
}
_UNUSED = "pooler."  # above the last layer, often without weights
_CANNOT_LOAD = (OSError, ValueError, KeyError, RuntimeError, ImportError)


@dataclass(frozen=True)
class Recipe:
    """How texts are encoded: pooling, prompts and maximal length. Its repr is part of the fingerprint."""

    pooling: Pooling
    prompt: str
    query_prompt: str
    max_tokens: int


class TransformersEncoder:
    """Texts alone, norm 1; see `recommender.encoders.base.Encoder`.

    Parameters
    ----------
    name
        As in the config.
    model, tokenizer
        Of Hugging Face.
    recipe
        How texts are encoded.
    batch_size
        Texts per forward pass on a GPU.
    """

    aligned = False
    quantizable = ("text",)
    image_dim = 0

    def __init__(self, name: str, model: Any, tokenizer: Any, recipe: Recipe, batch_size: int = 32) -> None:
        self.name = f"transformers {name}"
        self.fingerprint = f"transformers-{_fingerprint(model, tokenizer, recipe)}"
        self._tokenizer, self._recipe, self._prompt = tokenizer, recipe, recipe.prompt
        self._tower = SentenceTower(model, recipe.pooling, batch_size)
        self.text_dim = self._tower.dim

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return vectors of dimension 0: images are not supported."""
        return np.empty((len(images), 0), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit sentence vectors (b, text_dim); texts are truncated to 512 tokens, or fewer by the model."""
        if not texts:
            return np.empty((0, self.text_dim), np.float32)
        prompted = [self._prompt + text for text in texts]
        return self._tower(
            self._tokenizer(prompted, truncation=True, max_length=self._recipe.max_tokens).input_ids
        )

    def known_words(self, text: str) -> tuple[list[str], list[str]]:
        """See `WordBased`: a word of a script that the vocabulary lacks is unknown."""
        return split_by_tokens(text, self._tokenizer.tokenize, self._tokenizer.unk_token)

    def quantized(self) -> "TransformersEncoder":
        """See `Quantizable`."""
        encoder = copy(self)
        encoder._tower = self._tower.quantized()
        encoder.name, encoder.fingerprint = f"{self.name} int8", self.fingerprint + INT8_SUFFIX
        return encoder

    def for_queries(self) -> "TransformersEncoder":
        """Return the encoder with the prompt of queries."""
        encoder = copy(self)
        encoder._prompt = self._recipe.query_prompt
        return encoder


def create(config: "EncoderChoice") -> TransformersEncoder:
    """Load a model by name or from a folder; without a name, the packaged MiniLM.

    Raises
    ------
    EncoderError
        If the model can neither be downloaded nor found on disk.
    """
    name = (config.model or _PACKAGED).removeprefix("hf-hub:")
    if config.model is not None and not (Path(name).is_dir() or something_cached() or hub_answers()):
        raise EncoderError(f"{name} is no folder and no model hub answers; give a folder with its files")
    with TemporaryDirectory() as folder:
        if config.model is None:
            with zipfile.ZipFile(packaged(*TEXT_WEIGHTS)) as files:
                files.extractall(folder)
        source = name if config.model is not None else folder
        model, tokenizer = _load_model(source, name)
        recipe = _recipe(config, source, name, model, tokenizer)
    return TransformersEncoder(name, model, tokenizer, recipe, config.batch_size)


def _load_model(source: str, name: str) -> tuple[Any, Any]:
    ensure_torchvision()
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model, info = AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    except _CANNOT_LOAD as error:
        reason = str(error).splitlines()[0]
        raise EncoderError(f"transformers cannot load {name}: {reason}") from error
    random = sorted(key for key in info["missing_keys"] if not key.startswith(_UNUSED))
    if random:
        raise EncoderError(
            f"{name} has no weights for {random[0]} and {len(random) - 1} more; they would be random"
        )
    return getattr(model, "encoder", model) if model.config.is_encoder_decoder else model, tokenizer


def _recipe(config: "EncoderChoice", source: str, name: str, model: Any, tokenizer: Any) -> Recipe:
    """Return the recipe of the config, else of the model's sentence-transformers files, else the usual one."""
    modes = _model_file(source, "1_Pooling/config.json")
    stated = next((_POOLINGS[mode] for mode in _POOLINGS if modes.get(mode)), None)
    usual: Pooling = "last" if model.config.model_type in _CAUSAL else "mean"
    prompt, query_prompt = _prompts(source, name)
    longest = _model_file(source, "sentence_bert_config.json").get("max_seq_length") or _MAX_TOKENS
    return Recipe(
        config.pooling or stated or usual,
        prompt if config.prompt is None else config.prompt,
        query_prompt if config.query_prompt is None else config.query_prompt,
        min(longest, tokenizer.model_max_length, _MAX_TOKENS),
    )


def _prompts(source: str, name: str) -> tuple[str, str]:
    stated = _model_file(source, "config_sentence_transformers.json").get("prompts") or {}
    if any(stated.values()):
        product = stated.get("document") or stated.get("passage") or ""
        return product, stated.get("query") or ""
    family = name.lower().rstrip("/").rpartition("/")[2].removeprefix("multilingual-").split("-")[0]
    instructed = "instruct" in name or "m3" in name
    return _PROMPTS.get(family, ("", "")) if not instructed else ("", "")


def _model_file(source: str, file: str) -> dict[str, Any]:
    """Return a JSON file of the model, {} if it has none."""
    from transformers.utils import cached_file

    path = cached_file(
        source,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    document: dict[str, Any] = json.loads(Path(path).read_text("utf-8")) if path else {}
    return document


def _fingerprint(model: Any, tokenizer: Any, recipe: Recipe) -> str:
    hashed = sha256(repr(recipe).encode())
    hashed.update(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode())
    hashed.update(model.config.model_type.encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(_UNUSED):
            continue
        hashed.update(name.encode())
        hashed.update(tensor.detach().cpu().float().numpy().tobytes())
    return hashed.hexdigest()[:16]
