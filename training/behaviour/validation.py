"""The validation score of a behaviour model: soft recall of what its users chose later."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Rows
from recommender.events import EVENT_WEIGHTS
from recommender.towers.sequence import WINDOW, Classes, gap_classes, kind_classes
from recommender.towers.user import UserTower
from training.behaviour.export import Behaviour
from training.tuning.held_out import HeldOutCase
from training.tuning.weights import soft_recall

BATCH = 64  # queries scored together


@dataclass(frozen=True)
class HistoryBatch:
    """Held-out cases whose positive histories have one length t.

    Parameters
    ----------
    cases
        b cases.
    rows, gaps
        The products of the histories and the classes of the times between them, shape (b, t).
    names
        Their event names, length t each.
    """

    cases: Sequence[HeldOutCase]
    rows: Rows
    gaps: Classes
    names: Sequence[Sequence[str]]

    def recalls(self, behaviour: Behaviour) -> list[float]:
        """Return the soft recall of each case, ranked by the behaviour block alone."""
        kinds = np.stack([kind_classes(names, behaviour.tower.kinds) for names in self.names])
        queries = behaviour.tower.queries(behaviour.vectors[self.rows], kinds, self.gaps)
        recalls = []
        for case, line in zip(self.cases, queries @ behaviour.vectors.T, strict=True):
            line[case.excluded] = -np.inf
            recalls.append(soft_recall(line, case.targets))
        return recalls


@dataclass(frozen=True)
class Validation:
    """Scores behaviour models by held-out cases.

    Parameters
    ----------
    batches
        The cases with a positive history.
    """

    batches: Sequence[HistoryBatch]

    @classmethod
    def of(cls, cases: Sequence[HeldOutCase]) -> "Validation":
        """Sort the cases by the length of their histories."""
        user_tower = UserTower(EVENT_WEIGHTS)
        by_length: dict[int, list[tuple[HeldOutCase, NDArray[np.intp]]]] = {}
        for case in cases:
            liked = user_tower.positive(case.steps)
            if len(liked):
                by_length.setdefault(min(len(liked), WINDOW), []).append((case, liked))
        return cls([batch for length in sorted(by_length) for batch in _batches(by_length[length])])

    def score(self, behaviour: Behaviour) -> float:
        """Return the mean soft recall of the targets; 0 without cases."""
        with ThreadPoolExecutor() as pool:  # the model and the products release the GIL
            recalls = [*pool.map(lambda batch: batch.recalls(behaviour), self.batches)]
        return float(np.mean(np.concatenate(recalls))) if recalls else 0.0


def _batches(answerable: Sequence[tuple[HeldOutCase, NDArray[np.intp]]]) -> Iterator[HistoryBatch]:
    for start in range(0, len(answerable), BATCH):
        part = answerable[start : start + BATCH]
        latest = [(case, liked[-WINDOW:]) for case, liked in part]
        yield HistoryBatch(
            [case for case, _ in part],
            np.stack([case.steps.rows[liked] for case, liked in latest]),
            np.stack([gap_classes(case.steps.times[liked])[-WINDOW:] for case, liked in part]),
            [[case.steps.names[step] for step in liked] for case, liked in latest],
        )
