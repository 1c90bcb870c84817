"""Photos a second on a GPU, end to end from the files, and how long it waits; with and without each means."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from recommender.catalog import Catalog
from recommender.encoders import encode_catalog
from recommender.encoders.images import MAX_SIDE
from recommender.encoders.open_clip import OpenClipEncoder
from recommender.encoders.support.gpu import OnGpu


class Timed(OnGpu):
    """Knows how long the GPU took for its batches, copies and pauses between two steps of a model included."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def __call__(self, *inputs: NDArray[Any]) -> Tensor:
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        output = super().__call__(*inputs)
        ended.record()
        self.events.append((began, ended))
        return output

    def seconds(self) -> float:
        torch.cuda.synchronize()
        return sum(began.elapsed_time(ended) for began, ended in self.events) / 1000


class Pageable(Timed):
    """Copies from memory that is not pinned, and waits for them."""

    def _sent(self, array: Tensor) -> Tensor:
        return array.to("cuda")


class Float32(nn.Module):
    """A model that autocast leaves alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cuda", enabled=False):
            return self.model(x)


class ChannelsFirst(Timed):
    """Weights as torch lays them out by itself; for a model of `Contiguous` pixels."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._model.to(memory_format=torch.contiguous_format)


class Contiguous(nn.Module):
    """A model of pixels as torch lays them out by itself."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.contiguous())


def on_gpu(catalog: Catalog, create: Callable[[], OpenClipEncoder], folder: Path) -> dict[str, dict[str, float]]:
    """Encode the photos of a catalogue in each way, twice in turn; the better of the two counts."""
    photos = Catalog.from_frame(catalog.frame.assign(title=""), catalog.images)
    encoder = create()
    tower, model = encoder._images._forward, encoder._images._module
    inner = model.model
    ways: dict[str, tuple[nn.Module, type[Timed]]] = {
        "as it is": (inner, Timed),
        "without autocast": (Float32(inner), Timed),
        "without channels_last": (Contiguous(inner), ChannelsFirst),
        "without pinned memory": (inner, Pageable),
    }
    found: dict[str, dict[str, float]] = {}
    for turn in range(2):
        for name, (inside, kind) in ways.items():
            model.model = inside
            tower.module = kind(model)
            figures = _encoded(photos, encoder, tower.module, folder / f"{name} {turn}")
            found[name] = max(found.get(name, figures), figures, key=lambda figures: figures["images/s"])
    return found


def _encoded(photos: Catalog, encoder: OpenClipEncoder, timed: Timed, folder: Path) -> dict[str, float]:
    encoder.encode_images([Image.new("RGB", (MAX_SIDE, MAX_SIDE))] * 2 * encoder.batch_size)  # warm
    torch.cuda.synchronize()
    timed.events.clear()
    started = perf_counter()
    encoded = encode_catalog(photos, encoder, folder).counts["encoded"]
    wall = perf_counter() - started
    return {"images/s": encoded / wall, "GPU waits, %": 100 * (1 - timed.seconds() / wall)}
