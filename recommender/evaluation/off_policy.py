"""Off-policy evaluation: estimate what another policy would earn from the log of one that drew products at random.

The log has the propensity of every shown product: the probability with which it was shown at its position. Rewards
are those of single products at their positions (the item-position click model of Li et al., "Offline Evaluation of
Ranking Policies with Click Models", KDD 2018), so that lists of any length are evaluated position by position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from recommender.errors import DataError, nearest
from recommender.evaluation.delta_method import Codes, Ratio, Values

LOG = ("item_id", "position", "propensity")
# What a policy's probabilities may depend on, beside the item.
CELL = ("recommendation_id", "position")
CLUSTERS = ("session_id", "user_id", "recommendation_id")
FOLDS = 2
PRIOR_ROWS = 20.0  # of the mean, that an item's reward rate is shrunk by
# Below so many effective clusters the intervals held the truth of about 90 % of simulated logs, above of 95 %.
MIN_EFFECTIVE_CLUSTERS = 12.0
# By n rows without an event: Hanley and Lippman-Hand, "If Nothing Goes Wrong, Is Everything All Right?", 1983.
RULE_OF_THREE = 3.0


@dataclass(frozen=True)
class OffPolicyEstimate:
    """The mean reward per shown product of one policy by one estimator, with 95 % intervals.

    Attributes
    ----------
    policy
        Its name; "logged" is the policy of the log.
    estimator
        SNIPS, DR, or mean for the logged policy.
    value, std_error, low, high
        The estimate, its standard error and its 95 % interval.
    difference, difference_low, difference_high
        To the logged policy on the same clusters; NaN for that one.
    effective_sample_size
        Kish's (Σw)² / Σw² of the rows' weights.
    effective_clusters
        (Σψ²)² / Σψ⁴ of the clusters' influences ψ: how many clusters the standard error comes from.
    mean_weight, max_weight
        The mean weight is about 1 if the log may show all that the policy shows.
    """

    policy: str
    estimator: str
    value: float
    std_error: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    effective_sample_size: float
    effective_clusters: float
    mean_weight: float
    max_weight: float


@dataclass(frozen=True)
class OffPolicyReport:
    """The estimates of `off_policy`.

    Attributes
    ----------
    reward
        The column that was estimated.
    rows, clusters
        How many shown products, and how many independent clusters of them, the log has.
    estimates
        The logged policy first, then each policy by each estimator.
    warnings
        Where the log says little: no support, few effective clusters, positions that a policy leaves empty.
    """

    reward: str
    rows: int
    clusters: int
    estimates: tuple[OffPolicyEstimate, ...]
    warnings: tuple[str, ...]

    def of(self, policy: str, estimator: str = "SNIPS") -> OffPolicyEstimate:
        """Return the estimate of a policy by an estimator."""
        return next(each for each in self.estimates if (each.policy, each.estimator) == (policy, estimator))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per estimate, by policy and estimator."""
        return pd.DataFrame([asdict(each) for each in self.estimates]).set_index(["policy", "estimator"])


def off_policy(
    log: pd.DataFrame,
    policies: Mapping[str, pd.DataFrame],
    *,
    reward: str = "click",
    cluster: str | None = None,
) -> OffPolicyReport:
    """Estimate the mean reward per shown product of other policies from a log with propensities.

    SNIPS is Σ w r / Σ w with w = π(item) / propensity (Swaminathan and Joachims, "The Self-Normalized Estimator
    for Counterfactual Learning", NeurIPS 2015). DR, doubly robust, is the mean of Σ_a π(a) q(a) + w (r − q(item))
    with a model q of the rewards (Dudík, Langford and Li, ICML 2011): the item's rate, shrunk to the mean, times
    the position's, each row predicted from the other half of the clusters. Intervals are of the delta method over
    clusters, with Student's t of the effective number of clusters (Satterthwaite): with heavy-tailed weights those
    of the bootstrap are too narrow (`recommender benchmark quality off-policy` measures both).

    Parameters
    ----------
    log
        One row per shown product: item_id, position (from 1), propensity (in (0, 1]: the probability with which
        the item was shown at this position), the reward, and as known recommendation_id, session_id and user_id.
    policies
        Of each policy a frame of item_id and probability, by recommendation_id and position, by one of them, or
        the same throughout. Probabilities of one position sum to 1.
    reward
        Column of the rewards.
    cluster
        Column of what is independent of each other; by default session_id, user_id or recommendation_id, the first
        that the log has, else each row.

    Returns
    -------
    OffPolicyReport
        With `to_frame()`.

    Raises
    ------
    DataError
        If a column is missing, a propensity is none, probabilities do not sum to 1, or a policy and the log have
        no position in common.
    """
    _check_columns("the log", log, (*LOG, reward))
    _check_propensities(log)
    if cluster is None:
        cluster = next((name for name in CLUSTERS if name in log.columns and (log[name] != "").all()), None)
    elif cluster not in log.columns:
        _check_columns("the log", log, (cluster,))
    clusters = np.arange(len(log)) if cluster is None else pd.factorize(log[cluster])[0]
    rewards = log[reward].to_numpy(np.float64)
    ones = np.ones(len(log))
    estimates = [_estimate("logged", "mean", Ratio.of(rewards, ones, clusters), ones, None, rewards)]
    warnings: list[str] = []
    for name, policy in policies.items():
        rows = _Policy.of(name, policy, log, rewards, clusters)
        estimates += rows.estimates()
        warnings += rows.warnings(estimates[-2:])
    return OffPolicyReport(reward, len(log), int(clusters.max()) + 1, tuple(estimates), tuple(warnings))


def _estimate(
    policy: str, estimator: str, ratio: Ratio, weights: Values, logged: Ratio | None, rewards: Values
) -> OffPolicyEstimate:
    """Return an estimate; where no reward is below 0 its interval is not either."""
    difference = None if logged is None else ratio.minus(logged)
    low, high = ratio.interval()
    squared = float((weights**2).sum())
    effective = float(weights.sum() ** 2 / squared) if squared > 0 else 0.0
    if ratio.std_error == 0 and effective > 0:  # equal rewards alone: there may be others (the rule of three)
        span = RULE_OF_THREE / effective * max(float(np.ptp(rewards)), 1.0)
        low, high = ratio.value - span, ratio.value + span
    return OffPolicyEstimate(
        policy,
        estimator,
        ratio.value,
        ratio.std_error,
        max(low, 0.0) if rewards.min() >= 0 else low,
        high,
        *((float("nan"),) * 3 if difference is None else (difference.value, *difference.interval())),
        effective,
        ratio.effective_clusters,
        float(weights.mean()),
        float(weights.max(initial=0.0)),
    )


@dataclass(frozen=True)
class _Policy:
    """A policy beside the rows of the log whose positions it fills.

    Attributes
    ----------
    weights
        Probability by propensity of each row, (r,).
    predicted, expected
        Predicted reward of each row's item, and of what the policy shows there, (r,).
    left_out
        Rows of the log that the policy shows nothing at.
    """

    name: str
    rewards: Values
    clusters: Codes
    weights: Values
    predicted: Values
    expected: Values
    left_out: int

    @classmethod
    def of(cls, name: str, policy: pd.DataFrame, log: pd.DataFrame, rewards: Values, clusters: Codes) -> "_Policy":
        _check_columns(f"the policy {name!r}", policy, ("item_id", "probability"))
        keys = [key for key in CELL if key in policy.columns]
        _check_columns("the log", log, keys)
        cells, policy_cells = _codes(log, policy, keys)
        chances = policy["probability"].to_numpy(np.float64)
        sums = np.asarray(np.bincount(policy_cells, chances, int(cells.max(initial=0)) + 1), np.float64)
        filled = np.isin(cells, policy_cells)
        _check_sums(name, sums[np.unique(cells[filled])])
        items, policy_items = _codes(log, policy, ["item_id"])
        pairs = pd.Series(chances).groupby([policy_cells, policy_items]).sum()
        shown = pairs.reindex(pd.MultiIndex.from_arrays([cells, items])).fillna(0.0).to_numpy(np.float64)
        positions = pd.factorize(log["position"])[0]
        predicted, expected = np.zeros(len(log)), np.zeros(len(log))
        size = int(max(items.max(), policy_items.max())) + 1, int(positions.max()) + 1
        for fold in range(FOLDS):
            held_out = clusters % FOLDS == fold
            model = _RewardModel.fit(items[~held_out], positions[~held_out], rewards[~held_out], size)
            means = np.bincount(policy_cells, chances * model.items[policy_items], minlength=len(sums))
            of_position = model.positions[positions[held_out]]
            predicted[held_out] = model.items[items[held_out]] * of_position
            expected[held_out] = means[cells[held_out]] * of_position
        weights = shown / log["propensity"].to_numpy(np.float64)
        return cls(
            name,
            rewards[filled],
            clusters[filled],
            weights[filled],
            predicted[filled],
            expected[filled],
            int((~filled).sum()),
        )

    def estimates(self) -> list[OffPolicyEstimate]:
        """Return the estimates by SNIPS and DR, and their difference to the logged policy on the same rows."""
        ones = np.ones(len(self.rewards))
        logged = Ratio.of(self.rewards, ones, self.clusters)
        corrected = self.expected + self.weights * (self.rewards - self.predicted)
        ratios = {
            "SNIPS": Ratio.of(self.weights * self.rewards, self.weights, self.clusters),
            "DR": Ratio.of(corrected, ones, self.clusters),
        }
        return [
            _estimate(self.name, name, ratio, self.weights, logged, self.rewards) for name, ratio in ratios.items()
        ]

    def warnings(self, estimates: Sequence[OffPolicyEstimate]) -> list[str]:
        """Return what the estimates of this policy do not rest on."""
        found = []
        if self.left_out:
            found.append(f"{self.name}: {self.left_out:,} rows are left out, where the policy shows nothing")
        few = min(each.effective_clusters for each in estimates)
        if few < MIN_EFFECTIVE_CLUSTERS:
            found.append(
                f"{self.name}: the intervals rest on {few:.1f} effective clusters; expected at least "
                f"{MIN_EFFECTIVE_CLUSTERS:g}. Log more: few rewards, or large weights, decide them now"
            )
        weight = Ratio.of(self.weights, np.ones(len(self.weights)), self.clusters)
        low, high = weight.interval()
        if not low <= 1 <= high:
            found.append(
                f"{self.name}: the mean weight is {weight.value:.2f} ({low:.2f} to {high:.2f}); expected 1. The "
                "log never shows some of what the policy shows (no support), or its propensities are not the true "
                "ones: SNIPS holds for what is supported alone, DR takes the rest from its model"
            )
        return found


@dataclass(frozen=True)
class _RewardModel:
    """Rates of items, shrunk to their mean, and what a position multiplies them by."""

    items: Values
    positions: Values

    @classmethod
    def fit(cls, items: Codes, positions: Codes, rewards: Values, size: tuple[int, int]) -> "_RewardModel":
        """Fit on rows; `size` is how many items and positions there are."""
        mean = float(rewards.mean()) if len(rewards) else 0.0

        def rates(codes: Codes, count: int) -> Values:
            sums, rows = np.bincount(codes, rewards, count), np.bincount(codes, minlength=count)
            return np.asarray((sums + PRIOR_ROWS * mean) / (rows + PRIOR_ROWS))

        of_position = rates(positions, size[1])
        return cls(rates(items, size[0]), of_position / mean if mean else np.ones(size[1]))


def _codes(log: pd.DataFrame, policy: pd.DataFrame, keys: Sequence[str]) -> tuple[Codes, Codes]:
    """Return equal numbers for equal keys of the log and of the policy; without keys all are equal."""
    if not keys:
        return np.zeros(len(log), np.intp), np.zeros(len(policy), np.intp)
    both = pd.concat([log[[*keys]], policy[[*keys]]])
    codes = np.asarray(both.groupby([*keys], sort=False).ngroup(), np.intp)
    return codes[: len(log)], codes[len(log) :]


def _check_columns(what: str, frame: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in frame.columns:
            guess = nearest(name, [str(column) for column in frame.columns])
            hint = f"; did you mean {guess!r}?" if guess else ""
            raise DataError(f"{what} has no column {name!r} among {', '.join(map(str, frame.columns))}{hint}")
        if frame[name].isna().any():
            row = int(frame[name].isna().to_numpy().argmax())
            raise DataError(f"{what} has no {name} in row {row}; expected one in every row")
    if not len(frame):
        raise DataError(f"{what} has no rows")


def _check_propensities(log: pd.DataFrame) -> None:
    propensities = log["propensity"].to_numpy(np.float64)
    wrong = ~((propensities > 0) & (propensities <= 1))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"propensity is {propensities[row]:g} in row {row}; expected a probability above 0, at most 1"
        )


def _check_sums(name: str, sums: Values) -> None:
    if not len(sums):
        raise DataError(
            f"the policy {name!r} has no position of the log; expected the same recommendation_id, position"
        )
    worst = float(sums[np.abs(sums - 1).argmax()])
    if abs(worst - 1) > 1e-3:
        raise DataError(f"the probabilities of the policy {name!r} sum to {worst:g} at one position; expected 1")
