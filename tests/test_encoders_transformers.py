"""Text models of Hugging Face: the vectors are the library's, with the configured pooling and prompts."""

import numpy as np
import pytest
import torch
from tiny_transformers import tiny_model

from recommender.config import EncoderConfig
from recommender.encoders import create, transformers
from recommender.errors import EncoderError

TEXTS = ["a red dress", "jeans", "a green jumper : soft wool word word word"]


def config(folder, **options):
    return EncoderConfig(name="transformers", model=str(folder), **options)


def hidden(model, tokenizer, text):
    """The last layer of one text alone, (length, dim): nothing is padded, nothing can go wrong."""
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        return model(input_ids=ids).last_hidden_state[0].numpy()


POOLED = {"mean": lambda h: h.mean(axis=0), "last": lambda h: h[-1], "first": lambda h: h[0]}


@pytest.mark.parametrize(("kind", "usual"), [("bert", "mean"), ("gpt2", "last")])
def test_pooling_ignores_padding(tmp_path, kind, usual):
    model, tokenizer = tiny_model(tmp_path, kind)
    for pooling in (None, *POOLED):
        found = create(config(tmp_path, pooling=pooling)).encode_texts(TEXTS)
        expected = np.array([POOLED[pooling or usual](hidden(model, tokenizer, text)) for text in TEXTS])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_sentence_transformers_files_are_used(tmp_path):
    written = {"1_Pooling__config": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}}
    written["config_sentence_transformers"] = {"prompts": {"query": "query : ", "document": "passage : "}}
    model, tokenizer = tiny_model(tmp_path, "bert", **written)
    encoder = create(config(tmp_path))
    for version, prompt in ((encoder, "passage : "), (encoder.for_queries(), "query : ")):
        first = hidden(model, tokenizer, prompt + "jeans")[0]
        np.testing.assert_allclose(version.encode_texts(["jeans"])[0], first / np.linalg.norm(first), atol=1e-4)
    assert encoder.for_queries().fingerprint == encoder.fingerprint
    assert create(config(tmp_path, prompt="")).fingerprint != encoder.fingerprint


@pytest.mark.parametrize(
    ("name", "prompts"),
    [
        ("multilingual-e5-small", ("passage: ", "query: ")),
        ("bge-small-en-v1.5", ("", "Represent this sentence for searching relevant passages: ")),
        ("multilingual-e5-large-instruct", ("", "")),
        ("bge-m3", ("", "")),
        ("bert-base-uncased", ("", "")),
    ],
)
def test_known_families_have_their_prompts(tmp_path, name, prompts):
    assert transformers._prompts(str(tmp_path), f"someone/{name}") == prompts


def test_long_texts_are_truncated(tmp_path):
    tiny_model(tmp_path, "bert", sentence_bert_config={"max_seq_length": 8})
    encoder = create(config(tmp_path))
    long = encoder.encode_texts(["word " * 5, "word " * 500])
    np.testing.assert_allclose(long[0], long[1], atol=1e-5)


def test_random_weights_are_refused(tmp_path):
    model, _ = tiny_model(tmp_path, "bert")
    partial = {name: w for name, w in model.state_dict().items() if "layer.1.output" not in name}
    model.save_pretrained(tmp_path, state_dict=partial)
    with pytest.raises(EncoderError, match=r"no weights for encoder\.layer\.1\.output.* would be random"):
        create(config(tmp_path))


def test_without_a_hub_it_fails_at_once(monkeypatch):
    monkeypatch.setattr(transformers, "hub_answers", lambda: False)
    monkeypatch.setattr(transformers, "something_cached", lambda: False)
    with pytest.raises(EncoderError, match="someone/bert is no folder and no model hub answers"):
        create(EncoderConfig(name="transformers", model="someone/bert"))


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(EncoderError, match="transformers cannot load"):
        create(config(tmp_path))
