"""Run a model with ONNX Runtime: on CPUs up to twice as fast as torch, one batch per thread."""

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
    """A model, and one thread per core to run small batches.

    Small batches, since their activations stay in the processor's cache: EfficientNet-Lite0 takes 14 ms per
    image and core in batches of 4, and 22 ms in batches of 32.

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
        """Return ``function(batch)`` for batches of `size` items, in order; the function calls the tower."""
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        return list(self._pool.map(function, batches))


def quantize(model: bytes) -> bytes:
    """Quantize an ONNX model: int8 weights of matrix products, one scale per column, dynamic activations.

    It is faster on CPUs; the loss of accuracy has to be measured. Weights have 7 bits: processors without VNNI add
    products of 8 bits up in 16 and saturate, so that the same model would give other vectors there.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    with TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        proto = onnx.load_from_string(model)
        quantize_dynamic(
            proto,
            path,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        return path.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the advice that the quantizer logs to its callers."""

    def reject(record: logging.LogRecord) -> bool:
        return False

    logging.getLogger().addFilter(reject)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(reject)


def exported(model: Any, example: Mapping[str, Any], axes: Mapping[int, str]) -> bytes:
    """Export a torch module to the bytes of an ONNX file; it takes a second or two.

    Parameters
    ----------
    model
        In evaluation mode, with one output.
    example
        Its inputs in order, by the names of the tower's arguments.
    axes
        Names of the dynamic axes by position; the same for all inputs.

    Raises
    ------
    EncoderError
        If it uses an operator that ONNX lacks, or has more than 2 GB of weights.
    """
    import torch

    device, file = next(model.parameters()).device, io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings(), _no_fused_attention():
        warnings.simplefilter("ignore")  # this exporter is deprecated; the new one needs another package
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
def _no_fused_attention() -> Iterator[None]:
    """Keep torch from its fused attention operator, which ONNX lacks."""
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
