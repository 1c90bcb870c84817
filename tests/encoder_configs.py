"""A config for each encoder that needs more than its name: tiny weights, a server, texts to train on."""

import os
import warnings

import numpy as np
import pandas as pd
from providers import provider
from tiny_clip import tiny_clip
from tiny_transformers import tiny_model

from recommender.catalog import Catalog
from recommender.config import EncoderConfig
from training.encoders.texts import encoder_for

NOUNS = ["dress", "jumper", "jeans", "coat", "scarf"]
COLOURS = ["red", "green", "navy", "white"]
TEXTS = [f"a {colour} {noun} no {i}" for noun in NOUNS for colour in COLOURS for i in range(3)]


def config_of(name, folder, monkeypatch, stack):
    """Return the config of an encoder; one that needs nothing is its name alone."""
    if name in ("auto", "open_clip"):
        return tiny_clip(folder).model_copy(update={"name": name})
    if name == "transformers":
        tiny_model(folder, "bert")
        return EncoderConfig(name=name, model=str(folder))
    if name in ("tfidf", "word2vec", "lstm"):
        return EncoderConfig(name=name, model=f"local-dir:{trained(name, folder)[1]}")
    if name in ("openai", "cohere"):
        monkeypatch.setenv({"openai": "OPENAI_API_KEY", "cohere": "CO_API_KEY"}[name], "secret")
        return EncoderConfig(name=name, base_url=stack.enter_context(provider()).url, dimensions=8)
    if name == "keras":
        return EncoderConfig(name=name, model="VGG16", checkpoint=random_vgg16(folder))
    if name == "vectors":
        return EncoderConfig(name=name, checkpoint=brought(folder / "vectors.parquet"))
    return EncoderConfig(name=name)


def texts_catalog(texts=TEXTS):
    return Catalog.from_frame(pd.DataFrame({"id": [f"p{i:03}" for i in range(len(texts))], "title": texts}))


def trained(name, folder, texts=TEXTS, **options):
    """Train on the texts; return the encoder and its folder."""
    return encoder_for(EncoderConfig(name=name, **options), texts_catalog(texts), 0, folder)


def random_vgg16(folder):
    """Save VGG16 with random weights, its top left out."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    keras.utils.set_random_seed(0)
    path = folder / "random.weights.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own, on numpy
        keras.applications.VGG16(include_top=False, weights=None, input_shape=(224, 224, 3)).save_weights(path)
    return path


def brought(path, ids=("p1", "p2", "p3", "p4", "p5"), dim=6):
    """Write vectors of products; return the file."""
    vectors = np.random.default_rng(0).standard_normal((len(ids), dim)).astype(np.float32)
    if path.suffix == ".npy":
        np.save(path, vectors)
        path.with_suffix(".txt").write_text("\n".join(ids))
    else:
        pd.DataFrame({"id": list(ids), "vector": list(vectors)}).to_parquet(path)
    return path
