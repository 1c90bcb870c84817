"""Every encoder of the folder keeps the contract; a new module is tested without a list to edit."""

from contextlib import ExitStack

import numpy as np
import pytest
from encoder_configs import config_of
from PIL import Image
from tiny_clip import tiny_clip

from recommender.config import EncoderConfig
from recommender.encoders import create, open_clip
from recommender.encoders.registry import names
from recommender.errors import EncoderError
from recommender.testing import TinyEncoder, check_encoder


@pytest.fixture(scope="module")
def offline():
    return create(EncoderConfig(name="offline"))


@pytest.mark.parametrize("name", names())
def test_every_encoder_conforms(name, tmp_path, request, monkeypatch):
    with ExitStack() as stack:
        config = config_of(name, tmp_path, monkeypatch, stack)
        encoder = request.getfixturevalue("offline") if name == "offline" else create(config)
        check_encoder(encoder)
        assert create(config).fingerprint == encoder.fingerprint
        assert encoder.name.split()[0] in names()


def test_the_tiny_encoder_conforms():
    check_encoder(TinyEncoder())


def test_the_conformance_check_can_fail():
    class Forgetful(TinyEncoder):
        def encode_images(self, images):
            return super().encode_images(images) + len(images)

    with pytest.raises(AssertionError):
        check_encoder(Forgetful())


def test_unknown_name():
    with pytest.raises(EncoderError, match=r"'of_line' is none of auto, .*offline, .*did you mean 'offline'"):
        create(EncoderConfig(name="of_line"))


def test_an_option_of_another_encoder_is_refused():
    with pytest.raises(EncoderError, match="'timm' has no option 'pooling'; its options: model, checkpoint"):
        create(EncoderConfig(name="timm", pooling="mean"))


def test_offline_weights_are_real(offline):
    """Untrained towers know neither what a kitten is nor that stripes turned are still stripes."""
    cat, kitten, invoice = offline.encode_texts(["a cat", "a kitten", "an unpaid invoice"])
    assert cat @ kitten > 0.7 > 0.4 > cat @ invoice
    _knows_stripes(offline)


def _knows_stripes(encoder):
    stripes = Image.fromarray(np.tile(np.uint8([[0, 255] * 8] * 16)[:, :, None], 3)).resize((64, 64), 0)
    images = [stripes, stripes.rotate(90), Image.new("RGB", (64, 64), "gray")]
    vectors = encoder.encode_images(images)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_timm_and_transformers_run_the_packaged_weights_as_the_offline_encoder_does(offline):
    photo = [Image.effect_mandelbrot((224, 224), (-2, -1, 1, 1), 50).convert("RGB")]
    timm = create(EncoderConfig(name="timm"))
    a, b = timm.encode_images(photo)[0], offline.encode_images(photo)[0]
    assert a @ b > 0.999 * np.linalg.norm(a) * np.linalg.norm(b)
    _knows_stripes(timm)
    texts = ["a red dress", "a long text " * 200]
    found = create(EncoderConfig(name="transformers")).encode_texts(texts)
    np.testing.assert_allclose(found, offline.encode_texts(texts), atol=1e-5)


def test_auto_reports_its_choice(caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.setattr(open_clip, "hub_answers", lambda: False)
    monkeypatch.setattr(open_clip, "something_cached", lambda: False)
    assert create(EncoderConfig(name="auto")).name == "offline"
    assert "encoder: offline (ViT-B-32: no model hub answers" in caplog.text


def test_auto_prefers_clip_weights(tmp_path, caplog):
    caplog.set_level("INFO")
    config = tiny_clip(tmp_path).model_copy(update={"name": "auto"})
    assert create(config).aligned
    assert "encoder: open_clip tiny-clip" in caplog.text
