"""A history becomes the behaviour block of a query: a transformer over its products' vectors, without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Float

WINDOW = 50  # latest events that are read
GAPS = 16  # classes of the time since the event before, doubling from an hour
HOUR = 3_600.0

Classes = NDArray[np.int64]


def gap_classes(times: NDArray[np.float64]) -> Classes:
    """Class the time since the event before, shape (t,): 0 within the hour, then one more for each doubling.

    Parameters
    ----------
    times
        POSIX seconds, ascending, shape (t,).
    """
    hours = np.diff(times, prepend=times[:1]) / HOUR
    return np.minimum(np.log2(1.0 + hours), GAPS - 1).astype(np.int64)


def kind_classes(names: Sequence[str], kinds: Sequence[str]) -> Classes:
    """Return the place of each name in `kinds` from 1, or 0 for a kind that training never saw, shape (t,)."""
    place = {name: number for number, name in enumerate(kinds, 1)}
    return np.array([place.get(name, 0) for name in names], dtype=np.int64)


@dataclass(frozen=True)
class SequenceTower:
    """A causal transformer (SASRec: Kang and McAuley, ICDM 2018), exported to ONNX.

    It reads item vectors, not ids, so that a product added after the training counts like any other.

    Parameters
    ----------
    model
        The ONNX graph: ``vectors`` (1, t, d_b), ``kinds`` (1, t) and ``gaps`` (1, t) to ``output`` (1, d_b).
    kinds
        The event names that training saw.
    session
        The running model; several threads may ask it at once.
    """

    model: bytes
    kinds: tuple[str, ...]
    session: Any

    @classmethod
    def of(cls, model: bytes, kinds: Sequence[str]) -> "SequenceTower":
        """Load a graph into ONNX Runtime; one thread, for a service has one for each request."""
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return cls(model, tuple(kinds), onnxruntime.InferenceSession(model, options))

    def query(self, vectors: Float, names: Sequence[str], times: NDArray[np.float64]) -> Float:
        """Return the behaviour block of what comes next, shape (d_b,).

        Parameters
        ----------
        vectors
            Behaviour blocks of the history's products, oldest first, shape (t, d_b), t at least 1.
        names
            Event names, length t.
        times
            POSIX seconds, shape (t,).
        """
        inputs = {
            "vectors": vectors[None, -WINDOW:],
            "kinds": kind_classes(names[-WINDOW:], self.kinds)[None],
            "gaps": gap_classes(times)[None, -WINDOW:],
        }
        answer: Float = self.session.run(None, inputs)[0][0]
        return answer

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the graph into a part's folder; return what the manifest says of it."""
        (folder / "sequence.onnx").write_bytes(self.model)
        return {"kinds": list(self.kinds)}

    @classmethod
    def open(cls, path: Path, exported: Mapping[str, Any]) -> "SequenceTower":
        """Read what `save` wrote."""
        return cls.of(path.read_bytes(), exported["kinds"])
