"""Images per second on a GPU and how long it waits, end to end from the files; also without each optimisation."""

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
from recommender.progress import progress


class TimedOnGpu(OnGpu):
    """Measures the time of the GPU on its batches, copies and pauses between two steps of a model included."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def __call__(self, *inputs: NDArray[Any]) -> Tensor:
        """Run a batch between two events of the GPU."""
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        output = super().__call__(*inputs)
        ended.record()
        self.events.append((began, ended))
        return output

    def seconds(self) -> float:
        """Return the time of all batches so far."""
        torch.cuda.synchronize()
        return sum(began.elapsed_time(ended) for began, ended in self.events) / 1000


class Pageable(TimedOnGpu):
    """Copies from memory that is not pinned, and waits for each copy."""

    def _sent(self, array: Tensor) -> Tensor:
        return array.to("cuda")


class Float32(nn.Module):
    """A model in float32, without autocast."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Run the model."""
        with torch.autocast("cuda", enabled=False):
            return self.model(x)


class ChannelsFirst(TimedOnGpu):
    """Weights in torch's default layout; for a model of `Contiguous` pixels."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._model.to(memory_format=torch.contiguous_format)


class Contiguous(nn.Module):
    """A model of pixels in torch's default layout."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Run the model."""
        return self.model(x.contiguous())


def on_gpu(catalog: Catalog, create: Callable[[], Any], folder: Path) -> dict[str, dict[str, float]]:
    """Encode the images of a catalogue in each way, twice in turn; the better of the two counts."""
    images = Catalog.from_frame(catalog.frame.assign(title=""), catalog.images)
    encoder = create()
    tower, model = encoder._images._forward, encoder._images._module
    inner = model.model
    variants: dict[str, tuple[nn.Module, type[TimedOnGpu]]] = {
        "as it is": (inner, TimedOnGpu),
        "without autocast": (Float32(inner), TimedOnGpu),
        "without channels_last": (Contiguous(inner), ChannelsFirst),
        "without pinned memory": (inner, Pageable),
    }
    rates: dict[str, dict[str, float]] = {}
    for turn in progress(range(2), "on the GPU", 2, "round"):
        for name, (inside, kind) in variants.items():
            model.model = inside
            tower.module = kind(model)
            figures = _encoded(images, encoder, tower.module, folder / f"{name} {turn}")
            rates[name] = max(rates.get(name, figures), figures, key=lambda figures: figures["images/s"])
    return rates


def _encoded(images: Catalog, encoder: OpenClipEncoder, timed: TimedOnGpu, folder: Path) -> dict[str, float]:
    encoder.encode_images([Image.new("RGB", (MAX_SIDE, MAX_SIDE))] * 2 * encoder.batch_size)  # warm
    torch.cuda.synchronize()
    timed.events.clear()
    started = perf_counter()
    encoded = encode_catalog(images, encoder, folder).counts["encoded"]
    wall = perf_counter() - started
    return {"images/s": encoded / wall, "GPU waits, %": 100 * (1 - timed.seconds() / wall)}
