"""Content baselines without training: similarity of the raw encoder vectors to the history's centroid."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.core.blocks import Float, unit
from recommender.evaluation.baselines import Histories, Scores


class ContentCentroid:
    """Cosine of an item's concatenated, centred, normalised blocks with the centroid of the history.

    Parameters
    ----------
    name
        Shown in tables.
    blocks
        Raw vectors (n, d_m) each; a row of zeros is missing and stays zero. All blocks weigh the same.
    half_life
        Days after which the weight of an event is halved.
    """

    def __init__(self, name: str, blocks: Iterable[NDArray[np.floating]], half_life: float = 90.0) -> None:
        self.name, self.detail = name, ""
        self.vectors: Float = np.hstack([centred(block) for block in blocks])
        self.half_life = half_life

    def scores(self, histories: Histories) -> Scores:
        """Return the scores of all items for each history, (b, n)."""
        return (np.vstack([self._query(history) for history in histories]) @ self.vectors.T).astype(np.float64)

    def _query(self, history: pd.DataFrame) -> Float:
        days = (history["timestamp"].max() - history["timestamp"]) / pd.Timedelta(days=1)
        weights = history["weight"].to_numpy() * 0.5 ** (days.to_numpy() / self.half_life)
        return (weights @ self.vectors[history["row"]]).astype(np.float32)


def untrained_baselines(blocks: Mapping[str, NDArray[np.floating]]) -> list[ContentCentroid]:
    """Return a `ContentCentroid` of each block alone, and one of all blocks ("untrained fusion")."""
    alone = [ContentCentroid(f"untrained {name}", [block]) for name, block in blocks.items()]
    return [*alone, ContentCentroid("untrained fusion", blocks.values())] if len(alone) > 1 else alone


def centred(block: NDArray[np.floating]) -> Float:
    """Subtract the mean of the rows present and normalise each row; missing rows (zeros) stay zero."""
    present: NDArray[np.bool_] = (block != 0).any(axis=1)
    centre = block[present].mean(axis=0) if present.any() else 0.0
    return unit(np.where(present[:, None], block - centre, 0.0))


def one_hot(columns: Iterable[pd.Series]) -> Float:
    """Return one-hot columns weighted by inverse document frequency log(n / count), (n, values).

    Parameters
    ----------
    columns
        Of text ("" missing) or of lists of text; missing values are zeros.
    """
    return np.hstack([_one_hot(column) for column in columns])


def _one_hot(column: pd.Series) -> Float:
    values = column.explode()
    values = values[values.notna() & (values != "")]
    codes, known = pd.factorize(values, sort=True)
    hot = np.zeros((len(column), len(known)), np.float32)
    hot[values.index.to_numpy(), codes] = 1
    return hot * np.log(len(column) / np.maximum(hot.sum(axis=0), 1))
