"""The validation score of a behaviour model: soft recall of what its users chose later."""

from collections.abc import Sequence

import numpy as np

from recommender.events import EVENT_WEIGHTS
from recommender.towers.user import UserTower
from training.behaviour.export import Behaviour
from training.tuning.held_out import HeldOutCase
from training.tuning.weights import soft_recall

BATCH = 64  # queries scored together


def validation_score(cases: Sequence[HeldOutCase], behaviour: Behaviour) -> float:
    """Return the mean soft recall of the targets, ranked by the behaviour block alone; 0 without queries."""
    user_tower = UserTower(EVENT_WEIGHTS, sequence=behaviour.tower)
    liked_steps = [user_tower.positive(case.steps) for case in cases]
    answerable = [(case, liked) for case, liked in zip(cases, liked_steps, strict=True) if len(liked)]
    if not answerable:
        return 0.0
    queries = [
        behaviour.tower.query(
            behaviour.vectors[case.steps.rows[liked]],
            [case.steps.names[step] for step in liked],
            case.steps.times[liked],
        )
        for case, liked in answerable
    ]
    recalls = []
    for start in range(0, len(answerable), BATCH):
        scores = np.stack(queries[start : start + BATCH]) @ behaviour.vectors.T
        for (case, _), line in zip(answerable[start : start + BATCH], scores, strict=True):
            line[case.excluded] = -np.inf
            recalls.append(soft_recall(line, case.targets))
    return float(np.mean(recalls))
