"""Images and texts per second of each encoder, beside open_clip's own plain loop, in one run.

Without a config a shop is drawn. The unit is CPU seconds of all threads, end to end from the files; ViT-B-32 has
random weights, which are as fast as any. On a GPU, where there is one, also images per wall second, and the share
of the time that the GPU waits.
"""

import io
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from recommender.catalog import Catalog
from recommender.commands.benchmarks.timing import timed_cpu
from recommender.config import Config, EncoderConfig
from recommender.core.blocks import Float
from recommender.encoders import create, encode_catalog
from recommender.encoders.base import Encoder, Quantizable
from recommender.encoders.images import MAX_SIDE
from recommender.encoders.support.torchvision_shim import ensure_torchvision
from recommender.errors import EncoderError
from recommender.progress import notice, progress
from recommender.testing import TinyEncoder

BATCH = 32
IMAGE_DIM, TEXT_DIM = 1280, 384
ARCHITECTURE = "ViT-B-32"


def measure_encoders(config: Path | None, data: Path | None, n: int, cached: int) -> dict[str, Any]:
    """Return items per CPU second of each encoder, of the cache, and the peak memory.

    Parameters
    ----------
    config, data
        The shop's TOML, and the folder that its paths start from; without a config a shop is drawn.
    n
        Products to encode, drawn with a fixed seed.
    cached
        Synthetic products for the cache and the memory.
    """
    with TemporaryDirectory() as folder:
        figures: dict[str, Any] = {f"{cached} products": cache_and_memory(cached, Path(folder))}
        catalog = sample(config, data, n, Path(folder))
        figures["per CPU second"] = speeds(catalog, Path(folder))
        if torch.cuda.is_available():
            from recommender.commands.benchmarks.encode_gpu import on_gpu

            figures["on the GPU"] = on_gpu(catalog, lambda: create(checkpoint(Path(folder))), Path(folder) / "gpu")
    return figures


def cache_and_memory(n: int, folder: Path) -> dict[str, float]:
    """Encode n products with tiny images, then read all from the cache; peak memory of both in MB."""
    frame = pd.DataFrame({"id": [f"{i:07}" for i in range(n)], "image_link": [f"{i}.png" for i in range(n)]})
    catalog = Catalog.from_frame(frame.assign(title="product " + frame["id"]), Squares())
    seconds = [timed_cpu(lambda: encode_catalog(catalog, Wide(), folder / "many"))[1] for _ in range(2)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cold items/s": 2 * n / seconds[0], "warm items/s": 2 * n / seconds[1], "peak MB": peak}


class Squares:
    """Image files that are made as they are read, each of another colour."""

    def key(self, ref: str) -> str:
        """Return the cache's key of a file."""
        return ref

    def read(self, ref: str) -> bytes:
        """Return a PPM file of 16 pixels."""
        number = int(ref.partition(".")[0])
        return b"P6 4 4 255\n" + number.to_bytes(4, "big") * 12

    def close(self) -> None:
        """Close nothing."""


class Wide(TinyEncoder):
    """An encoder that costs nothing and whose vectors are as long as real ones."""

    fingerprint, image_dim, text_dim = "wide", IMAGE_DIM, TEXT_DIM

    def encode_images(self, images: Sequence[Image.Image]) -> Float:
        """Return ones, (n, IMAGE_DIM)."""
        return np.ones((len(images), IMAGE_DIM), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Float:
        """Return ones, (n, TEXT_DIM)."""
        return np.ones((len(texts), TEXT_DIM), np.float32)


def sample(config: Path | None, data: Path | None, n: int, folder: Path) -> Catalog:
    """Draw n products that have an image and a text."""
    if config is None:
        from recommender.demo.shop import make_shop

        config = make_shop(folder / "shop", n=n, users=10, events=100).config
    whole = Catalog.load(Config.load(config, data))
    complete = np.flatnonzero(
        [bool(ref and text) for ref, text in zip(whole.image_refs(), whole.texts(), strict=True)]
    )
    rows = np.sort(np.random.default_rng(0).permutation(complete)[:n])
    frame = pd.DataFrame({name: [values[row] for row in rows] for name, values in _columns(whole).items()})
    return Catalog.from_frame(frame, whole.images)


def _columns(catalog: Catalog) -> dict[str, list[str]]:
    return {"id": catalog.ids, "title": catalog.texts(), "image_link": catalog.image_refs()}


def speeds(catalog: Catalog, folder: Path) -> dict[str, dict[str, float]]:
    """Measure the plain loop and each encoder, cold, on the same products."""
    clip, preprocess, tokenizer = random_clip(folder)
    rates = {f"plain loop, {ARCHITECTURE}": plain_loop(catalog, clip, preprocess, tokenizer)}
    for name, encoder in progress(encoders(folder), "encoders", unit="encoder"):
        warm_up(encoder)
        rates[name] = measured(catalog, encoder, folder / "cache" / name)
    return rates


def encoders(folder: Path) -> Iterator[tuple[str, Encoder]]:
    """Create one encoder after the other; those whose weights are not installed are left out."""
    configs = {f"open_clip, {ARCHITECTURE}": checkpoint(folder)}
    configs |= {name: EncoderConfig(name=name) for name in ("offline", "timm")}
    for name, config in configs.items():
        try:
            encoder = create(config)
        except EncoderError as error:
            notice(f"{name} is left out: {error}")
            continue
        yield name, encoder
        if isinstance(encoder, Quantizable):
            yield f"{name}, int8", encoder.quantized()


def checkpoint(folder: Path) -> EncoderConfig:
    """Return the config of open_clip with the random weights in `folder`."""
    return EncoderConfig(name="open_clip", model=ARCHITECTURE, checkpoint=folder / "random.pt")


def random_clip(folder: Path) -> tuple[Any, Any, Any]:
    """Create a model with random weights, its preprocessing and its tokenizer; save the weights in `folder`."""
    ensure_torchvision()
    import open_clip

    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms(ARCHITECTURE)
    torch.save(model.state_dict(), folder / "random.pt")
    return model.eval(), preprocess, open_clip.get_tokenizer(ARCHITECTURE)


def plain_loop(catalog: Catalog, model: Any, preprocess: Any, tokenizer: Any) -> dict[str, float]:
    """Read, decode, preprocess and encode batch after batch, as open_clip's README does."""
    refs, texts = catalog.image_refs(), catalog.texts()

    def encode_images() -> None:
        for start in range(0, len(refs), BATCH):
            files = [io.BytesIO(catalog.images.read(ref)) for ref in refs[start : start + BATCH]]
            batch = torch.stack([preprocess(Image.open(file).convert("RGB")) for file in files])
            model.encode_image(batch, normalize=True)

    def encode_texts() -> None:
        for start in range(0, len(texts), BATCH):
            model.encode_text(tokenizer(texts[start : start + BATCH]), normalize=True)

    with torch.inference_mode():
        model.encode_text(tokenizer(["warm"]))
        model.encode_image(preprocess(Image.new("RGB", (MAX_SIDE, MAX_SIDE)))[None])
        rate = {"images": len(refs) / timed_cpu(encode_images)[2]}
        return rate | {"texts": len(texts) / timed_cpu(encode_texts)[2]}


def warm_up(encoder: Encoder) -> None:
    """Load and export models, which encoders do on first use; it takes as long for one product as for many."""
    if encoder.image_dim:
        encoder.encode_images([Image.new("RGB", (MAX_SIDE, MAX_SIDE))])
    if encoder.text_dim:
        encoder.encode_texts(["warm"])


def measured(catalog: Catalog, encoder: Encoder, folder: Path) -> dict[str, float]:
    """Return images and texts per CPU second, each encoded alone."""
    rates = {}
    for modality, empty in (("images", "title"), ("texts", "image_link")):
        if getattr(encoder, f"{modality[:-1]}_dim"):
            half = Catalog.from_frame(catalog.frame.assign(**{empty: ""}), catalog.images)
            rates[modality] = len(half) / timed_cpu(lambda: encode_catalog(half, encoder, folder))[2]  # noqa: B023
    return rates


def table(figures: Mapping[str, Any]) -> str:
    """Return the figures as text, each with its ratio to the first row: the plain loop."""
    lines = []
    for title, group in figures.items():
        lines.append(title)
        rows = group if isinstance(next(iter(group.values())), dict) else {"": group}
        first = next(iter(rows.values()))
        for name, cells in rows.items():
            texts = [f"{unit} {value:.1f}" + _ratio(value, first[unit], rows) for unit, value in cells.items()]
            lines.append(f"  {name:30}{'   '.join(texts)}")
    return "\n".join(lines)


def _ratio(value: float, first: float, rows: Mapping[str, Any]) -> str:
    return f" ({value / first:.2f}x)" if len(rows) > 1 else ""
