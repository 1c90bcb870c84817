"""How fast photos and texts become vectors, beside open_clip's own plain loop, in one run.

    encode.py [--config shop.toml --data DIR] [--n 300] [--many 100000] [--json]

Without a config it draws a shop. Work counts as seconds of the processor, all threads together, end to end from
the files; ViT-B-32 has random weights, which are as fast as any. On a GPU, where there is one, also photos a
second by the clock, and the share of the time that it waits for them.
"""

import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from PIL import Image

from recommender.catalog import Catalog
from recommender.config import Config, EncoderConfig
from recommender.encoders import create, encode_catalog
from recommender.encoders.base import Encoder, Quantizable
from recommender.encoders.images import MAX_SIDE
from recommender.encoders.support.torchvision_shim import ensure_torchvision
from recommender.errors import EncoderError
from recommender.testing import TinyEncoder

BATCH = 32
IMAGE_DIM, TEXT_DIM = 1280, 384
ARCHITECTURE = "ViT-B-32"


def main(
    config: Annotated[Path | None, typer.Option(help="The shop's TOML; else a shop is drawn.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that its paths start from.")] = None,
    n: Annotated[int, typer.Option(help="Products to encode, drawn with a fixed seed.")] = 300,
    many: Annotated[int, typer.Option(help="Products for the cache and the memory.")] = 100_000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print items per second of the processor, and what the cache and the memory do."""
    with TemporaryDirectory() as folder:
        figures: dict[str, Any] = {f"{many} products": cache_and_memory(many, Path(folder))}
        catalog = sample(config, data, n, Path(folder))
        figures["a second of the processor"] = speeds(catalog, Path(folder))
        if torch.cuda.is_available():
            from encode_gpu import on_gpu

            figures["on the GPU"] = on_gpu(catalog, lambda: create(checkpoint(Path(folder))), Path(folder) / "gpu")
    print(json.dumps(figures) if as_json else table(figures))


def cache_and_memory(n: int, folder: Path) -> dict[str, float]:
    """Encode n products of tiny photos, then find them all in the cache; peak memory of both, in MB."""
    frame = pd.DataFrame({"id": [f"{i:07}" for i in range(n)], "image_link": [f"{i}.png" for i in range(n)]})
    catalog = Catalog.from_frame(frame.assign(title="product " + frame["id"]), Squares())
    seconds = [timed(lambda: encode_catalog(catalog, Wide(), folder / "many"))[1] for _ in range(2)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cold items/s": 2 * n / seconds[0], "warm items/s": 2 * n / seconds[1], "peak MB": peak}


class Squares:
    """Photos that are made as they are read, each another one."""

    def key(self, ref: str) -> str:
        return ref

    def read(self, ref: str) -> bytes:
        number = int(ref.partition(".")[0])
        return b"P6 4 4 255\n" + number.to_bytes(4, "big") * 12

    def close(self) -> None:
        pass


class Wide(TinyEncoder):
    """As long vectors as real encoders give, at no cost."""

    fingerprint, image_dim, text_dim = "wide", IMAGE_DIM, TEXT_DIM

    def encode_images(self, images: list[Image.Image]) -> np.ndarray:
        return np.ones((len(images), IMAGE_DIM), np.float32)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), TEXT_DIM), np.float32)


def sample(config: Path | None, data: Path | None, n: int, folder: Path) -> Catalog:
    """Take n products with a photo and a text."""
    if config is None:
        from recommender.demo.shop import make_shop

        config = make_shop(folder / "shop", n=n, users=10, events=100).config
    whole = Catalog.load(Config.load(config, data))
    has = np.flatnonzero([bool(ref and text) for ref, text in zip(whole.image_refs(), whole.texts(), strict=True)])
    rows = np.sort(np.random.default_rng(0).permutation(has)[:n])
    frame = pd.DataFrame({name: [values[row] for row in rows] for name, values in _columns(whole).items()})
    return Catalog.from_frame(frame, whole.images)


def _columns(catalog: Catalog) -> dict[str, list[str]]:
    return {"id": catalog.ids, "title": catalog.texts(), "image_link": catalog.image_refs()}


def speeds(catalog: Catalog, folder: Path) -> dict[str, dict[str, float]]:
    """Measure the plain loop and each encoder, cold, on the same products."""
    clip, preprocess, tokenizer = random_clip(folder)
    found = {f"plain loop, {ARCHITECTURE}": plain_loop(catalog, clip, preprocess, tokenizer)}
    for name, encoder in ours(folder):
        warm_up(encoder)
        found[name] = measured(catalog, encoder, folder / "cache" / name)
    return found


def ours(folder: Path) -> Iterator[tuple[str, Encoder]]:
    """Load one encoder after the other; those whose weights are not installed are left out."""
    configs = {f"open_clip, {ARCHITECTURE}": checkpoint(folder)}
    configs |= {name: EncoderConfig(name=name) for name in ("offline", "timm")}
    for name, config in configs.items():
        try:
            encoder = create(config)
        except EncoderError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        yield name, encoder
        if isinstance(encoder, Quantizable):
            yield f"{name}, 8 bits", encoder.quantized()


def checkpoint(folder: Path) -> EncoderConfig:
    return EncoderConfig(name="open_clip", model=ARCHITECTURE, checkpoint=folder / "random.pt")


def random_clip(folder: Path) -> tuple[Any, Any, Any]:
    ensure_torchvision()
    import open_clip

    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms(ARCHITECTURE)
    torch.save(model.state_dict(), folder / "random.pt")
    return model.eval(), preprocess, open_clip.get_tokenizer(ARCHITECTURE)


def plain_loop(catalog: Catalog, model: Any, preprocess: Any, tokenizer: Any) -> dict[str, float]:
    """Read, decode, preprocess and encode batch after batch, as open_clip's readme does."""
    import io

    refs, texts = catalog.image_refs(), catalog.texts()

    def photos() -> None:
        for start in range(0, len(refs), BATCH):
            files = [io.BytesIO(catalog.images.read(ref)) for ref in refs[start : start + BATCH]]
            batch = torch.stack([preprocess(Image.open(file).convert("RGB")) for file in files])
            model.encode_image(batch, normalize=True)

    def words() -> None:
        for start in range(0, len(texts), BATCH):
            model.encode_text(tokenizer(texts[start : start + BATCH]), normalize=True)

    with torch.inference_mode():
        model.encode_text(tokenizer(["warm"]))
        model.encode_image(preprocess(Image.new("RGB", (MAX_SIDE, MAX_SIDE)))[None])
        return {"images": len(refs) / timed(photos)[2], "texts": len(texts) / timed(words)[2]}


def warm_up(encoder: Encoder) -> None:
    """Load and export what is loaded on first use: it takes the same time however many products there are."""
    if encoder.image_dim:
        encoder.encode_images([Image.new("RGB", (MAX_SIDE, MAX_SIDE))])
    if encoder.text_dim:
        encoder.encode_texts(["warm"])


def measured(catalog: Catalog, encoder: Encoder, folder: Path) -> dict[str, float]:
    """Encode photos alone, then texts alone."""
    found = {}
    for modality, empty in (("images", "title"), ("texts", "image_link")):
        if getattr(encoder, f"{modality[:-1]}_dim"):
            half = Catalog.from_frame(catalog.frame.assign(**{empty: ""}), catalog.images)
            found[modality] = len(half) / timed(lambda: encode_catalog(half, encoder, folder))[2]  # noqa: B023
    return found


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what `work` does, the seconds that pass, and those of the processor."""
    wall, own = perf_counter(), process_time()
    done = work()
    return done, perf_counter() - wall, process_time() - own


def table(figures: dict[str, Any]) -> str:
    """Lay the figures out; how many times the plain loop beside each."""
    lines = []
    for title, found in figures.items():
        lines.append(title)
        rows = found if isinstance(next(iter(found.values())), dict) else {"": found}
        first = next(iter(rows.values()))
        for name, cells in rows.items():
            said = [f"{unit} {value:.1f}" + _times(value, first[unit], rows) for unit, value in cells.items()]
            lines.append(f"  {name:30}{'   '.join(said)}")
    return "\n".join(lines)


def _times(value: float, first: float, rows: dict[str, Any]) -> str:
    return f" ({value / first:.2f}x)" if len(rows) > 1 else ""


if __name__ == "__main__":
    sys.exit(typer.run(main))
