"""A model run by ONNX Runtime: on CPUs up to twice as fast as torch, in threads that don't wait for each other."""

import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recommender.errors import EncoderError

S = TypeVar("S")
T = TypeVar("T")


class OnnxTower:
    """One model, and a thread a core to run small batches.

    Small batches, since their activations stay in the processor's cache: EfficientNet-Lite0 takes 14 ms a photo
    and core for 4 at once, and 22 ms for 32.

    Parameters
    ----------
    model
        An ONNX file's bytes, see `exported`; one output.
    """

    def __init__(self, model: bytes) -> None:
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options)
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="onnx-tower")

    def __call__(self, **inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Return the output for one batch."""
        output: NDArray[np.float32] = self._session.run(None, inputs)[0]
        return output

    def map(self, function: Callable[[Sequence[S]], T], items: Sequence[S], size: int) -> list[T]:
        """Return ``function(batch)`` for every `size` items, in order; the function calls the tower."""
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        return list(self._pool.map(function, batches))


def quantize(model: bytes) -> bytes:
    """Return an ONNX file's bytes with the weights of its matrix products in 8 bits, one scale a column.

    The activations are rounded as they come. It pays on CPUs; how much is lost has to be measured.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    with TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        proto = onnx.load_from_string(model)
        quantize_dynamic(
            proto, path, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
        )
        return path.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep a library's advice to its callers from ours."""

    def silent(record: logging.LogRecord) -> bool:
        return False

    logging.getLogger().addFilter(silent)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(silent)


def exported(model: Any, example: Mapping[str, Any], axes: Mapping[int, str]) -> bytes:
    """Return a torch module as an ONNX file's bytes; it takes a second or two.

    Parameters
    ----------
    model
        In evaluation mode, with one output.
    example
        Its inputs in order, by the names that the tower is to be called with.
    axes
        Names of the axes whose length may change, by their position; the same for all inputs.

    Raises
    ------
    EncoderError
        If it does something that ONNX has no operator for, or has more than 2 GB of weights.
    """
    import torch

    device, file = next(model.parameters()).device, io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings(), _plain_attention():
        warnings.simplefilter("ignore")  # this exporter says that it is old; the new one needs a further package
        try:
            torch.onnx.export(
                model,
                tuple(tensor.to(device) for tensor in example.values()),
                file,  # type: ignore[arg-type]
                dynamo=False,
                input_names=list(example),
                output_names=["output"],
                dynamic_axes=dict.fromkeys((*example, "output"), axes),
            )
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise EncoderError(f"{type(model).__name__} has no ONNX form: {reason}") from error
    return file.getvalue()


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Keep torch from its one operator for attention, which ONNX has not."""
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
