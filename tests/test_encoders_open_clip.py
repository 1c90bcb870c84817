"""open_clip: pretrained weights or a clear error, never a random model."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import ARCHITECTURE, NAME, tiny_clip

from recommender.config import EncoderConfig
from recommender.encoders import create, open_clip
from recommender.encoders.support.torchvision_shim import ensure_torchvision
from recommender.errors import EncoderError


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(open_clip, "hub_answers", lambda: False)
    monkeypatch.setattr(open_clip, "something_cached", lambda: False)


def config(**fields):
    return EncoderConfig(name="open_clip", **fields)


def test_image_vectors_equal_open_clips(tmp_path):
    tiny = tiny_clip(tmp_path)  # makes open_clip importable
    import open_clip as library

    model, preprocess = library.create_model_from_pretrained(NAME, str(tiny.checkpoint))
    model.eval()
    photos = [Image.effect_noise((50 + i, 40), 80).convert("RGB") for i in range(7)]
    texts = [f"a photo of {i} shirts" for i in range(7)]
    with torch.inference_mode():
        images = model.encode_image(torch.stack([preprocess(photo) for photo in photos]), normalize=True)
        words = model.encode_text(library.get_tokenizer(NAME)(texts), normalize=True)
    encoder = create(tiny)
    np.testing.assert_allclose(encoder.encode_images(photos), images, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(texts), words, atol=1e-5)
    assert (encoder.image_dim, encoder.text_dim, encoder.aligned) == (16, 16, True)


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"pool_type": "eos", "eos_id": 49407},
        {"proj_bias": True},
        {"no_causal_mask": True, "pool_type": "last"},
        {"hf_model_name": None, "qk_norm": True},
    ],
)
@pytest.mark.parametrize("custom", [False, True])
def test_text_vectors_of_any_length_equal_open_clips(tmp_path, custom, kind):
    """Where a text is read from left to right, what fills it up is left out; where it is not, it is not."""
    text = ARCHITECTURE["text_cfg"] | kind
    encoder = create(tiny_clip(tmp_path, custom_text=custom, text_cfg=text))
    texts = ["a shirt", "word " * 200, "jeans", "a red and green dress with pockets", "a shirt"]
    with torch.inference_mode():
        words = encoder.model.encode_text(encoder.tokenizer(texts), normalize=True)
    np.testing.assert_allclose(encoder.encode_texts(texts), words, atol=1e-5)


def test_fingerprint_follows_weights_and_preprocessing(tmp_path):
    encoder = create(tiny_clip(tmp_path))
    assert create(tiny_clip(tmp_path)).fingerprint == encoder.fingerprint
    assert create(tiny_clip(tmp_path, seed=1)).fingerprint != encoder.fingerprint
    encoder.model.visual.preprocess_cfg["mean"] = (0.0, 0.0, 0.0)
    other = open_clip.OpenClipEncoder("other", encoder.model, encoder.tokenizer)
    assert other.fingerprint != encoder.fingerprint


def test_weights_of_another_architecture_are_an_error(tmp_path):
    tiny = tiny_clip(tmp_path)
    tiny_clip(tmp_path, seed=1, embed_dim=8)
    with pytest.raises(EncoderError, match=r"open_clip cannot load tiny-clip with weights .*weights-0.pt"):
        create(tiny)


def test_a_file_without_weights_is_an_error(tmp_path):
    tiny_clip(tmp_path)
    (tmp_path / "notes.pt").write_text("not weights")
    with pytest.raises(EncoderError, match="open_clip cannot load tiny-clip"):
        create(config(model=NAME, checkpoint=tmp_path / "notes.pt"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "ViT-B-32"}, "ViT-B-32 has no weights; add pretrained = a tag or checkpoint = a file"),
        ({"pretrained": "openai"}, "the weights name no architecture"),
        ({"model": "hf-hub:a/b", "pretrained": "openai"}, "hf-hub:a/b includes its weights; leave out 'openai'"),
        ({"model": "ViT-B-33", "checkpoint": "x.pt"}, "knows no model 'ViT-B-33'; did you mean 'ViT-B-32'"),
        ({"model": "ViT-B-32", "checkpoint": "x.pt"}, "'x.pt' is neither a file nor a tag of ViT-B-32; those are"),
    ],
)
def test_contradictory_options_are_refused(fields, message):
    with pytest.raises(EncoderError, match=message):
        create(config(**fields))


@pytest.mark.usefixtures("offline")
def test_without_hub_and_weights_it_fails_at_once():
    with pytest.raises(EncoderError, match="hf-hub:a/b: no model hub answers and no weights are on disk"):
        create(config(model="hf-hub:a/b"))


def test_the_hub_address_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert not open_clip.hub_answers()
    monkeypatch.setenv("HF_ENDPOINT", f"file://{__file__}")
    assert open_clip.hub_answers()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not open_clip.hub_answers()


def test_quick_gelu_weights_get_a_quick_gelu_model(monkeypatch, tmp_path):
    """OpenAI's weights under the plain name "ViT-B-32" would run with the wrong activation."""
    import open_clip as library

    used = {}

    def create_model(model, weights, **options):
        used.update(options)
        raise RuntimeError("enough")

    monkeypatch.setattr(open_clip, "hub_answers", lambda: True)
    monkeypatch.setattr(library, "create_model", create_model)
    for weights, quick in (("openai", True), ("laion2b_s34b_b79k", False)):
        with pytest.raises(EncoderError, match="enough"):
            create(config(model="ViT-B-32", pretrained=weights))
        assert (used["force_quick_gelu"], used["require_pretrained"]) == (quick, True)


def test_shim_makes_torchvision_importable_and_fakes_no_result():
    code = """
from recommender.encoders.support.torchvision_shim import ensure_torchvision
ensure_torchvision(); ensure_torchvision()
import torchvision, torch
try:
    torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
except (NotImplementedError, RuntimeError):
    pass
else:
    assert torchvision.extension._has_ops()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_shim_lets_other_errors_through(monkeypatch):
    def broken(name):
        raise RuntimeError("another reason")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(RuntimeError, match="another reason"):
        ensure_torchvision()
