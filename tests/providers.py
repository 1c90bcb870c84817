"""A local server with the APIs of OpenAI and Cohere, which counts tokens, limits rates and fails on demand."""

import base64
import json
from contextlib import contextmanager
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np


class Provider:
    """What a test sets and reads.

    `failures` are answered before anything else: (status, headers, body), or "drop" for a broken connection.
    `requests` are the bodies that came, the failed ones too.
    """

    def __init__(self, failures=(), floats="base64"):
        self.failures, self.floats, self.requests, self.keys = list(failures), floats, [], set()
        self.url = ""

    def answer(self, path, body):
        dim = body.get("dimensions") or body.get("output_dimension") or 8
        if path == "/embeddings":
            vectors = [vector(text, dim) for text in body["input"]]
            found = [
                {"index": i, "embedding": self._shown(v), "object": "embedding"} for i, v in enumerate(vectors)
            ]
            tokens = sum(len(text.split()) for text in body["input"])
            return {"data": found[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        assert path == "/v2/embed"
        assert body["embedding_types"] == ["float"]
        inputs = body.get("inputs", [])
        images = body.get("images", []) + [each["content"][0]["image_url"]["url"] for each in inputs]
        sources = [f"{body['input_type']} {text}" for text in body.get("texts", [])] or images
        units = {"input_tokens": sum(len(text.split()) for text in body.get("texts", []))}
        if "images" in body:
            assert len(images) == 1
            units["images"] = 1
        elif inputs:
            units["image_tokens"] = 1000 * len(inputs)
        return {
            "embeddings": {"float": [vector(s, dim).tolist() for s in sources]},
            "meta": {"billed_units": units},
        }

    def _shown(self, floats):
        return base64.b64encode(floats.tobytes()).decode() if self.floats == "base64" else floats.tolist()


def vector(text, dim):
    """The vector that the provider has for a text."""
    seed = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    found = np.random.default_rng(seed).standard_normal(dim).astype("<f4")
    return found / np.linalg.norm(found)


@contextmanager
def provider(failures=(), floats="base64"):
    """Run one on a port of its own."""
    state = Provider(failures, floats)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(body)
            state.keys.add(self.headers["Authorization"])
            if not state.failures:
                return self.reply(200, {}, json.dumps(state.answer(self.path, body)))
            failure = state.failures.pop(0)
            if failure == "drop":
                self.close_connection = True
                return None
            return self.reply(*failure)

        def reply(self, status, headers, text):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text.encode())), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
