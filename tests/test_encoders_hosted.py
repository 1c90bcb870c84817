"""Hosted encoders, OpenAI and Cohere: wire format, limits and failures, and caching."""

import time
from email.utils import formatdate

import numpy as np
import pytest
from encoder_configs import texts_catalog
from PIL import Image
from providers import provider, vector

from recommender.config import EncoderConfig
from recommender.encoders import create, encode_catalog
from recommender.errors import EncoderError

LIMITED = (429, {"Retry-After": "7"}, '{"error": {"message": "slow down"}}')
DOWN = (503, {}, "upstream")


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The seconds that would have been waited."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("CO_API_KEY", "secret")
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def encoder(server, name="openai", **options):
    return create(EncoderConfig(name=name, base_url=server.url, **{"dimensions": 8} | options))


@pytest.mark.parametrize("floats", ["base64", "digits"])
def test_openai_vectors_are_in_the_order_of_the_texts(floats):
    with provider(floats=floats) as server:
        texts = [f"text {i}" for i in range(5)]
        found = encoder(server).encode_texts(texts)
        np.testing.assert_allclose(found, [vector(text, 8) for text in texts], atol=1e-6)
        (request,) = server.requests
        expected = {"model": "text-embedding-3-small", "encoding_format": "base64", "dimensions": 8}
        assert {name: value for name, value in request.items() if name != "input"} == expected
        assert server.keys == {"Bearer secret"}


def test_cohere_encodes_queries_documents_and_images():
    with provider() as server:
        cohere = encoder(server, "cohere")
        document, question = (e.encode_texts(["red"])[0] for e in (cohere, cohere.for_queries()))
        np.testing.assert_allclose(document, vector("search_document red", 8), atol=1e-6)
        np.testing.assert_allclose(question, vector("search_query red", 8), atol=1e-6)
        assert cohere.encode_images([Image.new("RGB", (9, 9), c) for c in ("red", "blue")]).shape == (2, 8)
        assert cohere.aligned
        assert server.requests[-1]["output_dimension"] == 8
        assert len(server.requests[-1]["inputs"]) == 2  # one request
        older = encoder(server, "cohere", model="embed-english-v3.0")
        older.encode_images([Image.new("RGB", (9, 9), c) for c in ("red", "blue")])
        assert [request["input_type"] for request in server.requests[-2:]] == ["image", "image"]


def test_requests_stay_within_the_limits():
    with provider() as server:
        openai = encoder(server)
        openai.encode_texts(["x" * 9000] * 100 + ["short"] * 600)
        sizes = [[len(text) for text in request["input"]] for request in server.requests]
        assert sum(map(len, sizes)) == 700
        assert max(map(len, sizes)) <= 512
        assert max(map(sum, sizes)) <= 300_000
        assert max(max(each) for each in sizes) == 8191
        cohere = encoder(server, "cohere")
        cohere.encode_texts(["word"] * 200)
        assert [len(request["texts"]) for request in server.requests[-3:]] == [96, 96, 8]
        cut = openai._truncated(["鍵" * 4000])[0]
        assert cut == "鍵" * (8191 // 3)


def test_rate_limits_and_server_errors_are_retried(pauses):
    dated = (429, {"Retry-After": formatdate(time.time() + 30, usegmt=True)}, "")
    with provider([LIMITED, dated, DOWN, "drop", DOWN]) as server:
        np.testing.assert_allclose(encoder(server).encode_texts(["a"]), [vector("a", 8)], atol=1e-6)
        assert len(server.requests) == 6
    assert pauses[0] == 7
    assert 25 < pauses[1] <= 30
    assert [0 <= pauses[i] <= 2**i for i in (2, 3, 4)] == [True] * 3
    assert len({pause / 2**i for i, pause in enumerate(pauses[2:], 2)}) == 3, "with jitter"


def test_permanent_errors_are_not_retried(pauses):
    broke = (429, {}, '{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}')
    denied = (401, {}, '{"error": {"message": "Incorrect API key"}}')
    for failure, words in ((broke, "status 429: You exceeded"), (denied, "status 401: Incorrect API key")):
        with provider([failure]) as server, pytest.raises(EncoderError, match=f"openai refuses: {words}"):
            encoder(server).encode_texts(["a"])
    assert not pauses


def test_it_fails_after_seven_attempts_without_showing_the_key(pauses):
    with provider([DOWN] * 20) as server, pytest.raises(EncoderError) as raised:
        encoder(server).encode_texts(["a"])
    assert "openai does not answer (status 503: upstream); vectors so far are cached" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert len(pauses) == 6


def test_a_malformed_response_is_an_error():
    for body, words in (('{"data": "?"}', "something else than vectors"), ("<html>", "answers no JSON")):
        with provider([(200, {}, body)]) as server, pytest.raises(EncoderError, match=words):
            encoder(server).encode_texts(["a"])


def test_a_failed_run_resumes_from_the_cache(tmp_path, caplog):
    caplog.set_level("INFO")
    texts = [f"product number {i:04}" for i in range(250)]
    refused = (400, {}, '{"message": "no"}')
    with provider() as server:
        server.failures = []
        cohere = encoder(server, "cohere")
        answer = server.answer
        server.answer = lambda path, body: server.failures.append(refused) or answer(path, body)
        with pytest.raises(EncoderError, match="cohere refuses: status 400: no"):
            encode_catalog(texts_catalog(texts), cohere, tmp_path)
        assert "cohere embed-v4.0: billed 288 tokens" in caplog.text
        server.answer, paid = answer, list(server.requests[0]["texts"])
        encoded = encode_catalog(texts_catalog(texts), encoder(server, "cohere"), tmp_path)
        sent = [text for request in server.requests[2:] for text in request["texts"]]
        assert sorted(paid + sent) == texts
        assert encoded.counts["tokens"] == 3 * len(sent)
        assert encoded.counts["dollars"] == pytest.approx(0.12e-6 * 3 * len(sent), abs=1e-6)
        assert "154 texts and 0 images to encode, about" in caplog.text
        requests = len(server.requests)
        again = encode_catalog(texts_catalog(texts), encoder(server, "cohere"), tmp_path)
        assert len(server.requests) == requests
        assert "tokens" not in again.counts
        np.testing.assert_array_equal(again.text, encoded.text)


def test_a_missing_key_names_its_environment_variable(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EncoderError, match="'openai' needs a key; set the environment variable OPENAI_API_KEY"):
        create(EncoderConfig(name="openai"))


def test_an_unknown_model_needs_dimensions():
    with pytest.raises(EncoderError, match=r"nomic is none of text-embedding-3-small, .* dimensions = N"):
        create(EncoderConfig(name="openai", model="nomic"))
    with provider() as server:
        own = encoder(server, model="nomic")
        own.encode_texts(["a"])
        assert "dimensions" not in server.requests[0]  # it may know no such option
        fingerprints = {own.fingerprint, encoder(server).fingerprint, encoder(server, dimensions=4).fingerprint}
        assert len(fingerprints) == 3
