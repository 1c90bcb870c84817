"""The sequence tower: from a history to the behaviour block of a query, by a transformer in ONNX Runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Float

WINDOW = 50  # latest events that are used
GAPS = 16  # classes of the time since the event before, doubling from an hour
HOUR = 3_600.0

Classes = NDArray[np.int64]


def gap_classes(times: NDArray[np.float64]) -> Classes:
    """Return the class of the time since the previous event, shape (t,): 0 within an hour, +1 per doubling.

    Parameters
    ----------
    times
        POSIX seconds, ascending, shape (t,).
    """
    hours = np.diff(times, prepend=times[:1]) / HOUR
    return np.minimum(np.log2(1.0 + hours), GAPS - 1).astype(np.int64)


def kind_classes(names: Sequence[str], kinds: Sequence[str]) -> Classes:
    """Return the number of each name in `kinds` from 1, or 0 for a name unknown to training, shape (t,)."""
    number_of = {name: number for number, name in enumerate(kinds, 1)}
    return np.array([number_of.get(name, 0) for name in names], dtype=np.int64)


@dataclass(frozen=True)
class SequenceTower:
    """A causal transformer (SASRec: Kang and McAuley, ICDM 2018), exported to ONNX.

    Its inputs are item vectors, not ids, so products added after the training are used like any other.

    Parameters
    ----------
    model
        The ONNX graph: ``vectors`` (1, t, d_b), ``kinds`` (1, t) and ``gaps`` (1, t) to ``output`` (1, d_b).
    kinds
        The event names of the training.
    session
        The loaded model; thread-safe.
    """

    model: bytes
    kinds: tuple[str, ...]
    session: Any

    @classmethod
    def of(cls, model: bytes, kinds: Sequence[str]) -> "SequenceTower":
        """Load a graph into ONNX Runtime, with one thread: a service runs one request per thread."""
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return cls(model, tuple(kinds), onnxruntime.InferenceSession(model, options))

    def __reduce__(self) -> tuple[Any, ...]:
        """Load the graph in another process."""
        return SequenceTower.of, (self.model, self.kinds)

    def query(self, vectors: Float, names: Sequence[str], times: NDArray[np.float64]) -> Float:
        """Return the behaviour block of the predicted next product, shape (d_b,).

        Parameters
        ----------
        vectors
            Behaviour blocks of the history's products, oldest first, shape (t, d_b), t at least 1.
        names
            Event names, length t.
        times
            POSIX seconds, shape (t,).
        """
        kinds = kind_classes(names[-WINDOW:], self.kinds)
        return self.queries(vectors[None, -WINDOW:], kinds[None], gap_classes(times)[None, -WINDOW:])[0]

    def queries(self, vectors: Float, kinds: Classes, gaps: Classes) -> Float:
        """Return the behaviour blocks of b histories of one length, shape (b, d_b).

        Parameters
        ----------
        vectors
            As in `query`, shape (b, t, d_b), t at most `WINDOW`.
        kinds, gaps
            See `kind_classes` and `gap_classes`, shape (b, t).
        """
        output: Float = self.session.run(None, {"vectors": vectors, "kinds": kinds, "gaps": gaps})[0]
        return output

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the graph to the folder of a bundle part; return its entry of the manifest."""
        (folder / "sequence.onnx").write_bytes(self.model)
        return {"kinds": list(self.kinds)}

    @classmethod
    def open(cls, path: Path, exported: Mapping[str, Any]) -> "SequenceTower":
        """Open a saved tower."""
        return cls.of(path.read_bytes(), exported["kinds"])
